package session

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/peertest"
)

// Whatever a peer sends as the argument of a command is answered, leaves no
// file outside its directory and nothing behind.
func FuzzCommandArguments(f *testing.F) {
	commands := []string{
		"echo", "new_str", "str_upd", "err_str", "new_file", "file_upd", "file_end", "cancel_task",
		introduce, "syn_i_w_m", "syn_i_w_m_e", "syn_i_w_m_r", "dapi", "hello", "sendsync",
	}
	for i := range commands {
		for _, arg := range []string{
			"", " ", "12", "-1", "123 x", "None {}", "/queue/cluster/w1/a.zip", "/queue/cluster/w1/a.zip x",
			"/../../etc/passwd", "queue/cluster/w1/../w2/a.zip", "\x00\xff", `{"features": []}`,
			`None {"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 1}}}`,
		} {
			f.Add(uint8(i), arg, uint8(i+3), arg)
		}
	}
	home := f.TempDir()
	root, err := os.OpenRoot(home)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = root.Close() })
	f.Fuzz(func(t *testing.T, first uint8, one string, second uint8, two string) {
		near, far := memnet.Pipe()
		s := New(near, Config{Key: peertest.NewKey(t, peertest.Key), Home: root})
		mux := NewMux()
		mux.HandleDelivery("syn_i_w_m", func(ctx context.Context, d *Delivery) {
			if u, err := d.Wait(ctx, time.Hour); err == nil {
				_, _ = io.Copy(io.Discard, u.Reader())
				_ = u.Close()
			}
		})
		s.Establish(worker, mux, nil)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(context.Background()) }()
		p := peertest.New(t, far)
		for _, c := range []struct {
			command uint8
			arg     string
		}{{first, one}, {second, two}} {
			p.Ask(commands[int(c.command)%len(commands)], c.arg)
		}
		p.Close()
		<-ended
		tab := table{home: home}
		for _, left := range tab.files() {
			t.Errorf("left on disk: %q", left)
		}
	})
}

// Only plain files of the peer's own directory are ever opened.
func FuzzUploadPath(f *testing.F) {
	for _, p := range []string{
		upload, upload[1:], "/queue/cluster/w1/", "//queue/cluster/w1/a", "/queue/cluster/w1/..", "/queue/cluster/w1/.a",
		"/queue/cluster/w2/a", "/etc/client.keys", "/queue/cluster/w1/a/b", "/queue/cluster/w1/a\x00b", "",
	} {
		f.Add(p)
	}
	st := uploadStore{dir: uploadDir("w1")}
	f.Fuzz(func(t *testing.T, path string) {
		local, err := st.local(path)
		if err != nil {
			return
		}
		name, ok := strings.CutPrefix(local, "queue/cluster/w1/")
		if !ok || name == "" || strings.ContainsAny(name, "/\\\x00 \n") || name[0] == '.' {
			t.Errorf("%q is taken as %q", path, local)
		}
	})
}
