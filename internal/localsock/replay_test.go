package localsock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/fault"
	"testudo/internal/recording"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// said is one message of a recording.
type said struct {
	Dir     string `json:"dir"` // c2s: of the program
	Counter uint32 `json:"counter"`
	Command string `json:"command"`
	Text    string `json:"payload_text"`
	Event   string `json:"event"`
}

func (m said) byProgram() bool { return m.Dir == "c2s" }

func (m said) isReply() bool { return session.IsReply(m.Command) }

// recorded is a connection of a program to a real 4.7.5 node.
type recorded struct {
	worker   bool
	messages []said
}

// eachRecording runs a test for each recording.
func eachRecording(t *testing.T, test func(t *testing.T, r recorded)) {
	for _, file := range recording.Glob(t, "golden/local/*-[0-9][0-9][0-9].jsonl") {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		r := recorded{worker: strings.HasPrefix(name, "w1")}
		for _, m := range recording.Lines[said](t, file) {
			if m.Event == "" {
				r.messages = append(r.messages, m)
			}
		}
		t.Run(name, func(t *testing.T) { test(t, r) })
	}
}

// result is what the program has got in the end.
func (r recorded) result() (data string, err error) {
	for i, m := range r.messages {
		switch {
		case m.byProgram():
		case m.Command == cmdStringUpdate:
			_, data, _ = strings.Cut(m.Text, " ")
		case m.Command == nameErr && i > 0 && r.messages[0].Counter != m.Counter:
			return "", session.PlainError(m.Text) // of a daemon
		case m.Command == nameErr:
			return "", fault.Parse([]byte(m.Text))
		case m.Command == nameOK, m.Command == cmdControlResult:
			data = m.Text
		}
	}
	return data, nil
}

// commands answer as the recorded node did.
func (r recorded) commands(t *testing.T) Commands {
	data, err := r.result()
	asked := func(request []byte) ([]byte, error) {
		if want := r.messages[0].Text; string(request) != want {
			t.Errorf("asked %q, recorded %q", request, want)
		}
		return []byte(data), err
	}
	ask := func(_ context.Context, request []byte) ([]byte, error) { return asked(request) }
	c := Commands{
		Config: func() ([]byte, error) { return []byte(data), err },
		Hash:   func(context.Context) ([]byte, error) { return []byte(data), err },
		Nodes:  ask, Health: ask, Relayed: r.worker,
		DAPI: func(_ context.Context, _ string, request []byte, take func(...[]byte) error) error {
			answer, err := asked(request)
			return errors.Join(err, take(answer))
		},
	}
	if r.worker {
		c.Connected = func() error { return nil }
		c.Sync = func(_ context.Context, _ string, request []byte) ([]byte, error) { return asked(request) }
		return c
	}
	c.Known = func(node string) bool { return node == "w1" }
	c.Forward = func(_ context.Context, _, node string, request []byte, take func(...[]byte) error) error {
		answer, err := asked([]byte(node + " " + string(request)))
		return errors.Join(err, take(answer))
	}
	return c
}

// hear reads one frame as it travels.
func hear(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	frame := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(conn, frame); err != nil {
		t.Fatal(err)
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame[4:]))...)
	if _, err := io.ReadFull(conn, frame[wire.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	return frame
}

func say(t *testing.T, conn net.Conn, frame []byte) {
	t.Helper()
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// bytesOf gives a message as it travels.
func bytesOf(t *testing.T, m said, counter uint32, text string) []byte {
	t.Helper()
	frame, err := wire.AppendFrame(nil, nil, wire.Frame{Counter: counter, Command: m.Command, Payload: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// The recorded programs, played to our server: it says the same, to the byte.
func TestRecording_ProgramToOurServer(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded) {
		_, path := serve(t, r.commands(t))
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		theirs := map[uint32]uint32{} // numbers of the recorded node's requests -> of ours
		for _, m := range r.messages {
			counter := m.Counter
			switch {
			case m.byProgram() && m.isReply():
				say(t, conn, bytesOf(t, m, theirs[counter], m.Text))
			case m.byProgram():
				say(t, conn, bytesOf(t, m, counter, m.Text))
			default:
				frame := hear(t, conn)
				if m.Counter != r.messages[0].Counter {
					counter = binary.BigEndian.Uint32(frame)
					theirs[m.Counter] = counter
				}
				if want := bytesOf(t, m, counter, m.Text); !bytes.Equal(frame, want) {
					t.Errorf("said %q\nrecorded %q", frame, want)
				}
			}
		}
	})
}

// The recorded nodes, played to our client: it says what the original's clients
// say and has the same result. C programs do not thank for their answer; ours
// does.
func TestRecording_NodeToOurClient(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded) {
		path := socketPath(t)
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		type outcome struct {
			data []byte
			err  error
		}
		done := make(chan outcome, 1)
		go func() {
			data, err := Ask(t.Context(), path, ClientOptions{}, r.messages[0].Command, []byte(r.messages[0].Text))
			done <- outcome{data, err}
		}()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r.playNode(t, conn)
		got := <-done
		want, wantErr := r.result()
		switch raised, ok := errors.AsType[*fault.Error](got.err); {
		case strings.HasPrefix(want, `{"__wazuh_exception__"`):
			if !ok || string(raised.JSON()) != want {
				t.Errorf("%v, recorded %s", got.err, want)
			}
		case wantErr == nil && (got.err != nil || string(got.data) != want):
			t.Errorf("%q, %v\nrecorded %q", got.data, got.err, want)
		case wantErr != nil && (got.err == nil || !strings.HasSuffix(got.err.Error(), wantErr.Error())):
			t.Errorf("%v, recorded %v", got.err, wantErr)
		}
	})
}

// playNode says what the node has said, with our numbers and ids of strings.
func (r recorded) playNode(t *testing.T, conn net.Conn) {
	var request uint32
	theirID, ourID := "", ""
	for i, m := range r.messages {
		switch {
		case !m.byProgram() && m.Counter == r.messages[0].Counter && m.isReply():
			say(t, conn, bytesOf(t, m, request, m.Text))
		case !m.byProgram():
			text := m.Text
			if theirID != "" {
				text = strings.Replace(text, theirID, ourID, 1)
			}
			say(t, conn, bytesOf(t, m, m.Counter, text))
		default:
			frame := hear(t, conn)
			counter, text := m.Counter, m.Text
			if i == 0 {
				request = binary.BigEndian.Uint32(frame)
				counter = request
			} else if r.messages[i-1].Command == cmdNewString {
				theirID, ourID = m.Text, string(frame[wire.HeaderSize:])
				text = ourID
			}
			if want := bytesOf(t, m, counter, text); !bytes.Equal(frame, want) {
				t.Errorf("said %q\nrecorded %q", frame, want)
			}
		}
	}
}
