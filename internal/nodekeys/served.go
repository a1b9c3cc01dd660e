package nodekeys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/unixsock"
)

// SocketPath is where agents are registered, relative to a home.
const SocketPath = "queue/sockets/auth"

// socketTime bounds one question.
const socketTime = time.Minute

func socketOf(dir string) string { return filepath.Join(dir, SocketPath) }

// served asks whoever registers agents. Each connection carries one question.
type served struct{ path string }

func (s served) call(ctx context.Context, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, socketTime)
	defer cancel()
	client, err := unixsock.Dial(ctx, s.path, unixsock.LengthPrefix(), unixsock.Limits{
		Message: enrolment.MaxMessage, Reply: enrolment.MaxMessage, Read: socketTime, Write: socketTime,
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%s: %w", s.path, ErrNobody)
	case err != nil:
		return nil, err
	}
	defer client.Close()
	reply, err := client.Call(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("ask who registers agents at %s: %w", s.path, err)
	}
	return reply, nil
}

// look finds out whether anybody answers.
func (s served) look(ctx context.Context) error {
	_, err := s.call(ctx, []byte("getconfig auth"))
	return err
}

func (s served) ask(ctx context.Context, m enrolment.Message) (enrolment.Answer, error) {
	reply, err := s.call(ctx, m.JSON())
	if err != nil {
		return enrolment.Answer{}, err
	}
	answer, err := enrolment.ParseAnswer(reply)
	if err == nil && answer.Refusal != nil {
		err = refusal(answer.Refusal)
	}
	return answer, err
}

func (s served) add(ctx context.Context, a Addition) (agent.Key, error) {
	answer, err := s.ask(ctx, enrolment.Message{Function: enrolment.FunctionAdd, Arguments: enrolment.Arguments{
		Name: a.Name, IP: a.Address, ID: a.ID, Key: a.Key, Groups: a.Groups,
		Force: &enrolment.Force{Enabled: a.Replace}, // with nothing that an agent in the way could say against it
	}})
	if err != nil {
		return agent.Key{}, err
	}
	id, err := agent.ParseID(answer.ID)
	if err != nil {
		return agent.Key{}, enrolment.ErrAnswer
	}
	return agent.Key{ID: id, Text: answer.ID, Name: answer.Name, Address: answer.IP, Secret: answer.Key}, nil
}

func (s served) remove(ctx context.Context, id string, purge bool) error {
	_, err := s.ask(ctx, enrolment.Message{
		Function: enrolment.FunctionRemove, Arguments: enrolment.Arguments{ID: id, Purge: purge},
	})
	return err
}

func (served) close() error { return nil }

// refusal is a refusal in words for people.
func refusal(err error) error {
	r, ok := errors.AsType[*enrolment.Refusal](err)
	switch {
	case !ok:
		return err
	case r.Code == enrolment.CodeUnknownID:
		return ErrUnknown
	case r.Code == 0:
		return fmt.Errorf("refused: %q", r.Text)
	}
	if meaning := meanings[r.Code]; meaning != "" {
		return fmt.Errorf("refused: %q (%d): %s", r.Text, r.Code, meaning)
	}
	return fmt.Errorf("refused: %q (%d)", r.Text, r.Code)
}

// meanings says what the numbers mean to an operator. It is read only.
var meanings = map[int]string{
	enrolment.CodeInternal:    "the node's log says why",
	enrolment.CodeAddressUsed: "another agent has this address",
	enrolment.CodeNameUsed:    "another agent has this name, or it is the name of this host",
	enrolment.CodeKey:         "a key has 1 to 128 characters, no blanks among them",
	enrolment.CodeNoID:        "an id has 1 to 8 digits and is not 0",
	enrolment.CodeIDUsed:      "another agent has this id",
	enrolment.CodeGroups:      "one of the groups does not exist, or there are too many",
}
