package unixsock

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/shortdir"
)

func TestListen_Refusals(t *testing.T) {
	dir := shortdir.New(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	living := filepath.Join(dir, "living")
	ln, err := Listen(living, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for path, want := range map[string]error{
		file:   ErrNotSocket,
		living: ErrInUse,
		filepath.Join(dir, strings.Repeat("x", 100)): ErrPathTooLong,
		filepath.Join(dir, "absent", "s"):            fs.ErrNotExist,
	} {
		if got, err := Listen(path, 0o660, -1, -1); !errors.Is(err, want) {
			t.Errorf("Listen(%s) = %v, %v; want %v", path, got, err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestListen_ReplacesADeadSocketAndSetsTheMode(t *testing.T) {
	path := filepath.Join(shortdir.New(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	ln, err := Listen(path, 0o660, os.Getuid(), os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListener_CloseLeavesASuccessorsSocket(t *testing.T) {
	path := filepath.Join(shortdir.New(t), "s")
	first, err := Listen(path, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestDial_NobodyThere(t *testing.T) {
	_, err := Dial(t.Context(), filepath.Join(shortdir.New(t), "s"), LengthPrefix(), Limits{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestClient_CallGivenUpClosesTheConnection(t *testing.T) {
	entered := make(chan struct{}, 1)
	s := start(t, Limits{Grace: time.Millisecond}, func(ctx context.Context, _ *Conn, _ []byte) []byte {
		entered <- struct{}{}
		<-ctx.Done()
		return nil
	})
	c := s.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := c.Call(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if c.Usable() {
		t.Error("the connection may still be used")
	}
	if _, err := c.Call(t.Context(), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestClient_LongMessages(t *testing.T) {
	s := start(t, Limits{Message: 1 << 20, Reply: 1 << 20}, echo)
	c, err := Dial(t.Context(), s.path, LengthPrefix(), Limits{Message: 10, Reply: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), make([]byte, 21)); !errors.Is(err, ErrTooLong) {
		t.Errorf("request: %v", err)
	}
	s.check(t, c) // nothing of it was sent
	if _, err := c.Call(t.Context(), make([]byte, 20)); !errors.Is(err, ErrTooLong) {
		t.Errorf("reply: %v", err)
	}
}

func TestClient_KnowsThatNothingArrived(t *testing.T) {
	path := filepath.Join(shortdir.New(t), "s")
	ln, err := Listen(path, 0o600, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := Dial(t.Context(), path, LengthPrefix(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	_, err = c.Call(t.Context(), []byte("x"))
	if _, ok := errors.AsType[*UnsentError](err); !ok || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}
