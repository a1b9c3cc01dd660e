package logging

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of one part of a line. What is longer is cut, and the number of bytes
// left out stands in its place.
const (
	maxMessage = 64 << 10 // bytes
	maxValue   = 8 << 10  // bytes
	maxQuoted  = 256      // characters
)

// Quote makes text that came from a peer fit to stand in a message (for the value
// of an attribute there is Cut), for instance between single quotes, which it
// leaves alone: backslashes, control characters, line ends, invisible characters
// and bytes that are no UTF-8 are escaped as in Go, and what is beyond 256
// characters is cut, which a final … shows.
func Quote(s string) string {
	if len(s) <= maxQuoted && plain(s) && !strings.Contains(s, `\`) {
		return s
	}
	return string(appendQuoted(nil, s, maxQuoted, `\`))
}

// Cut makes text that came from a peer fit to be the value of an attribute, which
// is escaped when it is written: what is beyond 256 characters is cut, which a
// final … shows.
func Cut(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	n := 0
	for i := range s {
		if n == maxQuoted {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// appendQuoted writes at most limit characters of s, escaping what does not
// print and the ASCII characters in special.
func appendQuoted(dst []byte, s string, limit int, special string) []byte {
	for i, n := 0, 0; i < len(s); n++ {
		if n == limit {
			return append(dst, "…"...)
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\' && strings.Contains(special, `\`):
			dst = append(dst, `\\`...)
		case r < utf8.RuneSelf && strings.IndexByte(special, byte(r)) >= 0:
			dst = appendByte(dst, byte(r))
		default:
			dst = appendRune(dst, r, size, s[i])
		}
		i += size
	}
	return dst
}

// appendRune writes a character as it is when it prints, else escaped. first
// is its first byte, which stands alone when it is no UTF-8.
func appendRune(dst []byte, r rune, size int, first byte) []byte {
	switch {
	case r == utf8.RuneError && size == 1:
		return appendByte(dst, first)
	case strconv.IsPrint(r):
		return utf8.AppendRune(dst, r)
	}
	escaped := strconv.AppendQuoteRune(nil, r)
	return append(dst, escaped[1:len(escaped)-1]...)
}

func appendByte(dst []byte, b byte) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'x', hex[b>>4], hex[b&15])
}

// appendMessage writes the text of a record.
func appendMessage(dst []byte, s string) []byte {
	s, left := shorten(s, maxMessage)
	if plain(s) {
		dst = append(dst, s...)
	} else {
		dst = appendQuoted(dst, s, len(s), "")
	}
	return appendLeft(dst, left)
}

// appendName writes a tag or task: no bracket in it can end it early.
func appendName(dst []byte, s string) []byte {
	if len(s) <= maxQuoted && plain(s) && !strings.ContainsAny(s, "[]") {
		return append(dst, s...)
	}
	return appendQuoted(dst, s, maxQuoted, "[]")
}

// appendValue writes the value of an attribute, in double quotes unless it is
// one plain word.
func appendValue(dst []byte, s string) []byte {
	s, left := shorten(s, maxValue)
	if left > 0 {
		return strconv.AppendQuote(dst, s+string(appendLeft(nil, left)))
	}
	if s != "" && plain(s) && !strings.ContainsAny(s, ` "'=\`) {
		return append(dst, s...)
	}
	return strconv.AppendQuote(dst, s)
}

// shorten cuts s to at most limit bytes, between characters, and tells how
// many bytes it left out.
func shorten(s string, limit int) (cut string, left int) {
	if len(s) <= limit {
		return s, 0
	}
	n := limit
	for range utf8.UTFMax - 1 {
		if utf8.RuneStart(s[n]) {
			break
		}
		n--
	}
	return s[:n], len(s) - n
}

func appendLeft(dst []byte, left int) []byte {
	if left == 0 {
		return dst
	}
	dst = append(dst, "…(+"...)
	dst = strconv.AppendInt(dst, int64(left), 10)
	return append(dst, " bytes)"...)
}

// plain tells whether all of s is printing ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
