package chunks

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxChunks is how many chunks one string may hold. A chunk has about 64 kB, so
// this is more than any database has; without it a peer could make each byte of
// a string cost 24 of ours.
const MaxChunks = 100_000

var (
	// ErrNoChunks is returned when a string is an object, but has no chunks.
	ErrNoChunks = errors.New("the object has no 'chunks'")
	// ErrTooMany is returned when a string holds more than MaxChunks.
	ErrTooMany = fmt.Errorf("more than %d chunks", MaxChunks)
)

// String is a decoded string of chunks.
type String struct {
	// Command is what the sender would have run against the receiver's
	// database. The receiver has its own.
	Command string
	Chunks  [][]byte
}

// Decode reads a string of chunks. The chunks are parts of data, which is
// changed: it belongs to the result. It returns a *SyntaxError, ErrNoChunks or
// ErrTooMany.
func Decode(data []byte) (String, error) {
	var out String
	found := false
	s := scanner{data: data}
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "set_data_command":
			return s.command(&out)
		case "chunks":
			found, out.Chunks = true, nil
			return s.list(func(i int) error {
				if i == MaxChunks {
					return ErrTooMany
				}
				chunk, err := s.text()
				out.Chunks = append(out.Chunks, chunk)
				return err
			})
		}
		return s.skip(1)
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && !found {
		err = ErrNoChunks
	}
	if err != nil {
		return String{}, err
	}
	return out, nil
}

// command takes the sender's command; one that is no text counts as none.
func (s *scanner) command(out *String) error {
	if s.peek() != '"' {
		return s.skip(1)
	}
	text, err := s.text()
	out.Command = string(text[:min(len(text), 256)])
	return err
}

// Encode writes a string of chunks as the original does, to the byte. payload
// is a JSON object.
func Encode(command, payload string, chunks [][]byte) []byte {
	head := `{"set_data_command": "` + command + `", "payload": ` + payload + `, "chunks": [`
	size := len(head) + 2
	for _, c := range chunks {
		size += quotedSize(c) + 2
	}
	dst := append(make([]byte, 0, size), head...)
	for i, c := range chunks {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendQuoted(dst, c)
	}
	return append(dst, "]}"...)
}

// plain tells the bytes that stand for themselves in a text.
func plain(c byte) bool { return c >= ' ' && c <= '~' && c != '"' && c != '\\' }

// quotedSize is the length of appendQuoted's text, or a little more.
func quotedSize(text []byte) int {
	size := len(text) + 2
	for _, c := range text {
		switch {
		case plain(c):
		case c == '"' || c == '\\':
			size++
		default:
			size += 5
		}
	}
	return size
}

// appendQuoted writes a JSON text of ASCII characters. What is no UTF-8 becomes
// U+FFFD: a 4.7.5 node would refuse the whole string for it.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case plain(c):
			dst = append(dst, c)
			i++
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		default:
			r, n := utf8.DecodeRune(text[i:])
			dst = appendEscape(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r > 0xffff {
		r -= 0x10000
		return appendHex(appendHex(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return appendHex(dst, r)
}

func appendHex(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// Groups is the content of a chunk of agent-groups.
type Groups struct {
	Data    []byte // the JSON list of agents, a part of the chunk
	HasHash bool   // the last chunk of a periodic message has the hash
	Hash    string // of all groups of all agents; empty for null
}

// ParseGroups reads a chunk of agent-groups: `[{"data":[…],"hash":"…"}]`. What
// follows the first element is passed over, as the original does. Decoded texts
// of the chunk are written over themselves.
func ParseGroups(chunk []byte) (Groups, error) {
	var out Groups
	s := scanner{data: chunk}
	err := s.list(func(i int) error {
		if i > 0 {
			return s.skip(1)
		}
		return s.object(func(key []byte) (err error) {
			switch string(key) {
			case "data":
				if s.peek() != '[' {
					return s.wrong("a list")
				}
				out.Data, err = s.raw()
				return err
			case "hash":
				return s.hash(&out)
			}
			return s.skip(2)
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && out.Data == nil {
		err = errNoData
	}
	if err != nil {
		return Groups{}, err
	}
	return out, nil
}

var errNoData = errors.New("the chunk has no 'data'")

func (s *scanner) hash(out *Groups) error {
	out.HasHash, out.Hash = true, ""
	if s.peek() != '"' {
		return s.skip(2)
	}
	text, err := s.text()
	out.Hash = string(text[:min(len(text), 64)])
	return err
}
