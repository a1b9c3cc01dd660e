package keystore

import "hash/maphash"

// index finds lines by a key that they have. It is a hash table of chains that
// holds nothing but positions: some ten bytes a line.
type index struct {
	key   func(*line) string // "" for a line that is not to be found
	seed  maphash.Seed
	heads []int32 // by hash: 1 + the position of the last line that has it; 0: none
	next  []int32 // by position: 1 + that of the line before with the same hash
	count int
}

func newIndex(size int, key func(*line) string) index {
	heads := 16
	for heads < size {
		heads *= 2
	}
	return index{key: key, seed: maphash.MakeSeed(), heads: make([]int32, heads), next: make([]int32, 0, size)}
}

func (x *index) hash(key string) int {
	return int(maphash.String(x.seed, key) & uint64(len(x.heads)-1))
}

// add takes in the last of the lines.
func (x *index) add(lines []line) {
	at := len(lines) - 1
	x.next = append(x.next, 0)
	key := x.key(&lines[at])
	if key == "" {
		return
	}
	if x.count++; x.count > len(x.heads) {
		x.grow(lines)
		return
	}
	x.link(key, at)
}

func (x *index) link(key string, at int) {
	h := x.hash(key)
	x.next[at], x.heads[h] = x.heads[h], int32(at+1)
}

// grow doubles the table and takes all lines in again.
func (x *index) grow(lines []line) {
	x.heads = make([]int32, 2*len(x.heads))
	for at := range lines {
		if key := x.key(&lines[at]); key != "" {
			x.link(key, at)
		}
	}
}

// find gives the position of the first line that has the key and that gone does
// not leave out; -1 when there is none.
func (x *index) find(lines []line, key string, gone map[int]bool) int {
	found := -1
	if key == "" {
		return found
	}
	for at := int(x.heads[x.hash(key)]) - 1; at >= 0; at = int(x.next[at]) - 1 {
		if _, left := gone[at]; !left && x.key(&lines[at]) == key {
			found = at // chains begin with the last line
		}
	}
	return found
}
