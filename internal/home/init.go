package home

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"testudo/internal/atomicfile"
	"testudo/internal/config"
)

// ErrNotEmpty is returned by Init when the directory holds something already and
// filling the gaps was not asked for.
var ErrNotEmpty = errors.New("directory is not empty")

// Report says what Init did. Paths are relative to the home.
type Report struct {
	Created []string // directories end in "/"
	Kept    []string // files that were there already
	Key     string   // the cluster's key when it is a new one, else empty

	// Fingerprint is that of the certificate for agents when it is a new one, else
	// empty.
	Fingerprint string
}

// Init makes a complete home in dir, which may exist. It never changes a file or
// directory that is there; with force it fills the gaps of a directory that is
// not empty, in which case an ossec.conf that is there makes Spec meaningless.
//
// ossec.conf comes last: a home that has it has everything.
func Init(dir string, s Spec, force bool) (Report, error) {
	if !force {
		if err := wantEmpty(dir); err != nil {
			return Report{}, err
		}
	}
	var key string
	_, err := os.Lstat(filepath.Join(dir, config.ConfPath))
	if err == nil {
		s = Spec{Metrics: s.Metrics, EnrolBind: s.EnrolBind}
	} else if s, key, err = s.complete(); err != nil {
		return Report{}, err
	}
	files, err := s.files()
	if err != nil {
		return Report{}, err
	}
	existed, err := openOrMake(dir)
	if err != nil {
		return Report{}, fmt.Errorf("make home: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("make home: %w", err)
	}
	defer root.Close()
	report, err := fill(root, files[:len(files)-1])
	if err == nil {
		err = report.certificate(dir, root, s)
	}
	if err == nil {
		err = report.fill(root, files[len(files)-1:])
	}
	if !existed {
		report.Created = append([]string{"./"}, report.Created...)
	}
	if err == nil {
		report.Key = key
	}
	return report, err
}

func wantEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("make home: %w", err)
	case len(entries) == 0:
		return nil
	}
	for _, e := range entries {
		if e.Name() == "etc" {
			if _, err := os.Lstat(filepath.Join(dir, config.ConfPath)); err == nil {
				return fmt.Errorf("make home: %s is a home already: %w", dir, ErrNotEmpty)
			}
		}
	}
	return fmt.Errorf("make home in %s: %w", dir, ErrNotEmpty)
}

// openOrMake makes the home's own directory unless it is there.
func openOrMake(dir string) (existed bool, err error) {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return true, &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("is no directory")}
		}
		return true, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return false, err
	}
	d := layout()[0]
	if uid, gid := currentOwner().ids(d.own); gid >= 0 {
		if err := os.Chown(dir, uid, gid); err != nil {
			return false, err
		}
	}
	return false, os.Chmod(dir, d.mode)
}

func fill(root *os.Root, files []starterFile) (Report, error) {
	var report Report
	directories, err := makeDirectories(root, layout())
	for _, d := range directories {
		report.Created = append(report.Created, d+"/")
	}
	if err != nil {
		return report, err
	}
	return report, report.fill(root, files)
}

// fill makes the files that are not there.
func (r *Report) fill(root *os.Root, files []starterFile) error {
	own := currentOwner()
	for _, f := range files {
		if _, err := root.Lstat(f.path); err == nil {
			r.Kept = append(r.Kept, f.path)
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make home: %w", err)
		}
		uid, gid := own.ids(f.own)
		options := atomicfile.Options{Mode: f.mode, UID: uid, GID: gid, Sync: true}
		if err := atomicfile.Write(root, f.path, f.content, options); err != nil {
			return fmt.Errorf("make home: %w", err)
		}
		r.Created = append(r.Created, f.path)
	}
	return nil
}

const keyLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewKey makes a random key for a cluster: 32 letters and digits.
func NewKey() (string, error) {
	var key strings.Builder
	for range 32 {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(keyLetters))))
		if err != nil {
			return "", fmt.Errorf("make key: %w", err)
		}
		key.WriteByte(keyLetters[n.Int64()])
	}
	return key.String(), nil
}
