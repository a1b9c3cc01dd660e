package rulesetapi

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// defaultLimit is how many items are told where no limit is given.
const defaultLimit = 500

// texts is an argument that is one text or a list of them.
type texts []string

// UnmarshalJSON reads either form.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// oneText is an argument that is one text, or a list of one.
type oneText string

// UnmarshalJSON reads either form.
func (o *oneText) UnmarshalJSON(data []byte) error {
	var list texts
	if err := list.UnmarshalJSON(data); err != nil {
		return err
	}
	if len(list) != 1 {
		return errors.New("one name expected")
	}
	*o = oneText(list[0])
	return nil
}

// fileArgs choose files.
type fileArgs struct {
	Status    string `json:"status"`
	Directory string `json:"relative_dirname"`
	Names     texts  `json:"filename"`
}

// check refuses a status that does not exist.
func (a *fileArgs) check() error {
	switch a.Status {
	case "", statusAll, statusEnabled, statusDisabled:
		return nil
	}
	return fault.New(fault.BadStatus, nil)
}

// wants tells whether a file is one of those chosen.
func (a *fileArgs) wants(f file) bool {
	return (a.Status == "" || a.Status == statusAll || a.Status == f.status()) &&
		(a.Directory == "" || a.Directory == f.dir) && (len(a.Names) == 0 || slices.Contains(a.Names, f.name))
}

// readable leaves of the files those that the user may read. Files that he named
// and may not read fail; when nothing remains, that is the error.
func readable(c *dapi.Call, k *kind, r *result.Affected, files []file, named texts) ([]file, error) {
	ask := rbac.Ask{
		Action: k.action + ":read", Type: k.resource,
		All: func() ([]string, error) {
			names := make([]string, len(files))
			for i, f := range files {
				names[i] = f.name
			}
			return names, nil
		},
	}
	if len(named) > 0 {
		ask.Named = named
	}
	verdict, err := c.Permissions.Filter(ask)
	if err != nil {
		return nil, err
	}
	if verdict.Refused() {
		return nil, rbac.Denied(k.resource, verdict.Denied...)
	}
	if len(verdict.Denied) > 0 {
		r.Fail(rbac.Denied(k.resource, verdict.Denied...), fault.TextIDs(verdict.Denied...)...)
	}
	allowed := make(map[string]bool, len(verdict.Allowed))
	for _, name := range verdict.Allowed {
		allowed[name] = true
	}
	var kept []file
	for _, f := range files {
		if allowed[f.name] {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// permitted gives what is in the files that the user may read. Those of them that
// are chosen, nil for all, and cannot be read fail. The items are shared.
func permitted[T any](ctx context.Context, a *API, c *dapi.Call, k *kind, r *result.Affected, s *shelf[T], chosen func(file) bool, fileOf func(*T) file) ([]T, error) {
	files, err := a.files(k)
	if err != nil {
		return nil, err
	}
	all, broken, err := s.load(ctx, a.disk, files)
	if err != nil {
		return nil, err
	}
	allowed, err := readable(c, k, r, files, nil)
	if err != nil {
		return nil, err
	}
	may := setOf(allowed)
	tellBroken(r, k, broken, func(f file) bool { return may[f] && (chosen == nil || chosen(f)) })
	if len(allowed) == len(files) {
		return all, nil
	}
	kept := make([]T, 0, len(all))
	for i := range all {
		if may[fileOf(&all[i])] {
			kept = append(kept, all[i])
		}
	}
	return kept, nil
}

func setOf(files []file) map[file]bool {
	set := make(map[file]bool, len(files))
	for _, f := range files {
		set[f] = true
	}
	return set
}

// mayRead is the error of a user who may not read the file of the name.
func mayRead(c *dapi.Call, k *kind, name string) error {
	if !c.Permissions.Allows(k.action+":read", k.resource+":"+name) {
		return rbac.Denied(k.resource, name)
	}
	return nil
}

// tell puts those items into the answer that the request wants. They come in
// the order of the fields named.
func tell(r *result.Affected, a *query.Args, items []json.RawMessage, rules query.Rules, order ...string) error {
	request, err := a.Request(defaultLimit)
	if err != nil {
		return err
	}
	if s := request.Sort; s != nil {
		s.Fields = slices.DeleteFunc(slices.Clone(s.Fields), func(name string) bool { return name == "" })
		if s.Order == "asc" && slices.Equal(s.Fields, order) {
			request.Sort = nil
		}
	}
	if len(items) == 0 {
		request.Select = nil // of nothing, anything can be selected
	}
	page, total, err := query.Items(&request, items, rules)
	if err != nil {
		return err
	}
	r.Items, r.Total = page, total
	return nil
}

// tellBroken lists the files among the chosen ones that could not be read.
func tellBroken[T any](r *result.Affected, k *kind, broken []*book[T], chosen func(file) bool) {
	for _, b := range broken {
		if chosen(b.file) && !errors.Is(b.err, fs.ErrNotExist) {
			r.Fail(k.fault(b.file, b.err), fault.TextID(b.file.path()))
		}
	}
}

// fault is the error of a file that could not be read.
func (k *kind) fault(f file, err error) *fault.Error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(k.forbidden, f.path(), err)
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(k.absent, f.name, err)
	}
	return fault.Wrap(k.unreadable, f.path()+": "+reason(err), err)
}

// filesAnswer tells of files.
func filesAnswer(r *result.Affected, a *query.Args, files []file, rules query.Rules, status bool, order ...string) error {
	items := make([]json.RawMessage, len(files))
	for i, f := range files {
		items[i] = append(appendFile([]byte{'{'}, f, status), '}')
	}
	return tell(r, a, items, rules, order...)
}

// wholeArgs ask for one file of rules or decoders.
type wholeArgs struct {
	Name      oneText `json:"filename" required:"true"`
	Raw       bool    `json:"raw"`
	Directory *string `json:"relative_dirname"`
}

// wholeFile tells what stands in one file.
func (a *API) wholeFile(c *dapi.Call, k *kind, r *result.Affected, args wholeArgs) (result.Result, error) {
	name := string(args.Name)
	if err := mayRead(c, k, name); err != nil {
		return nil, err
	}
	files, err := a.files(k)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(files, func(f file) bool {
		return f.name == name && (args.Directory == nil || *args.Directory == f.dir)
	})
	if at < 0 {
		r.Fail(fault.New(k.absent, name), fault.TextID(name))
		return r, nil
	}
	text, _, err := a.disk.readFile(files[at].path(), a.cfg.FileBytes)
	if err != nil {
		r.Fail(k.fault(files[at], err), fault.TextID(name))
		return r, nil
	}
	if args.Raw {
		return rawText(text)
	}
	roots, err := parseXML(text)
	if err != nil {
		r.Fail(k.fault(files[at], err), fault.TextID(name))
		return r, nil
	}
	r.Items, r.Total = []json.RawMessage{document(roots)}, 1
	return r, nil
}

// rawText is the answer that holds a file as it is.
func rawText(text []byte) (result.Result, error) {
	return result.NewPlain(json.RawMessage(append(appendText([]byte(`{"message": `), string(text)), '}')))
}
