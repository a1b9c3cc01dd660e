package wire

import "sync"

// Buffers are kept for reuse in a few sizes, each four times its predecessor
// (see grown); the largest two hold the tokens of 256 KiB and of 1 MiB. What is
// larger is left to the garbage collector, so that a peer's rare huge message
// costs memory only while it lasts.
const (
	smallest  = 384
	growth    = 4
	numSizes  = 7    // the last is 1.5 MiB
	firstRead = 6144 // bytes set aside for a frame before its payload comes
)

// Buffers keeps payload buffers for reuse. The zero value is ready; it is safe
// for concurrent use, and one may serve any number of decoders and senders.
type Buffers struct {
	pools [numSizes]sync.Pool // of *[]byte, pools[i] of size smallest*growth^i
}

// Get gives an empty buffer with room for at least n bytes.
func (b *Buffers) Get(n int) []byte {
	size := smallest
	for i := range b.pools {
		if n <= size {
			if p, ok := b.pools[i].Get().(*[]byte); ok {
				return (*p)[:0]
			}
			return make([]byte, 0, size)
		}
		size *= growth
	}
	return make([]byte, 0, n)
}

// Put gives a buffer back. It must not be used afterwards by anybody, nor any
// slice of it. Buffers of sizes that are not kept are dropped, so anything may
// be put, once.
func (b *Buffers) Put(buf []byte) {
	size := smallest
	for i := range b.pools {
		if cap(buf) == size {
			buf = buf[:0]
			b.pools[i].Put(&buf)
			return
		}
		size *= growth
	}
}

// grown gives buf with room for at least one more byte and at most for n more.
// It follows what has arrived, never what was announced: at most four times
// the bytes held, or firstRead.
func (b *Buffers) grown(buf []byte, n int) []byte {
	if cap(buf) > len(buf) {
		return buf
	}
	want := min(len(buf)+n, max(firstRead, growth*len(buf)))
	if len(buf) > MaxFrame {
		// Pieces of a divided message: not one new buffer for each of them.
		want = max(want, len(buf)+len(buf)/2)
	}
	bigger := append(b.Get(want), buf...)
	b.Put(buf)
	return bigger
}
