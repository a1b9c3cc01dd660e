package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
)

// addBuiltins registers the commands every session knows (docs/wire.md §9.1).
func (s *Session) addBuiltins(m *Mux) {
	m.HandleControl("echo", func(_ context.Context, _ *Session, payload []byte) (Reply, error) {
		return Reply{replyOK, payload}, nil
	})
	m.Handle("new_str", handleNewString)
	m.Handle(cmdStringUpdate, handleStringUpdate)
	m.Handle("err_str", handleStringError)
	m.Handle("new_file", handleNewFile)
	m.Handle("file_upd", handleFileUpdate)
	m.Handle("file_end", handleFileEnd)
	m.handleSealed(cmdSealedUpdate, handleSealedUpdate)
	m.handleSealed(cmdSealedEnd, handleSealedEnd)
	m.handleSealed(cmdSealedString, handleStringUpdate)
	m.HandleControl("cancel_task", handleCancel)
	m.HandleControl(introduce, handleIntroduce)
}

// introduce is the request by which a Testudo worker finds out whether its
// master is one too; a 4.7.5 node answers it with "unknown command".
const introduce = "testudo"

// Capabilities are what a Testudo peer can do beyond the 4.7.5 protocol
// (docs/extensions.md).
type Capabilities struct {
	Features []string `json:"features"`
	Seed     string   `json:"seed,omitempty"` // hexadecimal, this end's part of the keys of sealed frames
}

func (c *Capabilities) has(feature string) bool { return slices.Contains(c.Features, feature) }

// Features of this version.
const (
	FeaturePush   = "push"   // the master announces a change by t_changed
	FeatureDigest = "digest" // a worker may ask t_in_step instead of sending its metadata
	FeatureLarge  = "large"  // packages have no size limit
	FeatureAgents = "agents" // a second string of agents' data may follow while the first is worked on; results name theirs
	FeatureSealed = "sealed" // the bytes of files travel in sealed frames
)

// PeerHas says whether the peer is a Testudo node with a feature.
func (s *Session) PeerHas(feature string) bool {
	c := s.peer.Load()
	return c != nil && c.has(feature)
}

// PeerIsTestudo says whether the peer has introduced itself as a Testudo node.
func (s *Session) PeerIsTestudo() bool { return s.peer.Load() != nil }

// Introduce asks the peer whether it is a Testudo node. A peer that does not
// know the question, or gives no sensible answer in time, is taken for a 4.7.5
// node, which is no error. It returns ErrClosed when the session ended.
func (s *Session) Introduce(ctx context.Context) error {
	payload, err := json.Marshal(s.ours())
	if err != nil {
		return err
	}
	answer, err := s.Request(ctx, introduce, payload)
	var remote *RemoteError
	if errors.As(err, &remote) || isTimeout(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.setPeer(answer, true); err != nil {
		s.log.Debug("The master's introduction makes no sense", "error", logging.Cut(err.Error()))
	}
	return nil
}

// setPeer takes the peer's introduction; weAsked says that it is the answer to
// ours.
func (s *Session) setPeer(payload []byte, weAsked bool) error {
	const most = 4096
	if len(payload) > most {
		return fmt.Errorf("capabilities of %d bytes: %w", len(payload), ErrTooMuch)
	}
	var c Capabilities
	if err := json.Unmarshal(payload, &c); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := s.agree(c, weAsked); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	s.peer.Store(&c)
	return nil
}

func handleIntroduce(_ context.Context, s *Session, payload []byte) (Reply, error) {
	if s.peer.Load() == nil { // a second question changes nothing
		if err := s.setPeer(payload, false); err != nil {
			return Reply{}, err
		}
	}
	answer, err := json.Marshal(s.ours())
	return Reply{replyOK, answer}, err
}

// handleCancel stops a transfer of ours: "TASK-or-None error".
func handleCancel(_ context.Context, s *Session, payload []byte) (Reply, error) {
	task, text, ok := bytes.Cut(payload, []byte{' '})
	if !ok || !json.Valid(text) {
		return Reply{}, errors.New("task and error JSON expected")
	}
	remote := &RemoteError{Command: "cancel_task", Fault: fault.Parse(text)}
	line := "The task was requested to be canceled but no task_id was received: "
	if s.sendings.cancel(string(task), remote) {
		line = "The task was canceled due to the following error on the remote node: "
	}
	s.refusals.Log(s.log, slog.LevelError, line+logging.Quote(remote.Error()))
	return OK("Request received correctly"), nil
}

// expire removes what a peer started and left.
func (s *Session) expire(ctx context.Context) {
	every := min(s.cfg.Limits.StringAge, s.cfg.Limits.UploadAge) / 4
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.strings.Expire(now)
			s.uploads.expire(now)
		case <-ctx.Done():
			return
		}
	}
}

// logRefusal writes down why a request was refused. All unknown commands share
// one line, since a peer could think of any number of them.
func (s *Session) logRefusal(command string, r route, err error) {
	if r.unknown {
		s.refusals.Log(s.log, slog.LevelDebug, "Unknown command", slog.String("command", logging.Cut(command)))
		return
	}
	s.refusals.Log(s.log, slog.LevelError,
		fmt.Sprintf("Unhandled error processing request 'b'%s'': %s", quoteCommand(command), logging.Quote(err.Error())))
}

// quoteCommand makes a peer's command name fit for a log line.
func quoteCommand(name string) string { return logging.Quote(name) }
