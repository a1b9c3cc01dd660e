package keyhistory

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// mostAnswer is how much of an answer is read, in bytes.
const mostAnswer = 64 << 10

// Exchange puts a request line to a port and returns all that it answers, which is
// nothing when it does not. It is a client of its own on purpose.
func Exchange(ctx context.Context, address, line string) (answer string, err error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // as agents do
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	defer unhook()
	if _, err := io.WriteString(conn, line); err != nil {
		return "", err
	}
	var b strings.Builder
	record := make([]byte, 16<<10)
	for b.Len() < mostAnswer {
		n, err := conn.Read(record)
		b.Write(record[:n])
		if quoted, ok := strings.CutPrefix(b.String(), acceptPrefix); ok && strings.Contains(quoted, "'") {
			return b.String(), nil
		}
		if err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return b.String(), ctx.Err()
	}
	return b.String(), nil
}

// Enrol has an agent ask once at a port, and returns what came of it. When ctx ends
// before the answer, it was the client who went away.
func (h *History) Enrol(ctx context.Context, address string, r Registration) *Registration {
	asked := h.Ask(r)
	line := "OSSEC A:'" + asked.Name + "' V:'v4.7.5'"
	if asked.Address != anyAddress {
		line += " IP:'" + asked.Address + "'"
	}
	answer, err := Exchange(ctx, address, line+"\n")
	if err != nil && answer == "" && ctx.Err() != nil {
		h.mu.Lock()
		asked.Broken = true
		h.mu.Unlock()
	}
	h.Answer(asked, answer)
	return asked
}

// errAnswer is returned for an answer of a local socket that is none.
var errAnswer = errors.New("not an answer of a local socket")

// askSocket puts a message to a local socket.
func askSocket(ctx context.Context, path string, message any) (code int, data json.RawMessage, err error) {
	text, err := json.Marshal(message)
	if err != nil {
		return 0, nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	defer unhook()
	if _, err := conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return 0, nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return 0, nil, err
	}
	if binary.LittleEndian.Uint32(size[:]) > mostAnswer {
		return 0, nil, errAnswer
	}
	text = make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, text); err != nil {
		return 0, nil, err
	}
	var answer struct {
		Error *int
		Data  json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error == nil {
		return 0, nil, fmt.Errorf("%w: %.80q", errAnswer, text)
	}
	return *answer.Error, answer.Data, nil
}

// Numbers of refusals that say that nothing was done.
const (
	addressUsed = 9007
	nameUsed    = 9008
	unknownID   = 9011
)

// RemoveAt removes an agent by a local socket.
func (h *History) RemoveAt(ctx context.Context, socket, id string, purge bool) *Removal {
	r := h.Remove(id, purge)
	code, _, err := askSocket(ctx, socket, map[string]any{
		"function": "remove", "arguments": map[string]any{"id": id, "purge": purge},
	})
	switch {
	case err == nil && code == 0:
		h.Removed(r, Done)
	case err == nil && code == unknownID:
		h.Removed(r, Refused)
	default:
		h.Removed(r, Unknown)
	}
	return r
}

// AddAt adds an agent by a local socket, in the place of whoever is there.
func (h *History) AddAt(ctx context.Context, socket string, r Registration) *Registration {
	r.Forced = true
	asked := h.Ask(r)
	code, data, err := askSocket(ctx, socket, map[string]any{
		"function": "add", "arguments": map[string]any{"name": asked.Name, "ip": asked.Address, "force": map[string]any{
			"enabled": true, "key_mismatch": true, "disconnected_time": map[string]any{"enabled": false, "value": 0},
			"after_registration_time": 0,
		}},
	})
	var e struct{ ID, Name, IP, Key string }
	switch {
	case err == nil && code == 0 && json.Unmarshal(data, &e) == nil:
		h.AnswerAs(asked, Done, Entry{e.ID, e.Name, e.IP, e.Key}, "")
	case err == nil && (code == addressUsed || code == nameUsed):
		h.AnswerAs(asked, Refused, Entry{}, fmt.Sprintf("Duplicate (%d)", code))
	default:
		h.AnswerAs(asked, Unknown, Entry{}, "")
	}
	return asked
}
