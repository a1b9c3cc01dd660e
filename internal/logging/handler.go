package logging

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// tagValue and taskValue mark the attributes that stand in brackets, so that
// an ordinary attribute of the same name is never taken for one.
type (
	tagValue  string
	taskValue string
)

// Tag says who speaks: "Master", "Worker w1", "Local Server". A record without
// one gets "Cluster".
func Tag(v string) slog.Attr { return slog.Any("tag", tagValue(v)) }

// Task says what is being done: "Integrity check". A record without one gets
// "Main".
func Task(v string) slog.Attr { return slog.Any("task", taskValue(v)) }

// handler turns records into lines.
type handler struct {
	out interface {
		writeLine(line []byte) error
	}
	level slog.Leveler //nolint:misspell // the name is slog's
	json  bool
	count func(level string)

	tag, task string
	group     string // names of the open groups, each with a dot behind it
	fixed     []byte // the attributes of With, already written out
}

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 512)) }}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup implements slog.Handler: names in a group get its name and a dot
// before them.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	inner := *h
	inner.group += name + "."
	return &inner
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	inner := *h
	inner.fixed = slices.Clone(h.fixed)
	for _, a := range attrs {
		inner.fixed = inner.appendAttr(inner.fixed, h.group, a)
	}
	return &inner
}

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	one := *h // the record's own tag and task change a copy
	pooled := buffers.Get().(*[]byte)
	attrs := buffers.Get().(*[]byte)
	defer func() {
		release(pooled)
		release(attrs)
	}()
	*attrs = append((*attrs)[:0], h.fixed...)
	r.Attrs(func(a slog.Attr) bool {
		*attrs = one.appendAttr(*attrs, h.group, a)
		return true
	})
	level := LevelName(r.Level)
	if h.json {
		*pooled = one.appendObject((*pooled)[:0], r, level, *attrs)
	} else {
		*pooled = one.appendText((*pooled)[:0], r, level, *attrs)
	}
	if h.count != nil {
		h.count(level)
	}
	return h.out.writeLine(*pooled)
}

// release gives a buffer back unless a huge record has blown it up.
func release(b *[]byte) {
	if cap(*b) <= 64<<10 {
		buffers.Put(b)
	}
}

// appendAttr writes one attribute, or takes it as tag or task.
func (h *handler) appendAttr(dst []byte, group string, a slog.Attr) []byte {
	if a.Value.Kind() == slog.KindAny {
		switch v := a.Value.Any().(type) {
		case tagValue:
			h.tag = string(v)
			return dst
		case taskValue:
			h.task = string(v)
			return dst
		}
	}
	value := a.Value.Resolve()
	switch {
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			dst = h.appendAttr(dst, group, inner)
		}
		return dst
	case a.Key == "" && value.Equal(slog.Value{}):
		return dst
	case h.json:
		return appendMember(dst, group, a.Key, value)
	}
	return appendPair(dst, group, a.Key, value)
}

// appendText writes the line that people search.
func (h *handler) appendText(dst []byte, r slog.Record, level string, attrs []byte) []byte {
	when := r.Time
	if when.IsZero() {
		when = time.Now()
	}
	dst = when.Local().AppendFormat(dst, "2006/01/02 15:04:05 ")
	dst = append(dst, level...)
	dst = append(dst, ": ["...)
	dst = appendName(dst, h.tagName())
	dst = append(dst, "] ["...)
	dst = appendName(dst, h.taskName())
	dst = append(dst, "] "...)
	dst = appendMessage(dst, r.Message)
	dst = append(dst, attrs...)
	return append(dst, '\n')
}

func (h *handler) tagName() string {
	if h.tag == "" {
		return "Cluster"
	}
	return h.tag
}

func (h *handler) taskName() string {
	if h.task == "" {
		return "Main"
	}
	return h.task
}

// LevelName is the name of a level in the log: DEBUG2, DEBUG, INFO, WARNING or
// ERROR.
func LevelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "DEBUG2"
	case level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}
