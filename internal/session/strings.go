package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"testudo/internal/wire"
)

var (
	// ErrUnknownString is returned when a string id names no string of this
	// session.
	ErrUnknownString = errors.New("unknown string id")
	// ErrIncomplete is returned when a string or file is named before all of
	// it has arrived.
	ErrIncomplete = errors.New("not complete")
	// ErrTooMuch is returned when a peer asks for more than Limits allow.
	ErrTooMuch = errors.New("limit reached")
)

// Strings holds the long strings a peer is sending (docs/wire.md §10.1). It is
// safe for concurrent use.
type Strings struct {
	limits Limits

	mu        sync.Mutex
	open      map[uint32]*longString
	announced int64 // bytes, of all open strings
}

// NewStrings returns a store within Limits.Strings, StringBytes and StringAge.
func NewStrings(limits Limits) *Strings { return &Strings{limits: limits.withDefaults()} }

type longString struct {
	size    int64 // announced
	got     int64
	pieces  Pieces // all but the last are full
	touched time.Time
}

// leastPiece is the least memory that a piece of a string takes, so that a peer
// that sends a byte at a time makes no long list of them.
const leastPiece = 64 << 10

// append keeps a chunk, as far as it has been announced.
func (str *longString) append(chunk []byte) {
	left := str.size - str.got
	chunk = chunk[:min(left, int64(len(chunk)))]
	str.got += int64(len(chunk))
	if n := len(str.pieces); n > 0 {
		last := str.pieces[n-1]
		fits := min(cap(last)-len(last), len(chunk))
		str.pieces[n-1] = append(last, chunk[:fits]...)
		chunk, left = chunk[fits:], left-int64(fits)
	}
	if len(chunk) > 0 {
		room := min(left, max(int64(len(chunk)), leastPiece))
		str.pieces = append(str.pieces, append(make([]byte, 0, room), chunk...))
	}
}

// add makes room for a string. Memory is taken as bytes arrive, not for what
// is announced.
func (st *Strings) add(size int64) (uint32, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.open) >= st.limits.Strings {
		return 0, fmt.Errorf("%d strings open: %w", len(st.open), ErrTooMuch)
	}
	if size > st.limits.StringBytes-st.announced {
		return 0, fmt.Errorf("string of %d bytes: %w", size, ErrTooMuch)
	}
	if st.open == nil {
		st.open = make(map[uint32]*longString)
	}
	id := st.freeIDLocked()
	st.open[id] = &longString{size: size, touched: time.Now()}
	st.announced += size
	return id, nil
}

func (st *Strings) freeIDLocked() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		id := binary.BigEndian.Uint32(b[:])
		if _, taken := st.open[id]; !taken {
			return id
		}
	}
}

func (st *Strings) append(id uint32, chunk []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	str, ok := st.open[id]
	if !ok {
		return ErrUnknownString
	}
	str.append(chunk)
	str.touched = time.Now()
	return nil
}

// abandon removes the first untouched string of a size, as err_str asks.
func (st *Strings) abandon(size int64) (uint32, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for id, str := range st.open {
		if str.size == size && str.got == 0 {
			st.dropLocked(id)
			return id, true
		}
	}
	return 0, false
}

func (st *Strings) take(id uint32) (Pieces, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	str, ok := st.open[id]
	if !ok {
		return nil, ErrUnknownString
	}
	if str.got < str.size {
		return nil, fmt.Errorf("string has %d of %d bytes: %w", str.got, str.size, ErrIncomplete)
	}
	st.dropLocked(id)
	return str.pieces, nil
}

// Expire removes the strings that have made no progress for Limits.StringAge.
func (st *Strings) Expire(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for id, str := range st.open {
		if now.Sub(str.touched) > st.limits.StringAge {
			st.dropLocked(id)
		}
	}
}

func (st *Strings) dropLocked(id uint32) {
	st.announced -= st.open[id].size
	delete(st.open, id)
}

// TakeString hands over a string the peer has sent, by the id text of the
// command that names it. It returns ErrUnknownString or ErrIncomplete.
func (s *Session) TakeString(id string) ([]byte, error) { return s.strings.Take(id) }

// TakePieces is TakeString for one that is only handed on: it stays in the pieces
// in which it came.
func (s *Session) TakePieces(id string) (Pieces, error) { return s.strings.takeText(id) }

