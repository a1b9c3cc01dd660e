package session

import "slices"

// Pieces is a text that stands in several pieces of memory, in their order: a
// long answer is sent without having been in one piece.
type Pieces [][]byte

// Len is the length of the text.
func (p Pieces) Len() (n int) {
	for _, piece := range p {
		n += len(piece)
	}
	return n
}

// Join gives the text in one piece, nil for an empty one.
func (p Pieces) Join() []byte {
	if len(p) == 1 {
		return p[0] //nolint:gosec // there is one
	}
	return slices.Concat(p...)
}

// Reader reads the text from its beginning.
func (p Pieces) Reader() *PiecesReader { return &PiecesReader{left: p} }

// PiecesReader is a place in a text. It does not change the pieces.
type PiecesReader struct {
	left Pieces
	at   int // in the first of left
}

// Fill appends to dst what comes next, as much as dst has room for.
func (r *PiecesReader) Fill(dst []byte) []byte {
	for len(r.left) > 0 && len(dst) < cap(dst) {
		piece := r.left[0][r.at:]
		n := min(len(piece), cap(dst)-len(dst))
		dst = append(dst, piece[:n]...)
		if r.at += n; n == len(piece) {
			r.left, r.at = r.left[1:], 0
		}
	}
	return dst
}
