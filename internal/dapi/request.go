package dapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// Bounds of a request. Its bytes are bounded by Config.RequestBytes.
const (
	maxDepth    = 64
	maxNames    = 4096 // nodes or daemons that it lists
	maxNameText = 256  // bytes of one, of the user's name and of an argument's
)

// leastTimeout is the time-out of a function for requests that have none, or a
// smaller one: the original's intervals.request_timeout.
const leastTimeout = 10 * time.Second

// Request is a decoded request (docs/dapi.md §1).
type Request struct {
	Function     result.Callable
	Args         result.Object
	Type         RequestType // not checked: an unknown one is an error of the answer
	Wait         bool        // the function has no time-out
	FromCluster  bool        // the master has routed it already
	Async        bool
	ClientArg    string // name of the argument that takes a local client; "" for none
	Services     []string
	Permissions  rbac.Permissions
	User         string
	Broadcasting bool
	Nodes        []string
	Timeout      time.Duration // at least leastTimeout

	RemoveDenied bool // nodes without permission are not told as failed
}

var fields = map[string]func(r *Request, value json.RawMessage) error{
	"f":                 func(r *Request, v json.RawMessage) error { return readCallable(v, &r.Function) },
	"f_kwargs":          readArgs,
	"request_type":      func(r *Request, v json.RawMessage) error { return readText(v, (*string)(&r.Type)) },
	"wait_for_complete": func(r *Request, v json.RawMessage) error { return readBool(v, &r.Wait) },
	"from_cluster":      func(r *Request, v json.RawMessage) error { return readBool(v, &r.FromCluster) },
	"is_async":          func(r *Request, v json.RawMessage) error { return readBool(v, &r.Async) },
	"local_client_arg":  func(r *Request, v json.RawMessage) error { return readText(v, &r.ClientArg) },
	"basic_services":    func(r *Request, v json.RawMessage) error { return readTexts(v, &r.Services) },
	"rbac_permissions":  readPermissions,
	"current_user":      func(r *Request, v json.RawMessage) error { return readText(v, &r.User) },
	"broadcasting":      func(r *Request, v json.RawMessage) error { return readBool(v, &r.Broadcasting) },
	"nodes":             func(r *Request, v json.RawMessage) error { return readTexts(v, &r.Nodes) },
	"api_timeout":       readTimeout,
	"debug":             func(_ *Request, v json.RawMessage) error { return readBool(v, new(bool)) },
	"remove_denied_nodes": func(r *Request, v json.RawMessage) error {
		return readBool(v, &r.RemoveDenied)
	},
}

// DecodeRequest reads a request of at most limit bytes. What it returns refers
// to data, which must not be changed afterwards. The error is a *fault.Error
// that can be told to the asker.
func DecodeRequest(data []byte, limit int) (*Request, error) {
	object, err := result.ReadObject(data, result.Limits{Bytes: limit, Depth: maxDepth})
	if err != nil {
		return nil, undecodable(err)
	}
	r := &Request{Type: LocalMaster, Permissions: rbac.All(), Timeout: leastTimeout}
	found := false
	for _, m := range object {
		read, known := fields[m.Name]
		switch {
		case m.Name == "node" || m.Name == "logger":
			return nil, refused("got multiple values for keyword argument '%s'", m.Name)
		case !known:
			return nil, refused("got an unexpected keyword argument '%.64s'", m.Name)
		case string(m.Value) == "null" && m.Name != "f":
			continue
		}
		if err := read(r, m.Value); err != nil {
			return nil, undecodable(fmt.Errorf("%s: %w", m.Name, err))
		}
		found = found || m.Name == "f"
	}
	if !found {
		return nil, refused("'f'")
	}
	return r, nil
}

// refused is the error of a request that cannot be decoded.
func refused(format string, args ...any) *fault.Error {
	return fault.New(fault.Unspecified, fmt.Sprintf(format, args...))
}

func undecodable(err error) *fault.Error {
	reason := strings.ReplaceAll(err.Error(), fault.New(fault.Unspecified, "result: ").Error(), "")
	return fault.Wrap(fault.Unspecified, reason, err)
}

