// Package atomicfile writes a file whole or not at all: into a temporary file
// beside the target, which then takes the target's place by a rename. Everything
// happens below an os.Root, so no name leads outside it.
package atomicfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Keep leaves the owner, as UID, or the group, as GID: that of the file
// replaced, as far as we may, else our own.
const Keep = -1

// Options says how the file is to be.
type Options struct {
	Mode     fs.FileMode // permission bits, whatever the umask; 0 for those of the file replaced, else 0600
	UID, GID int         // owner; Keep leaves it
	Sync     bool        // return only when file and name are on disk
}

// Write puts data in place of the file called name below root. A link at name
// is itself replaced, not what it points to. On failure the file is as before
// and nothing is left beside it.
func Write(root *os.Root, name string, data []byte, o Options) error {
	_, err := WriteFrom(root, name, bytes.NewReader(data), o)
	return err
}

// WriteFrom is Write for what r gives until its end. It returns the number of
// bytes written; an error of r leaves the file as before.
func WriteFrom(root *os.Root, name string, r io.Reader, o Options) (int64, error) {
	old, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return 0, fmt.Errorf("write file: %w", err)
	case old.IsDir():
		return 0, fmt.Errorf("write file: %w", &fs.PathError{Op: "replace", Path: name, Err: errors.New("is a directory")})
	}
	file, temporary, err := create(root, name)
	if err != nil {
		return 0, fmt.Errorf("write file %s: %w", name, nameless(err, temporary))
	}
	n, err := fill(file, r, old, o)
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		if removeErr := root.Remove(temporary); removeErr != nil {
			err = errors.Join(err, removeErr)
		}
		return 0, fmt.Errorf("write file %s: %w", name, nameless(err, temporary))
	}
	if o.Sync {
		if err := syncDirectory(root, path.Dir(name)); err != nil {
			return n, fmt.Errorf("write file %s: %w", name, err)
		}
	}
	return n, nil
}

// nameless is an error without the name of the temporary file, which is new each
// time: who logs it must see that it is the same again.
func nameless(err error, temporary string) error {
	base := path.Base(temporary)
	if p, ok := errors.AsType[*fs.PathError](err); ok && path.Base(p.Path) == base {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok && path.Base(l.Old) == base {
		return l.Err
	}
	return err
}

// fill writes the content and gives the file its mode and owner; it closes the
// file in any case.
func fill(file *os.File, r io.Reader, old fs.FileInfo, o Options) (n int64, err error) {
	defer func() { err = errors.Join(err, file.Close()) }()
	if n, err = io.Copy(file, r); err != nil {
		return n, err
	}
	// The owner first: giving a file away may clear bits of its mode.
	if err := chown(file, old, o); err != nil {
		return n, err
	}
	mode := o.Mode.Perm()
	if mode == 0 {
		mode = 0o600
		if old != nil && old.Mode().IsRegular() {
			mode = old.Mode().Perm()
		}
	}
	if err := file.Chmod(mode); err != nil {
		return n, err
	}
	if o.Sync {
		return n, file.Sync()
	}
	return n, nil
}

// create makes a new file beside name. A generated name that is taken, which
// chance makes all but impossible, is not tried twice.
func create(root *os.Root, name string) (file *os.File, temporary string, err error) {
	dir, base := path.Split(name)
	temporary = dir + temporaryName(base)
	file, err = root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return file, temporary, err
}

const (
	prefix = "."
	suffix = ".tmp~"
	// randomSize is the number of random characters in a temporary name: 60 bits.
	randomSize = 12
	maxName    = 255
)

// temporaryName is hidden, tells whose it is, and is never too long for a
// directory.
func temporaryName(base string) string {
	room := maxName - len(prefix) - 1 - randomSize - len(suffix)
	if len(base) > room {
		base = strings.ToValidUTF8(base[:room], "")
	}
	return prefix + base + "." + rand.Text()[:randomSize] + suffix
}

// IsTemporary tells whether base, the last part of a path, is a name that this
// package gives to its temporary files. A crash can leave such a file; whoever
// cleans up or lists directories knows it by this.
func IsTemporary(base string) bool {
	inner, ok := strings.CutSuffix(base, suffix)
	if !ok || !strings.HasPrefix(inner, prefix) || len(inner) < len(prefix)+1+randomSize {
		return false
	}
	dot, random := inner[len(inner)-randomSize-1], inner[len(inner)-randomSize:]
	return dot == '.' && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// syncDirectory makes a rename in dir durable.
func syncDirectory(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
