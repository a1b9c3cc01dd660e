package session

import (
	"time"

	"testudo/internal/wire"
)

// Limits bounds what one peer can make this node keep. Zero values are
// replaced by those of DefaultLimits.
type Limits struct {
	HelloTimeout time.Duration // from accept to a complete hello
	HelloBytes   int           // size of the hello frame's payload on the wire
	FrameTimeout time.Duration // from a frame's first byte to its last; also the time one frame may take to be written

	FrameBytes      int           // payload of one frame on the wire
	DividedMessages int           // divided messages open at once
	DividedBytes    int64         // bytes of all open divided messages
	DividedAge      time.Duration // age of an unfinished divided message

	Uploads     int           // files open or waiting to be claimed
	UploadBytes int64         // size of one uploaded file
	UploadAge   time.Duration // time an upload may stay without progress

	Strings     int           // long strings open or waiting to be taken
	StringBytes int64         // announced bytes of all of them
	StringAge   time.Duration // time a string may stay without progress

	QueueBytes int64 // unsent bytes of bulk frames; also bytes of received requests waiting for their handler
	Requests   int   // received requests waiting for their handler

	TokenAge time.Duration // how far a token's time may be from now, and how long none may come twice; 0 takes all
}

// DefaultLimits returns bounds that the largest clusters of the original stay
// well below.
func DefaultLimits() Limits {
	return Limits{
		HelloTimeout:    30 * time.Second,
		HelloBytes:      4 << 10,
		FrameTimeout:    time.Minute,
		FrameBytes:      wire.SealedSize(wire.Chunk),
		DividedMessages: 10,
		DividedBytes:    256 << 20,
		DividedAge:      time.Minute,
		Uploads:         8,
		UploadBytes:     2 << 30,
		UploadAge:       10 * time.Minute,
		Strings:         16,
		StringBytes:     256 << 20,
		StringAge:       10 * time.Minute,
		QueueBytes:      32 << 20,
		Requests:        64,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	orDefault(&l.HelloTimeout, d.HelloTimeout)
	orDefault(&l.HelloBytes, d.HelloBytes)
	orDefault(&l.FrameTimeout, d.FrameTimeout)
	orDefault(&l.FrameBytes, d.FrameBytes)
	orDefault(&l.DividedMessages, d.DividedMessages)
	orDefault(&l.DividedBytes, d.DividedBytes)
	orDefault(&l.DividedAge, d.DividedAge)
	orDefault(&l.Uploads, d.Uploads)
	orDefault(&l.UploadBytes, d.UploadBytes)
	orDefault(&l.UploadAge, d.UploadAge)
	orDefault(&l.Strings, d.Strings)
	orDefault(&l.StringBytes, d.StringBytes)
	orDefault(&l.StringAge, d.StringAge)
	orDefault(&l.QueueBytes, d.QueueBytes)
	orDefault(&l.Requests, d.Requests)
	return l
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (l Limits) hello() wire.Limits {
	return wire.Limits{FrameBytes: l.HelloBytes, DividedMessages: 0, DividedBytes: 0, DividedAge: l.HelloTimeout}
}

func (l Limits) established() wire.Limits {
	return wire.Limits{
		FrameBytes:      l.FrameBytes,
		DividedMessages: l.DividedMessages,
		DividedBytes:    l.DividedBytes,
		DividedAge:      l.DividedAge,
	}
}