func readArgs(r *Request, v json.RawMessage) (err error) {
	r.Args, err = result.SplitObject(v)
	if err == nil && len(r.Args) > maxNames {
		err = fmt.Errorf("%d arguments, at most %d", len(r.Args), maxNames)
	}
	return err
}

// maxCallable bounds the JSON of the name of a function.
const maxCallable = 64 << 10

func readCallable(v json.RawMessage, to *result.Callable) error {
	if len(v) > maxCallable {
		return fmt.Errorf("%d bytes, at most %d", len(v), maxCallable)
	}
	return to.Split(v)
}

func readPermissions(r *Request, v json.RawMessage) (err error) {
	r.Permissions, err = rbac.Parse(v)
	return err
}

func readBool(v json.RawMessage, to *bool) error {
	if *to = string(v) == "true"; !*to && string(v) != "false" {
		return errors.New("neither true nor false")
	}
	return nil
}

func readText(v json.RawMessage, to *string) error {
	if plain, rest, ok := plainText(v); ok && len(rest) == 0 {
		*to = plain
	} else if err := json.Unmarshal(v, to); err != nil {
		return err
	}
	if len(*to) > maxNameText {
		return fmt.Errorf("a text of %d bytes, at most %d", len(*to), maxNameText)
	}
	return nil
}

// plainText reads a text without escapes at the start of valid JSON, the usual
// case, and what follows it.
func plainText(v []byte) (text string, rest []byte, ok bool) {
	if len(v) == 0 || v[0] != '"' {
		return "", nil, false
	}
	end := bytes.IndexByte(v[1:], '"')
	if end < 0 || bytes.IndexByte(v[1:1+end], '\\') >= 0 {
		return "", nil, false
	}
	return string(v[1 : 1+end]), v[2+end:], true
}

// plainTexts reads a list of such texts, separated as the original does it.
func plainTexts(v []byte) (list []string, ok bool) {
	rest, ok := bytes.CutPrefix(v, []byte{'['})
	for ok && len(rest) > 1 {
		var text string
		if text, rest, ok = plainText(rest); !ok {
			return nil, false
		}
		list = append(list, text)
		if next, more := bytes.CutPrefix(rest, []byte(", ")); more {
			rest = next
		}
	}
	return list, ok && string(rest) == "]"
}

func readTexts(v json.RawMessage, to *[]string) error {
	if list, ok := plainTexts(v); ok {
		*to = list
	} else if err := json.Unmarshal(v, to); err != nil {
		return err
	}
	if len(*to) > maxNames {
		return fmt.Errorf("a list of %d, at most %d", len(*to), maxNames)
	}
	for _, s := range *to {
		if len(s) > maxNameText {
			return fmt.Errorf("a text of %d bytes, at most %d", len(s), maxNameText)
		}
	}
	return nil
}

// maxTimeout bounds what a request can ask for.
const maxTimeout = 24 * time.Hour

func readTimeout(r *Request, v json.RawMessage) error {
	seconds, err := strconv.ParseFloat(string(v), 64) // what is no number in JSON is none for it
	if err != nil {
		return errors.New("no number")
	}
	if seconds > leastTimeout.Seconds() {
		r.Timeout = time.Duration(min(seconds, maxTimeout.Seconds()) * float64(time.Second))
	}
	return nil
}

// JSON is the request as it is sent to another node, with every key that such
// a request has.
func (r *Request) JSON() []byte {
	var o result.Object
	raw := func(name string, v json.RawMessage) { o = append(o, result.Member{Name: name, Value: v}) }
	put := func(name string, v any) { _ = o.Set(name, v) } // all of these can be encoded
	args, _ := r.Args.MarshalJSON()                        // they are JSON as they came

	put("f", r.Function)
	raw("f_kwargs", args)
	put("request_type", r.Type)
	put("wait_for_complete", r.Wait)
	put("from_cluster", r.FromCluster)
	put("is_async", r.Async)
	put("local_client_arg", orNull(r.ClientArg))
	put("basic_services", r.Services)
	raw("rbac_permissions", r.Permissions.JSON())
	put("current_user", r.User)
	put("broadcasting", r.Broadcasting)
	put("nodes", append([]string{}, r.Nodes...))
	put("api_timeout", r.Timeout.Seconds())
	text, _ := o.MarshalJSON() // members are JSON
	return text
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
