package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"testudo/internal/atomicfile"
	"testudo/internal/filetree"
)

const (
	keysPath = "etc/client.keys"
	// maxFile bounds client.keys: ten million lines of usual length.
	maxFile = 1 << 30
	newMode = 0o640 // of files that we make
)

var (
	// errMoved is returned when another file has taken the place of the one written
	// to: what was written is not in force.
	errMoved = errors.New("another file took the place of client.keys")

	errTooLarge = fmt.Errorf("client.keys has more than %d bytes", maxFile)
)

// keysFile is client.keys on the disk. It is used under the lock of the keys.
type keysFile struct {
	root *os.Root
	o    Options

	seen    fs.FileInfo // the file as we left it; nil: there was none, or we do not know
	missing bool        // it is not there now
	unended bool        // its last line has no end
	end     *os.File    // open for appending to what was seen, once that was done
}

// touched tells whether somebody else has changed the file. That it is not there
// is no change, but see missing.
func (k *keysFile) touched() (bool, error) {
	info, err := k.root.Stat(keysPath)
	if errors.Is(err, fs.ErrNotExist) {
		k.missing = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k.missing = false
	return !unchanged(k.seen, info), nil
}

// unchanged tells whether two looks at a file saw the same one.
func unchanged(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return false
	}
	// A file may be written in place, and its time put back.
	_, changedA := filetree.Identity(a)
	_, changedB := filetree.Identity(b)
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changedA == changedB
}

// read gives all of the file; "" when it is not there.
func (k *keysFile) read() (string, error) {
	k.forget()
	f, err := k.root.OpenFile(keysPath, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		k.missing = true
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", keysPath)
	}
	if info.Size() > maxFile {
		return "", errTooLarge
	}
	var b strings.Builder
	b.Grow(int(info.Size()))
	// What comes behind the size is of a change that the next look finds.
	if _, err := io.Copy(&b, io.LimitReader(f, info.Size())); err != nil {
		return "", err
	}
	text := b.String()
	k.missing, k.seen = false, info
	k.unended = text != "" && !strings.HasSuffix(text, "\n")
	return text, nil
}

// forget has the next look take the file for changed.
func (k *keysFile) forget() {
	if k.end != nil {
		k.end.Close()
	}
	k.end, k.seen = nil, nil
}

// openEnd opens the file that was seen for appending.
func (k *keysFile) openEnd() error {
	if k.end != nil {
		return nil
	}
	f, err := k.root.OpenFile(keysPath, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(info, k.seen) {
		err = errMoved
	}
	if err != nil {
		f.Close()
		return err
	}
	k.end = f
	return nil
}

// append adds whole lines to the file that was seen. After an error they are not
// in it, or the next look finds it changed.
func (k *keysFile) append(lines []byte) error {
	if k.unended {
		lines = append([]byte{'\n'}, lines...)
	}
	before := k.seen.Size()
	if before+int64(len(lines)) > maxFile {
		return errTooLarge
	}
	if err := k.openEnd(); err != nil {
		k.forget()
		return err
	}
	n, err := k.end.Write(lines)
	if err == nil && !k.o.NoSync {
		err = dataSync(k.end)
	}
	if err != nil {
		if cutErr := k.cut(before, before+int64(n)); cutErr != nil {
			k.forget()
			return errors.Join(err, cutErr)
		}
		return errors.Join(err, k.left(before))
	}
	k.unended = false
	return k.left(before + int64(n))
}

// endLine ends the last line of the file that was seen, if it has no end.
func (k *keysFile) endLine() error {
	if !k.unended || k.missing || k.seen == nil {
		return nil
	}
	return k.append(nil)
}

// cut takes the end of the file off again, unless somebody has added to it.
func (k *keysFile) cut(to, from int64) error {
	info, err := k.end.Stat()
	if err != nil || info.Size() != from || from == to {
		return err
	}
	if err := k.end.Truncate(to); err != nil || k.o.NoSync {
		return err
	}
	return dataSync(k.end)
}

// left remembers the file as we leave it.
func (k *keysFile) left(size int64) error {
	info, err := k.root.Stat(keysPath)
	if err == nil && k.seen != nil && !os.SameFile(info, k.seen) {
		err = errMoved
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errMoved
	}
	if err != nil {
		k.forget()
		return err
	}
	if k.seen = info; info.Size() != size {
		k.forget() // somebody wrote after us
	}
	return nil
}

// rewrite puts a file of these lines in place.
func (k *keysFile) rewrite(t *table) error {
	n, err := k.o.replace(k.root, keysPath, &lineReader{lines: t.lines, format: func(b []byte, l *line) []byte {
		return append(append(b, l.text...), '\n')
	}}, !k.o.NoSync)
	k.forget()
	if err != nil {
		return err
	}
	k.missing, k.unended = false, false
	return k.left(n)
}

// replace writes a file whole. One that is there keeps its mode and owner.
func (o *Options) replace(root *os.Root, name string, r io.Reader, sync bool) (int64, error) {
	how := atomicfile.Options{UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: sync}
	if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		how.Mode = newMode
		if o.UID > 0 {
			how.UID = o.UID
		}
		if o.GID > 0 {
			how.GID = o.GID
		}
	}
	return atomicfile.WriteFrom(root, name, r, how)
}

// lineReader gives the text of lines without holding all of it.
type lineReader struct {
	lines   []line
	format  func(b []byte, l *line) []byte
	buffer  []byte
	pending []byte // of buffer
}

// Read gives the next bytes.
func (r *lineReader) Read(b []byte) (int, error) {
	for len(r.pending) == 0 {
		if len(r.lines) == 0 {
			return 0, io.EOF
		}
		r.buffer = r.buffer[:0]
		for len(r.lines) > 0 && len(r.buffer) < len(b) {
			r.buffer = r.format(r.buffer, &r.lines[0])
			r.lines = r.lines[1:]
		}
		r.pending = r.buffer
	}
	n := copy(b, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}
