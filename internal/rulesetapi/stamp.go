package rulesetapi

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// stamp tells whether a file is still the one that was read.
type stamp struct {
	size         int64
	mtime, ctime syscall.Timespec
	inode, dev   uint64
	// fresh files may change again without a trace in their times, whose steps
	// are those of the kernel's clock: they are read again.
	fresh bool
}

// freshTime is far more than a step of any file system's clock.
const freshTime = time.Second

func (s stamp) same(now stamp) bool { return !s.fresh && s == now }

func stampFrom(info os.FileInfo, now time.Time) (stamp, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return stamp{}, errNoFile
	}
	s := stamp{size: info.Size(), mtime: st.Mtim, ctime: st.Ctim, inode: st.Ino, dev: st.Dev}
	s.fresh = now.Sub(time.Unix(st.Ctim.Unix())) < freshTime
	return s, nil
}

var (
	errNoFile   = errors.New("no regular file")
	errTooLarge = errors.New("larger than is taken")
)

// disk is a directory, and the time by which the age of its files is told.
type disk struct {
	root *os.Root
	now  func() time.Time
}

// stampOf looks at a file; links are followed as far as they stay below the
// directory.
func (d disk) stampOf(name string) (stamp, error) {
	info, err := d.root.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stampFrom(info, d.now())
}

// readFile reads a file of at most so many bytes. The stamp is that of the file
// before it was read; a change meanwhile makes it another one.
func (d disk) readFile(name string, most int64) ([]byte, stamp, error) {
	// What is no regular file must not even be opened: it could wait for ever.
	if _, err := d.stampOf(name); err != nil {
		return nil, stamp{}, err
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	s, err := stampFrom(info, d.now())
	if err != nil {
		return nil, stamp{}, err
	}
	if s.size > most {
		return nil, stamp{}, errTooLarge
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, stamp{}, err
	}
	if int64(len(text)) > most {
		return nil, stamp{}, errTooLarge
	}
	return text, s, nil
}
