package agentdb

import "slices"

// trigramBits is how many bits a set of trigrams has: for 512 names of different
// hosts a third of them is set, for names that differ by a number fewer.
const trigramBits = 1 << 13

// trigrams is a set of three bytes in a row, as a Bloom filter: it may hold more
// than was added, never less. A block has one of its names, by which most blocks
// need no search for a part of a name.
type trigrams [trigramBits / 64]uint64

func (g *trigrams) add(text string) {
	for i := range len(text) - 2 {
		bit := trigramBit(text, i)
		g[bit/64] |= 1 << (bit % 64)
	}
}

func trigramBit(text string, i int) uint16 {
	three := uint32(text[i]) | uint32(text[i+1])<<8 | uint32(text[i+2])<<16
	return uint16(three * 0x9e3779b1 >> (32 - 13)) // Fibonacci hashing: the upper bits
}

// trigramsOf are the bits of a text, to be looked for in many sets.
func trigramsOf(text string) []uint16 {
	bits := make([]uint16, 0, max(len(text)-2, 0))
	for i := range len(text) - 2 {
		bits = append(bits, trigramBit(text, i))
	}
	slices.Sort(bits)
	return slices.Compact(bits)
}

// hasAll tells whether a text with the bits may be part of one that was added.
func (g *trigrams) hasAll(bits []uint16) bool {
	for _, bit := range bits {
		if g[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}
