package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// stream is one direction of a connection: a bounded buffer with a deadline at
// either end. All waiting is on one condition, which every change wakes.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond

	buffer ring
	// writing is held by the one write that goes on, so that the bytes of two
	// writes never mix. It is a flag and not a second mutex because a wait for
	// a mutex would stop the clock of a synctest bubble.
	writing bool

	ended    bool // the writing end is closed: end of file behind the buffer
	deaf     bool // the reading end is closed: nobody will take more
	broken   bool // the connection was reset
	readEnd  deadline
	writeEnd deadline
}

func newStream() *stream {
	s := new(stream)
	s.changed = sync.NewCond(&s.mu)
	return s
}

// read takes what is there, at most len(p) bytes, and waits for at least one.
func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.deaf:
			return 0, net.ErrClosed
		case s.broken:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case s.readEnd.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.buffer.n > 0:
			n := s.buffer.take(p)
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

// write puts all of p into the buffer, waiting for room.
func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		if err := s.writeErrorLocked(); err != nil {
			return 0, err
		}
		s.changed.Wait()
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.changed.Broadcast()
	}()
	written := 0
	for {
		if err := s.writeErrorLocked(); err != nil {
			return written, err
		}
		if n := s.buffer.put(p[written:]); n > 0 {
			written += n
			s.changed.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) writeErrorLocked() error {
	switch {
	case s.ended:
		return net.ErrClosed
	case s.broken:
		return os.NewSyscallError("write", syscall.ECONNRESET)
	case s.deaf:
		return os.NewSyscallError("write", syscall.EPIPE)
	case s.writeEnd.passed():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// change runs f under the lock and wakes all who wait.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

// wake is called by the timers of deadlines.
func (s *stream) wake() { s.change(func() {}) }

// deadline is a moment at which waiting ends; the zero moment is never.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(at time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if !at.IsZero() && !d.passed() {
		d.timer = time.AfterFunc(time.Until(at), wake)
	}
}

// ring is a buffer that grows to BufferSize.
type ring struct {
	data  []byte
	start int
	n     int
}

// put appends as much of p as there is room for.
func (r *ring) put(p []byte) int {
	p = p[:min(len(p), BufferSize-r.n)]
	if need := r.n + len(p); need > len(r.data) {
		r.grow(need)
	}
	for rest := p; len(rest) > 0; {
		end := (r.start + r.n) % len(r.data)
		k := copy(r.data[end:min(len(r.data), end+len(r.data)-r.n)], rest)
		r.n += k
		rest = rest[k:]
	}
	return len(p)
}

// take moves as many bytes into p as there are.
func (r *ring) take(p []byte) int {
	total := 0
	for r.n > 0 && total < len(p) {
		k := copy(p[total:], r.data[r.start:min(len(r.data), r.start+r.n)])
		r.start = (r.start + k) % len(r.data)
		r.n -= k
		total += k
	}
	return total
}

func (r *ring) grow(need int) {
	size := max(len(r.data), 4<<10)
	for size < need {
		size *= 2
	}
	data := make([]byte, size)
	n := r.take(data)
	r.data, r.start, r.n = data, 0, n
}
