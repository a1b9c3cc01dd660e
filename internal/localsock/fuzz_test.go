package localsock

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"testudo/internal/wire"
)

func seeds(f *testing.F, commands ...string) {
	var all []byte
	for i, command := range commands {
		for _, payload := range []string{"", "x", "w1 x", "3", `{"a": 1}`, "77 abc"} {
			frame, err := wire.AppendFrame(nil, nil, wire.Frame{Counter: uint32(i), Command: command, Payload: []byte(payload)})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frame)
			all = append(all, frame...)
		}
	}
	f.Add(all)
}

// Whatever a program sends, its connection ends when it ends.
func FuzzServer(f *testing.F) {
	seeds(f, cmdConfig, cmdNodes, cmdDAPI, cmdForward, cmdFile, cmdEcho, cmdNewString, cmdStringUpdate, cmdStringError, "cancel_task", "ok", "err")
	answer := func(context.Context, []byte) ([]byte, error) { return []byte("x"), nil }
	api := func(_ context.Context, _ string, request []byte, take func(...[]byte) error) error {
		return take(request)
	}
	s := NewServer(Options{MessageTime: time.Second, MessageBytes: 1 << 20, ReplyTime: time.Millisecond}, Commands{
		Nodes: answer, Health: answer, Relayed: true, DAPI: api,
		Forward: func(ctx context.Context, client, _ string, request []byte, take func(...[]byte) error) error {
			return api(ctx, client, request, take)
		},
	})
	f.Cleanup(s.start(context.Background()))
	f.Fuzz(func(_ *testing.T, data []byte) {
		near, far := net.Pipe()
		c := s.admit(far)
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, near)
			close(read)
		}()
		go func() {
			_, _ = near.Write(data)
			near.Close()
		}()
		c.serve()
		s.leave(c)
		<-read
	})
}

// Whatever a node sends, a call ends when the connection ends.
func FuzzClient(f *testing.F) {
	seeds(f, "ok", "err", "ok-m", cmdNewString, cmdStringUpdate, cmdStringError, cmdAPIResult, cmdAPIError, cmdControlResult, "echo")
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		c := newClient(near, ClientOptions{ResultBytes: 1 << 20, FrameTime: time.Second})
		go func() {
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = far.Write(data)
			far.Close()
		}()
		result, err := c.Call(context.Background(), cmdDAPI, nil)
		if err == nil && len(result) > 1<<20 {
			t.Errorf("a result of %d bytes", len(result))
		}
		_ = c.Close()
	})
}
