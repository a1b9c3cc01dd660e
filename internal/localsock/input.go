package localsock

import (
	"net"
	"sync"
	"time"

	"testudo/internal/wire"
)

// input reads the frames of one connection after the other: its buffers are what
// would be dearest of a connection that lives for one request.
type input struct {
	dec   *wire.Decoder
	conn  net.Conn
	frame time.Duration // see limits
	out   []byte        // frames that are held, or built: while the link's writing is locked
}

// keptBytes is how much of out serves another connection.
const keptBytes = 8 << 10

// buffers are those of payloads and frames, for all connections.
var buffers wire.Buffers

var inputs = sync.Pool{New: func() any {
	in := new(input)
	in.dec = wire.NewDecoder(nil, nil, wire.Limits{})
	in.dec.UseBuffers(&buffers)
	in.dec.OnProgress(in.begun, in.ended)
	return in
}}

func takeInput(conn net.Conn, l *limits) *input {
	in := inputs.Get().(*input)
	in.conn, in.frame = conn, l.frame
	in.dec.Reset(conn)
	in.dec.SetLimits(l.wire)
	return in
}

// give makes the input free for another connection.
func (in *input) give() {
	in.conn = nil
	in.dec.Reset(nil)
	if in.out = in.out[:0]; cap(in.out) > keptBytes {
		in.out = nil
	}
	inputs.Put(in)
}

// begun and ended enclose a frame that did not arrive at once.
func (in *input) begun() { _ = in.conn.SetReadDeadline(time.Now().Add(in.frame)) }
func (in *input) ended() { _ = in.conn.SetReadDeadline(time.Time{}) }
