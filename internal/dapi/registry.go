package dapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"testudo/internal/rbac"
	"testudo/internal/result"
)

// Call is what a running function knows of its request beside its arguments.
type Call struct {
	Node         string // this one
	Master       bool   // it is the master
	Permissions  rbac.Permissions
	User         string
	Nodes        []string // of the cluster, as the asker knew them
	Broadcasting bool     // the request concerns all nodes
	FromCluster  bool     // another node has routed it here
}

// Function is one function that requests can name.
type Function struct {
	Module, Name string      // as on the wire: "wazuh.agent", "get_agents" or "Agent.get_agents_overview"
	Type         RequestType // how the original's API asks for it; the request's own type routes
	Async        bool        // a request must say the same of it
	Client       string      // name of the argument that the original fills with a local client; "" for none
	Params       []Param
	Needs        []Permission
	Run          func(ctx context.Context, c *Call, args json.RawMessage) (result.Result, error)

	// run is Run for arguments that were split already; nil where Typed has not
	// made it.
	run func(ctx context.Context, c *Call, args result.Object) (result.Result, error)
}

// Param is an argument of a function.
type Param struct {
	Name     string
	Required bool
}

// Permission is a permission that a function asks for: action and form of the
// resource, such as "agent:read" and "agent:id".
type Permission struct{ Action, Resource string }

// Key is the name by which the function is found.
func (f Function) Key() string { return f.Module + "." + f.Name }

// ArgumentError says that the arguments of a request are not those of the
// function.
type ArgumentError struct {
	Function string
	Reason   string
}

func (e *ArgumentError) Error() string { return "arguments of " + e.Function + ": " + e.Reason }

// Typed gives the function its Params and Run: arguments are read into an A, a
// struct whose fields have `json` tags and, where the argument must be given,
// `required:"true"`. null is as good as nothing for those that need not. Run
// returns an *ArgumentError for arguments that do not fit. It panics when A is
// no struct, which is a mistake in the program.
func Typed[A any](f Function, run func(ctx context.Context, c *Call, args A) (result.Result, error)) Function {
	params := paramsOf(reflect.TypeFor[A]())
	f.Params = make([]Param, len(params))
	for i, p := range params {
		f.Params[i] = p.Param
	}
	key := f.Key()
	f.run = func(ctx context.Context, c *Call, args result.Object) (result.Result, error) {
		var into A
		if err := readParams(reflect.ValueOf(&into).Elem(), params, args); err != nil {
			return nil, &ArgumentError{key, err.Error()}
		}
		return run(ctx, c, into)
	}
	f.Run = func(ctx context.Context, c *Call, args json.RawMessage) (result.Result, error) {
		object, err := result.ReadObject(args, result.Limits{Bytes: len(args), Depth: maxDepth})
		if err != nil {
			return nil, &ArgumentError{key, err.Error()}
		}
		return f.run(ctx, c, object)
	}
	return f
}

// param is a Param and its field.
type param struct {
	Param
	index []int
}

func paramsOf(t reflect.Type) (list []param) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		list = append(list, param{Param{cmp.Or(name, f.Name), f.Tag.Get("required") == "true"}, f.Index})
	}
	return list
}

// readParams reads arguments into a struct. Names are told apart to the
// letter, as the original does. The errors hold names, never values.
func readParams(into reflect.Value, params []param, args result.Object) error {
	for _, m := range args {
		i := slices.IndexFunc(params, func(p param) bool { return p.Name == m.Name })
		if i < 0 {
			return fmt.Errorf("no argument %.64q", m.Name)
		}
		if string(m.Value) == "null" {
			continue
		}
		if err := readArgument(m.Value, into.FieldByIndex(params[i].index).Addr().Interface()); err != nil {
			return fmt.Errorf("argument %.64q is of another type", m.Name)
		}
	}
	for _, p := range params {
		if p.Required && !args.Has(p.Name) {
			return fmt.Errorf("argument %q is missing", p.Name)
		}
	}
	return nil
}

// readArgument reads a value that is known to be JSON. The usual types need no
// look at the whole of it.
func readArgument(value json.RawMessage, into any) error {
	switch into := into.(type) {
	case *json.RawMessage:
		*into = value
		return nil
	case *bool:
		return readBool(value, into)
	case *string:
		if plain, rest, ok := plainText(value); ok && len(rest) == 0 {
			*into = plain
			return nil
		}
	}
	return json.Unmarshal(value, into)
}

// Registry is the functions that this node can run.
type Registry struct {
	functions map[string]*Function
}

// NewRegistry makes a registry. Two functions of one name, and one without a
// name or Run, are an error.
func NewRegistry(list ...Function) (*Registry, error) {
	r := &Registry{functions: make(map[string]*Function, len(list))}
	for _, f := range list {
		key := f.Key()
		switch {
		case f.Module == "" || f.Name == "" || f.Run == nil:
			return nil, fmt.Errorf("function %q: a module, a name and something to run expected", key)
		case r.functions[key] != nil:
			return nil, fmt.Errorf("function %s: there twice", key)
		}
		r.functions[key] = &f
	}
	return r, nil
}

// Functions lists all functions by module and name.
func (r *Registry) Functions() []Function {
	list := make([]Function, 0, len(r.functions))
	for _, f := range r.functions {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Function) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// find gives the function that a request names, or nil.
func (r *Registry) find(c result.Callable) *Function { return r.functions[c.Key()] }
