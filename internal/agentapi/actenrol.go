package agentapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/unixsock"
)

// enrolSocket is where the master's enrolment daemon takes requests
// (docs/agentfunctions.md §4).
const enrolSocket = "queue/sockets/auth"

// Numbers of the enrolment daemon's errors.
const (
	enrolNoAddress    = 9006
	enrolAddressTaken = 9007
	enrolNameTaken    = 9008
	enrolNoAgent      = 9011
	enrolIDTaken      = 9012
)

const (
	maxAgentName = 128
	keyLength    = 64 // of a key at least
)

// agentName is what names of agents are made of: the daemon takes anything, and
// its file would suffer.
var agentName = regexp.MustCompile(`^[A-Za-z0-9_.%-]+$`)

// enrolKey is what keys are made of: they stand in the same line.
var enrolKey = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// enrolment asks the daemon one thing, on a connection of its own. The answer's
// data goes to into. Without a daemon it is error 1726; refusal makes an error
// of what the daemon does not do.
func (x *Changes) enrolment(ctx context.Context, request any, into any, refusal func(code int, text string) error) error {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Talk)
	defer cancel()
	body, err := compact(request)
	if err != nil {
		return err
	}
	client, err := unixsock.Dial(ctx, filepath.Join(x.cfg.Dir, enrolSocket), unixsock.LengthPrefix(), unixsock.Limits{})
	if err != nil {
		return fault.Wrap(fault.RegistrarAbsent, nil, err)
	}
	defer client.Close()
	reply, err := client.Call(ctx, body)
	if err != nil {
		return fault.Wrap(fault.SocketTalk, enrolSocket, err)
	}
	var answer struct {
		Error   *int            `json:"error"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(reply, &answer); err != nil || answer.Error == nil {
		return fault.Wrap(fault.SocketTalk, enrolSocket+": the answer is not understood", err)
	}
	if *answer.Error != 0 {
		return refusal(*answer.Error, answer.Message)
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return fault.Wrap(fault.SocketTalk, enrolSocket+": the answer is not understood", err)
	}
	return nil
}

// compact encodes without what JSON in web pages needs.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

type enrolRequest struct {
	Function  string `json:"function"`
	Arguments any    `json:"arguments"`
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

// enrolNew is the arguments of the daemon's function "add".
type enrolNew struct {
	Name  string      `json:"name"`
	IP    string      `json:"ip"`
	ID    string      `json:"id,omitempty"`
	Key   string      `json:"key,omitempty"`
	Force *enrolForce `json:"force,omitempty"`
}

type enrolForce struct {
	Enabled      bool `json:"enabled"`
	KeyMismatch  bool `json:"key_mismatch"`
	Disconnected struct {
		Enabled bool            `json:"enabled"`
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
	var made struct{ ID, Name, IP, Key string }
	err = x.enrolment(ctx, enrolRequest{"add", wanted}, &made, func(code int, text string) error {
		switch code {
		case enrolNameTaken:
			return fault.New(fault.AgentNameTaken, wanted.Name)
		case enrolAddressTaken, enrolNoAddress:
			return fault.New(fault.AgentAddressTaken, wanted.IP)
		case enrolIDTaken:
			return fault.New(fault.AgentIDTaken, wanted.ID)
		}
		return fault.New(fault.RegisterFailed, text)
	})
	if err != nil {
		return nil, err
	}
	line := strings.Join([]string{made.ID, made.Name, made.IP, made.Key}, " ")
	return result.NewPlain(map[string]any{"data": map[string]string{
		"id": made.ID, "key": base64.StdEncoding.EncodeToString([]byte(line)),
	}})
}

// check makes the daemon's arguments of ours. It takes nothing that would spoil
// client.keys, which the daemon does not look after.
func (a addArgs) check() (*enrolNew, error) {
	n := &enrolNew{Name: a.Name, IP: "any"}
	switch {
	case len(a.Name) > maxAgentName:
		return nil, fault.New(fault.AgentNameLong, nil)
	case !agentName.MatchString(a.Name):
		return nil, &dapi.ArgumentError{Function: "add_agent", Reason: "argument \"name\" is no name of an agent"}
	}
	if a.IP != nil {
		n.IP = *a.IP
	}
	if !isAddress(n.IP) {
		return nil, fault.New(fault.AgentAddressTaken, n.IP)
	}
	if a.ID != nil {
		id, err := agent.ParseID(*a.ID)
		if err != nil || id == agent.Manager {
			return nil, &dapi.ArgumentError{Function: "add_agent", Reason: "argument \"agent_id\" is no id of an agent"}
		}
		n.ID = id.String()
	}
	if a.Key != nil {
		if len(*a.Key) < keyLength {
			return nil, fault.New(fault.AgentKeyShort, nil)
		}
		if !enrolKey.MatchString(*a.Key) {
			return nil, &dapi.ArgumentError{Function: "add_agent", Reason: "argument \"key\" is no key of an agent"}
		}
		n.Key = *a.Key
	}
	n.Force = a.Force.complete()
	return n, nil
}

// isAddress tells whether a text is "any", an address or a network.
func isAddress(text string) bool {
	if text == "any" {
		return true
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Zone() == ""
	}
	address, bits, ok := strings.Cut(text, "/")
	if !ok {
		return false
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, maskErr := netip.ParseAddr(bits)
	a, err := netip.ParseAddr(address)
	return maskErr == nil && err == nil && a.Is4()
}

// complete gives what the daemon must be told once it is told anything: one hour
// where nothing else is said.
func (f *forceArgs) complete() *enrolForce {
	if f == nil {
		return nil
	}
	hour := json.RawMessage(`"1h"`)
	e := &enrolForce{Enabled: true, KeyMismatch: true, Registered: hour}
	e.Disconnected.Enabled, e.Disconnected.Value = true, hour
	if f.Enabled != nil {
		e.Enabled = *f.Enabled
	}
	if f.Registered != nil {
		e.Registered = f.Registered
	}
	if d := f.Disconnected; d != nil {
		if d.Enabled != nil {
			e.Disconnected.Enabled = *d.Enabled
		}
		if d.Value != nil {
			e.Disconnected.Value = d.Value
		}
	}
	return e
}
