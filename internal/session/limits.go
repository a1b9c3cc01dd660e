package session

import (
	"cmp"
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
	l.HelloTimeout = cmp.Or(l.HelloTimeout, d.HelloTimeout)
	l.HelloBytes = cmp.Or(l.HelloBytes, d.HelloBytes)
	l.FrameTimeout = cmp.Or(l.FrameTimeout, d.FrameTimeout)
	l.FrameBytes = cmp.Or(l.FrameBytes, d.FrameBytes)
	l.DividedMessages = cmp.Or(l.DividedMessages, d.DividedMessages)
	l.DividedBytes = cmp.Or(l.DividedBytes, d.DividedBytes)
	l.DividedAge = cmp.Or(l.DividedAge, d.DividedAge)
	l.Uploads = cmp.Or(l.Uploads, d.Uploads)
	l.UploadBytes = cmp.Or(l.UploadBytes, d.UploadBytes)
	l.UploadAge = cmp.Or(l.UploadAge, d.UploadAge)
	l.Strings = cmp.Or(l.Strings, d.Strings)
	l.StringBytes = cmp.Or(l.StringBytes, d.StringBytes)
	l.StringAge = cmp.Or(l.StringAge, d.StringAge)
	l.QueueBytes = cmp.Or(l.QueueBytes, d.QueueBytes)
	l.Requests = cmp.Or(l.Requests, d.Requests)
	return l
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
