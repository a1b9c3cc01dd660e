package wire

import "time"

// divided holds the divided messages of which the last piece has not come, by
// counter. The zero value holds none.
type divided struct {
	parts map[uint32]*part
	bytes int64 // of all of them
}

type part struct {
	buf     []byte
	since   time.Time
	command string // of the first piece, to name the message in an error
}

func (d *divided) count() int { return len(d.parts) }

// take gives the buffer that the payload of a frame with header h belongs to:
// what came before of its message, or none. It checks the limits as though the
// payload had arrived.
func (d *divided) take(h header, l Limits, now time.Time) (buf []byte, joining bool, err error) {
	if len(d.parts) == 0 && !h.more {
		return nil, false, nil
	}
	if err := d.tooOld(l, now); err != nil {
		return nil, false, err
	}
	p := d.parts[h.counter]
	if p == nil && !h.more {
		return nil, false, nil
	}
	if p == nil && len(d.parts) >= l.DividedMessages {
		return nil, false, h.refused(ReasonDividedCount, int64(h.length), nil)
	}
	if d.bytes+int64(h.length) > l.DividedBytes {
		return nil, false, h.refused(ReasonDividedBytes, d.bytes+int64(h.length), nil)
	}
	if p == nil {
		if d.parts == nil {
			d.parts = make(map[uint32]*part)
		}
		p = &part{since: now, command: h.command}
		d.parts[h.counter] = p
	}
	return p.buf, true, nil
}

// keep stores what has come so far of the message that take gave.
func (d *divided) keep(counter uint32, buf []byte) {
	p := d.parts[counter]
	d.bytes += int64(len(buf) - len(p.buf))
	p.buf = buf
}

// drop forgets a message, whose last piece has come.
func (d *divided) drop(counter uint32) {
	d.bytes -= int64(len(d.parts[counter].buf))
	delete(d.parts, counter)
}

// tooOld refuses when the oldest message is over its age.
func (d *divided) tooOld(l Limits, now time.Time) error {
	if l.DividedAge <= 0 {
		return nil
	}
	for counter, p := range d.parts {
		if now.Sub(p.since) > l.DividedAge {
			h := header{counter: counter, command: p.command}
			return h.refused(ReasonDividedAge, int64(len(p.buf)), nil)
		}
	}
	return nil
}

// oldest is when the first piece of the oldest message came.
func (d *divided) oldest() (since time.Time, ok bool) {
	for _, p := range d.parts {
		if !ok || p.since.Before(since) {
			since, ok = p.since, true
		}
	}
	return since, ok
}
