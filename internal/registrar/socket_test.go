package registrar

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/shortdir"
	"testudo/internal/unixsock"
)

// socket is a served local socket; its path.
func socket(t testing.TB, cfg SocketConfig) (*Socket, string) {
	t.Helper()
	cfg.Path, cfg.UID, cfg.GID = filepath.Join(shortdir.New(t), "auth"), -1, -1
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(cfg.Path), "*")); len(left) > 0 {
			t.Error("left behind:", left)
		}
	})
	return s, cfg.Path
}

func dial(t testing.TB, path string) *unixsock.Client {
	t.Helper()
	c, err := unixsock.Dial(context.Background(), path, unixsock.LengthPrefix(), unixsock.Limits{Reply: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSocket(t *testing.T) {
	w := newWorld(t)
	_, path := socket(t, SocketConfig{Answer: w.Answer, ReadTime: time.Minute})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Error(info.Mode(), err)
	}
	c := dial(t, path)
	got, err := c.Call(t.Context(), []byte(`{"function":"add","arguments":{"name":"a","ip":"any","key":"kkk"}} rest`))
	if err != nil || string(got) != `{"error":0,"data":{"id":"001","name":"a","ip":"any","key":"kkk"}}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := c.Call(t.Context(), []byte("getconfig auth")); err == nil {
		t.Error("a second request of a connection is answered")
	}
	if _, err := dial(t, path).Call(t.Context(), []byte(strings.Repeat("x", enrolment.MaxMessage+1))); err == nil {
		t.Error("a long message is answered")
	}
	long := `{"function":"get","arguments":{"id":"001"}}` + strings.Repeat(" ", enrolment.MaxMessage)
	if got, err := dial(t, path).Call(t.Context(), []byte(long[:enrolment.MaxMessage])); err != nil || !strings.Contains(string(got), "kkk") {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Listen(SocketConfig{Path: path, UID: -1, GID: -1}); !errors.Is(err, unixsock.ErrInUse) {
		t.Error(err)
	}
}

// Many ask at once, and those who say nothing are in nobody's way and closed.
func TestSocket_ManyAtOnce(t *testing.T) {
	w := newWorld(t)
	s, path := socket(t, SocketConfig{Answer: w.Answer, ReadTime: 50 * time.Millisecond, Connections: 128})
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			c, err := unixsock.Dial(context.Background(), path, unixsock.LengthPrefix(), unixsock.Limits{})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			message := enrolment.Message{Function: "add", Arguments: enrolment.Arguments{Name: "web-" + string(rune('a'+i%26)) + string(rune('a'+i/26)), IP: "any"}}
			if got, err := c.Call(context.Background(), message.JSON()); err != nil || !strings.Contains(string(got), `"error":0`) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := w.keys.Len(); n != 64 {
		t.Error(n)
	}
	if n, err := silent.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
	if s.Stats().Idle != 1 {
		t.Errorf("%+v", s.Stats())
	}
}
