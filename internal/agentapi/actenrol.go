package agentapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/enrolment"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/unixsock"
)

// enrolSocket is where the master's enrolment daemon takes requests
// (docs/agentfunctions.md §4).
const enrolSocket = "queue/sockets/auth"

const (
	maxAgentName = 128
	keyLength    = 64 // of a key at least
)

// agentName is what names of agents are made of: the daemon takes anything, and
// its file would suffer.
var agentName = regexp.MustCompile(`^[A-Za-z0-9_.%-]+$`)

// enrolKey is what keys are made of: they stand in the same line.
var enrolKey = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// enrolment asks the daemon one thing, on a connection of its own. Without a
// daemon it is error 1726; refusal makes an error of what the daemon does not do.
func (x *Changes) enrolment(ctx context.Context, request enrolment.Message, refusal func(*enrolment.Refusal) error) (enrolment.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Talk)
	defer cancel()
	client, err := unixsock.Dial(ctx, filepath.Join(x.cfg.Dir, enrolSocket), unixsock.LengthPrefix(), unixsock.Limits{})
	if err != nil {
		return enrolment.Answer{}, fault.Wrap(fault.RegistrarAbsent, nil, err)
	}
	defer client.Close()
	reply, err := client.Call(ctx, request.JSON())
	if err != nil {
		return enrolment.Answer{}, fault.Wrap(fault.SocketTalk, enrolSocket, err)
	}
	answer, err := enrolment.ParseAnswer(reply)
	switch {
	case err != nil:
		return enrolment.Answer{}, fault.Wrap(fault.SocketTalk, enrolSocket, err)
	case answer.Refusal != nil:
		return enrolment.Answer{}, refusal(answer.Refusal)
	}
	return answer, nil
}

// compact encodes without what JSON in web pages needs.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

type addArgs struct {
	Name  string     `json:"name"`
	ID    *string    `json:"agent_id"`
	Key   *string    `json:"key"`
	IP    *string    `json:"ip"`
	Force *forceArgs `json:"force"`
}

// forceArgs says when an agent in the way is replaced.
type forceArgs struct {
	Enabled      *bool `json:"enabled"`
	Disconnected *struct {
		Enabled *bool           `json:"enabled"`
		Value   json.RawMessage `json:"value"`
	} `json:"disconnected_time"`
	Registered json.RawMessage `json:"after_registration_time"`
}

// addAgent enrols an agent and gives its id and what it needs to import its key.
// The row in the database is the daemon's to write, and follows its key.
func (x *Changes) addAgent(ctx context.Context, c *dapi.Call, a addArgs) (result.Result, error) {
	if err := onMaster(c); err != nil {
		return nil, err
	}
	if !c.Permissions.Allows("agent:create", noResource+":*") {
		return nil, rbac.Denied(noResource)
	}
	wanted, err := a.check()
	if err != nil {
		return nil, err
	}
	made, err := x.enrolment(ctx, enrolment.Message{Function: enrolment.FunctionAdd, Arguments: wanted}, func(r *enrolment.Refusal) error {
		switch r.Code {
		case enrolment.CodeNameUsed:
			return fault.New(fault.AgentNameTaken, wanted.Name)
		case enrolment.CodeAddressUsed, enrolment.CodeNoAddress:
			return fault.New(fault.AgentAddressTaken, wanted.IP)
		case enrolment.CodeIDUsed:
			return fault.New(fault.AgentIDTaken, wanted.ID)
		}
		return fault.New(fault.RegisterFailed, r.Text)
	})
	if err == nil && made.ID == "" {
		err = fault.Wrap(fault.SocketTalk, enrolSocket, enrolment.ErrAnswer)
	}
	if err != nil {
		return nil, err
	}
	line := strings.Join([]string{made.ID, made.Name, made.IP, made.Key.Reveal()}, " ")
	return result.NewPlain(map[string]any{"data": map[string]string{
		"id": made.ID, "key": base64.StdEncoding.EncodeToString([]byte(line)),
	}})
}

// check makes the daemon's arguments of ours. It takes nothing that would spoil
// client.keys, which the original's daemon does not look after.
func (a addArgs) check() (n enrolment.Arguments, err error) {
	wrong := func(argument, meaning string) (enrolment.Arguments, error) {
		reason := fmt.Sprintf("argument %q is no %s of an agent", argument, meaning)
		return enrolment.Arguments{}, &dapi.ArgumentError{Function: "add_agent", Reason: reason}
	}
	switch n.Name = a.Name; {
	case len(a.Name) > maxAgentName:
		return n, fault.New(fault.AgentNameLong, nil)
	case !agentName.MatchString(a.Name):
		return wrong("name", "name")
	}
	if n.IP = enrolment.AnyAddress; a.IP != nil {
		n.IP = *a.IP
	}
	if _, err := enrolment.ParseAddress(n.IP); err != nil {
		return n, fault.New(fault.AgentAddressTaken, n.IP)
	}
	if a.ID != nil {
		id, err := agent.ParseID(*a.ID)
		if err != nil || id == agent.Manager {
			return wrong("agent_id", "id")
		}
		n.ID = id.String()
	}
	if a.Key != nil {
		if len(*a.Key) < keyLength {
			return n, fault.New(fault.AgentKeyShort, nil)
		}
		if !enrolKey.MatchString(*a.Key) {
			return wrong("key", "key")
		}
		n.Key = agent.NewSecret(*a.Key)
	}
	if a.Force != nil {
		rules, ok := a.Force.complete()
		if !ok {
			return wrong("force", "rule for the replacement")
		}
		n.Force = &rules
	}
	return n, nil
}

// complete gives what the daemon must be told once it is told anything: one hour
// where nothing else is said. ok is false when a time is none.
func (f *forceArgs) complete() (e enrolment.Force, ok bool) {
	e, ok = enrolment.DefaultForce(), true
	if f.Enabled != nil {
		e.Enabled = *f.Enabled
	}
	if f.Registered != nil {
		e.AfterRegistration, ok = enrolment.ParseTime(f.Registered)
	}
	if d := f.Disconnected; d != nil {
		if d.Enabled != nil {
			e.DisconnectedEnabled = *d.Enabled
		}
		if d.Value != nil && ok {
			e.Disconnected, ok = enrolment.ParseTime(d.Value)
		}
	}
	return e, ok
}
