// Package jsonescape reads the escapes \uXXXX of JSON texts, which our decoders
// have in common.
package jsonescape

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Size is how many bytes an escape \uXXXX is long.
const Size = 6

// Digit is the number that a hexadecimal digit stands for; ok is false for
// another character.
func Digit(c byte) (n rune, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		c -= '0'
	case c >= 'a' && c <= 'f':
		c -= 'a' - 10
	case c >= 'A' && c <= 'F':
		c -= 'A' - 10
	default:
		return 0, false
	}
	return rune(c), true
}

// Unit is the number of the escape \uXXXX with which a text begins; ok is false
// when it begins with something else. The number may be half of a pair.
func Unit[Text string | []byte](text Text) (unit rune, ok bool) {
	if len(text) < Size || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for i := 2; i < Size; i++ {
		n, ok := Digit(text[i])
		if !ok {
			return 0, false
		}
		unit = unit<<4 | n
	}
	return unit, true
}

// Rune is the character of the escape, or of the two that make a pair, with
// which a text begins, and how many bytes it takes there: 0 when the text begins
// with something else. Half a pair is U+FFFD.
func Rune[Text string | []byte](text Text) (r rune, size int) {
	unit, ok := Unit(text)
	switch {
	case !ok:
		return utf8.RuneError, 0
	case !utf16.IsSurrogate(unit):
		return unit, Size
	}
	second, _ := Unit(text[Size:])
	if r = utf16.DecodeRune(unit, second); r == utf8.RuneError {
		return r, Size
	}
	return r, 2 * Size
}
