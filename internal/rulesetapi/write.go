package rulesetapi

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"testudo/internal/atomicfile"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

type uploadArgs struct {
	Name      oneText `json:"filename" required:"true"`
	Content   string  `json:"content" required:"true"`
	Directory string  `json:"relative_dirname"`
	Overwrite bool    `json:"overwrite"`
}

type deleteArgs struct {
	Name      oneText `json:"filename" required:"true"`
	Directory string  `json:"relative_dirname"`
}

// fileMode is that of the original's files.
const fileMode = 0o660

// target is a file to be written or deleted.
type target struct {
	kind      *kind
	dir, name string
	within    string // its path below the kind's own folder
}

// target checks where a file is to be.
func (a *API) target(k *kind, dir, name string) (target, error) {
	if err := k.checkName(name); err != nil {
		return target{}, err
	}
	within, err := a.place(k, dir)
	if err != nil {
		return target{}, err
	}
	return target{kind: k, dir: dir, name: name, within: path.Join(within, name)}, nil
}

// open opens the folder that all writing of a kind happens in.
func (a *API) open(t target) (*os.Root, error) {
	root, err := a.cfg.Home.OpenRoot(t.kind.own)
	if err == nil {
		var info fs.FileInfo
		if info, err = root.Stat(path.Dir(t.within)); err == nil && info.IsDir() {
			return root, nil
		}
		root.Close()
	}
	if t.kind == listKind {
		return nil, fault.Wrap(fault.ListCreate, t.dir, err)
	}
	return nil, fault.Wrap(t.kind.folderAbsent, t.dir, err)
}

// onMaster refuses to write on a worker, whose files the master would replace.
func onMaster(c *dapi.Call) error {
	if !c.Master {
		return fault.New(fault.Unspecified, "files of the ruleset are changed on the master only")
	}
	return nil
}

// upload writes a file.
func (a *API) upload(c *dapi.Call, k *kind, args uploadArgs) (result.Result, error) {
	if !c.Permissions.Allows(k.action+":update", "*:*:*") {
		return nil, rbac.Denied("*:*")
	}
	if err := onMaster(c); err != nil {
		return nil, err
	}
	if args.Directory == "" {
		args.Directory = k.own
	}
	r := &result.Affected{AllMsg: k.uploaded, NoneMsg: k.notUploaded}
	name := pathOf(args.Directory, string(args.Name))
	if err := a.put(c, k, &args); err != nil {
		return answer(r, name, err)
	}
	return r, r.Add(name)
}

// answer is the one of an operation that failed: errors about the file are its
// failed item, others are of the whole request.
func answer(r *result.Affected, name string, err error) (result.Result, error) {
	var e *fault.Error
	if !errors.As(err, &e) || e.Code == fault.SectionAbsent || e.Code == fault.UnknownComponent {
		return nil, err
	}
	r.Fail(e, fault.TextID(name))
	return r, nil
}

// put checks all that can be checked before anything is touched. The file that
// is there stays until the new one takes its place.
func (a *API) put(c *dapi.Call, k *kind, args *uploadArgs) error {
	t, err := a.target(k, args.Directory, string(args.Name))
	if err != nil {
		return err
	}
	if err := k.checkContent(args.Content, a.cfg.FileBytes); err != nil {
		return err
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if k == listKind {
		if err := a.onlyHere(t); err != nil {
			return err
		}
	}
	root, err := a.open(t)
	if err != nil {
		return err
	}
	defer root.Close()
	switch info, err := root.Lstat(t.within); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return t.failed(err)
	case info.IsDir() && k == listKind:
		return fault.New(fault.ListIsFolder, nil)
	case info.IsDir() || !args.Overwrite:
		return fault.New(fault.UploadExists, nil)
	case !c.Permissions.Allows(k.action+":delete", k.resource+":"+t.name):
		return rbac.Denied(k.resource, t.name)
	}
	sweep(root, path.Dir(t.within))
	o := atomicfile.Options{Mode: fileMode, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true}
	if a.cfg.Identity != nil && os.Geteuid() == 0 {
		if uid, gid, ok := a.cfg.Identity(); ok {
			o.UID, o.GID = uid, gid
		}
	}
	if err := atomicfile.Write(root, t.within, []byte(args.Content), o); err != nil {
		return t.failed(err)
	}
	return nil
}

// onlyHere refuses a list whose name another folder has already: rules could
// not tell them apart.
func (a *API) onlyHere(t target) error {
	all, err := a.listFiles()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(f file) bool { return f.name == t.name && f.dir != t.dir }) {
		return fault.New(fault.ListNameTaken, nil)
	}
	return nil
}

// failed is the error of a writing that the system refused.
func (t target) failed(err error) *fault.Error {
	why := "it could not be written"
	var number syscall.Errno
	if errors.As(err, &number) {
		why += ": " + number.Error()
	}
	if t.kind == listKind {
		return fault.Wrap(fault.ListCreate, why, err)
	}
	return fault.Wrap(fault.ConfigWrite, why, err)
}

// leftoverAge is how old the remains of a writing are that a crash cut off.
const leftoverAge = 10 * time.Minute

// sweep removes such remains. It is a service: what cannot be removed stays, and
// no list of files shows it.
func sweep(root *os.Root, dir string) {
	d, err := root.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		if !atomicfile.IsTemporary(name) {
			continue
		}
		at := path.Join(dir, name)
		if info, err := root.Lstat(at); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftoverAge {
			_ = root.Remove(at)
		}
	}
}

// remove deletes a file.
func (a *API) remove(c *dapi.Call, k *kind, args deleteArgs) (result.Result, error) {
	name := string(args.Name)
	if !c.Permissions.Allows(k.action+":delete", k.resource+":"+name) {
		return nil, rbac.Denied(k.resource, name)
	}
	if err := onMaster(c); err != nil {
		return nil, err
	}
	if args.Directory == "" {
		args.Directory = k.own
	}
	r := &result.Affected{AllMsg: k.deleted, NoneMsg: k.notDeleted}
	shown := pathOf(args.Directory, name)
	if err := a.unlink(k, args.Directory, name); err != nil {
		return answer(r, shown, err)
	}
	return r, r.Add(shown)
}

func (a *API) unlink(k *kind, dir, name string) error {
	t, err := a.target(k, dir, name)
	if err != nil {
		return err
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	root, err := a.open(t)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(t.within)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.UploadAbsent, nil)
	case err != nil:
		return fault.Wrap(fault.UploadKept, nil, err)
	case info.IsDir():
		return fault.New(fault.UploadKept, nil)
	}
	if k == listKind {
		// The compiled list goes first: without its text it would be an orphan.
		if err := root.Remove(t.within + compiledEnding); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(fault.UploadKept, nil, err)
		}
	}
	if err := root.Remove(t.within); err != nil {
		return fault.Wrap(fault.UploadKept, nil, err)
	}
	return syncDirectory(root, path.Dir(t.within))
}

// syncDirectory makes a deletion durable.
func syncDirectory(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return fault.Wrap(fault.FileUnreadable, strings.TrimPrefix(dir, "./"), err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fault.Wrap(fault.FileUnreadable, "the deletion may not last", err)
	}
	return nil
}