// Take hands over a whole string, by the id text of the command that names it.
// It returns ErrUnknownString or ErrIncomplete.
func (st *Strings) Take(id string) ([]byte, error) {
	pieces, err := st.takeText(id)
	return pieces.Join(), err
}

func (st *Strings) takeText(id string) (Pieces, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return nil, ErrUnknownString
	}
	return st.take(uint32(n))
}

// SendString sends a long string, which may stand in several pieces, and returns
// the id the peer gave it.
func (s *Session) SendString(ctx context.Context, pieces ...[]byte) (string, error) {
	length := Pieces(pieces).Len()
	size := strconv.AppendInt(nil, int64(length), 10)
	id, err := s.Request(ctx, "new_str", size)
	if err != nil {
		if isTimeout(err) {
			_, _ = s.Request(ctx, "err_str", size) // best effort: frees the peer's buffer
		}
		return "", fmt.Errorf("send string of %d bytes: %w", length, err)
	}
	if _, err := strconv.ParseUint(string(id), 10, 32); err != nil {
		return "", fmt.Errorf("send string: the peer's id %.32q: %w", id, ErrUnknownString)
	}
	if err := s.sendChunks(ctx, string(id), pieces); err != nil {
		return "", fmt.Errorf("send string: %w", err)
	}
	return string(id), nil
}

// sendChunks sends a string's bytes, to a Testudo peer sealed, where that is
// agreed, and with more than one chunk on the way.
func (s *Session) sendChunks(ctx context.Context, id string, data Pieces) error {
	left := data.Len()
	from := data.Reader()
	payload := make([]byte, 0, min(len(id)+1+left, chunkBytes))
	payload = append(append(payload, id...), ' ')
	prefix, ahead := len(payload), 0
	if s.PeerIsTestudo() {
		ahead = chunkWindow - 1
	}
	frame := wire.Frame{Command: cmdStringUpdate}
	if s.PeerHas(FeatureAgents) && s.sealing.ready.Load() {
		frame = wire.Frame{Command: cmdSealedString, Sealed: true}
	}
	var window []*call
	defer func() {
		for _, c := range window { // after a failure: nobody waits for them
			s.calls.drop(c.counter)
		}
	}()
	for left > 0 || len(window) > 0 {
		if left == 0 || len(window) > ahead {
			c := window[0]
			window = window[1:]
			if _, err := c.wait(ctx); err != nil {
				return err
			}
			continue
		}
		payload = from.Fill(payload[:prefix])
		left -= len(payload) - prefix
		frame.Payload = payload
		c, err := s.startFrame(ctx, frame, false)
		if err != nil {
			return err
		}
		window = append(window, c)
	}
	return nil
}

func handleNewString(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return s.strings.New(payload)
}

func handleStringUpdate(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return s.strings.Update(payload)
}

func handleStringError(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return s.strings.Abandon(payload)
}

// New answers new_str: the length of a string to come.
func (st *Strings) New(payload []byte) (Reply, error) {
	size, err := parseSize(payload)
	if err != nil {
		return Reply{}, err
	}
	id, err := st.add(size)
	if err != nil {
		return Reply{}, err
	}
	return OK(strconv.FormatUint(uint64(id), 10)), nil
}

// Update answers str_upd: "ID bytes".
func (st *Strings) Update(payload []byte) (Reply, error) {
	id, chunk, ok := bytes.Cut(payload, []byte{' '})
	if !ok {
		return Reply{}, errors.New("string id and chunk expected")
	}
	n, err := strconv.ParseUint(string(id), 10, 32)
	if err != nil {
		return Reply{}, ErrUnknownString
	}
	if err := st.append(uint32(n), chunk); err != nil {
		return Reply{}, err
	}
	return OK("String updated"), nil
}

// Abandon answers err_str: the length of a string that does not come.
func (st *Strings) Abandon(payload []byte) (Reply, error) {
	size, err := parseSize(payload)
	if err != nil {
		return Reply{}, err
	}
	if id, ok := st.abandon(size); ok {
		return OK(strconv.FormatUint(uint64(id), 10)), nil
	}
	return OK("None"), nil
}

func parseSize(payload []byte) (int64, error) {
	size, err := strconv.ParseUint(string(payload), 10, 62)
	if err != nil {
		return 0, fmt.Errorf("length expected, got %.32q", payload)
	}
	return int64(size), nil
}
