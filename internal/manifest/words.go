package manifest

import "math/bits"

// A byte of a word that is 1, or has only its highest bit.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// plainRun returns how many bytes stand before the next quote, backslash or
// control character, and whether all of them are ASCII.
//
// It looks at eight bytes at a time: a byte of (w ^ c) - 1 has its high bit set
// when w holds c there. Only bytes above the first hit can be marked wrongly.
func plainRun[T string | []byte](s T) (n int, ascii bool) {
	ascii = true
	for len(s)-n >= 8 {
		w := load8(s[n : n+8])
		marks := (w - ones*' ') | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | w
		if marks &= highs; marks == 0 {
			n += 8
			continue
		}
		n += bits.TrailingZeros64(marks) / 8
		if s[n] < 0x80 {
			return n, ascii
		}
		ascii = false
		n++
	}
	for ; n < len(s); n++ {
		c := s[n]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		ascii = ascii && c < 0x80
	}
	return n, ascii
}

// load8 returns eight bytes as one little-endian word.
func load8[T string | []byte](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// toHex returns the eight hexadecimal characters of four bytes, all little-endian.
func toHex(four uint32) uint64 {
	b := uint64(four)
	b = (b | b<<16) & 0x0000ffff0000ffff
	b = (b | b<<8) & 0x00ff00ff00ff00ff
	nibbles := (b>>4)&0x000f000f000f000f | (b&0x000f000f000f000f)<<8
	letters := (nibbles + 6*ones) >> 4 & ones
	return nibbles + '0'*ones + letters*('a'-'0'-10)
}

// fromHex returns the four bytes that eight lower-case hexadecimal characters
// stand for. Of other characters it returns something.
func fromHex(chars uint64) uint32 {
	letters := chars >> 6 & ones
	nibbles := (chars&(0xf*ones) + letters*9) & (0xf * ones)
	b := (nibbles<<4 | nibbles>>8) & 0x00ff00ff00ff00ff
	b = (b | b>>8) & 0x0000ffff0000ffff
	return uint32(b | b>>16)
}
