package session

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
)

func TestPieces(t *testing.T) {
	const text = "one, two, three"
	whole := Pieces{[]byte("one"), nil, []byte(", "), []byte("two, three"), {}}
	for room := 1; room <= len(text)+1; room++ {
		t.Run(fmt.Sprint("read by ", room), func(t *testing.T) {
			var got []byte
			for from := whole.Reader(); ; {
				part := from.Fill(make([]byte, 0, room))
				if len(part) == 0 {
					break
				}
				got = append(got, part...)
			}
			if string(got) != text {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := whole.Join(); string(got) != text || whole.Len() != len(text) {
		t.Errorf("joined: %q, length %d", got, whole.Len())
	}
	if got := (Pieces{}).Join(); len(got) != 0 {
		t.Errorf("nothing joined: %q", got)
	}
}

// A string takes the memory of its bytes once, in whatever chunks it comes.
func TestStrings_Memory(t *testing.T) {
	const size = 4<<20 + 3
	text := bytes.Repeat([]byte("abc"), size/3+1)[:size]
	for _, chunk := range []int{1000, leastPiece, 256 << 10, 1<<20 - 9, size} {
		t.Run(fmt.Sprint("chunks of ", chunk), func(t *testing.T) {
			st := NewStrings(Limits{})
			reply, err := st.New([]byte(strconv.Itoa(size)))
			if err != nil {
				t.Fatal(err)
			}
			id := string(reply.Payload)
			for left := text; len(left) > 0; left = left[min(chunk, len(left)):] {
				update := append([]byte(id+" "), left[:min(chunk, len(left))]...)
				if _, err := st.Update(update); err != nil {
					t.Fatal(err)
				}
			}
			pieces, err := st.takeText(id)
			if err != nil {
				t.Fatal(err)
			}
			held := 0
			for _, p := range pieces {
				held += cap(p)
			}
			if held != size || len(pieces) > size/leastPiece+2 {
				t.Errorf("%d pieces with room for %d bytes", len(pieces), held)
			}
			if !bytes.Equal(pieces.Join(), text) {
				t.Error("another text")
			}
		})
	}
}
