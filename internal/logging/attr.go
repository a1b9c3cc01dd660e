package logging

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// appendPair writes ` key=value`.
func appendPair(dst []byte, group, key string, v slog.Value) []byte {
	dst = append(dst, ' ')
	dst = appendValue(dst, group+key)
	dst = append(dst, '=')
	switch v.Kind() {
	case slog.KindString:
		return appendValue(dst, v.String())
	case slog.KindAny:
		return appendValue(dst, text(v.Any()))
	}
	return appendScalar(dst, v)
}

// appendMember writes `,"key":value`.
func appendMember(dst []byte, group, key string, v slog.Value) []byte {
	dst = append(dst, ',')
	dst = appendJSONText(dst, group+key, maxValue)
	dst = append(dst, ':')
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64:
		return appendScalar(dst, v)
	case slog.KindFloat64:
		return appendJSONAny(dst, v.Float64())
	case slog.KindString:
		return appendJSONText(dst, v.String(), maxValue)
	case slog.KindAny:
		return appendJSONAny(dst, v.Any())
	}
	return appendJSONText(dst, string(appendScalar(nil, v)), maxValue)
}

// appendScalar writes numbers, truth values, times and durations.
func appendScalar(dst []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindBool:
		return strconv.AppendBool(dst, v.Bool())
	case slog.KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	case slog.KindFloat64:
		return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64)
	case slog.KindDuration:
		return append(dst, v.Duration().Round(time.Microsecond).String()...)
	case slog.KindTime:
		return v.Time().Local().AppendFormat(dst, timeFormat)
	}
	return append(dst, v.String()...)
}

// text is the text of any value. A value whose own method panics, such as an
// error that is a nil pointer, must not take the node down.
func text(v any) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = fmt.Sprintf("!PANIC %T", v)
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error()
	case []byte:
		return string(v)
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprintf("%+v", v)
}

// appendObject writes a record as one JSON object.
func (h *handler) appendObject(dst []byte, r slog.Record, level string, attrs []byte) []byte {
	dst = append(dst, '{')
	if !r.Time.IsZero() {
		dst = append(dst, `"time":"`...)
		dst = r.Time.Local().AppendFormat(dst, timeFormat)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"level":"`...)
	dst = append(dst, level...)
	dst = append(dst, `","tag":`...)
	dst = appendJSONText(dst, h.tagName(), maxValue)
	dst = append(dst, `,"task":`...)
	dst = appendJSONText(dst, h.taskName(), maxValue)
	dst = append(dst, `,"msg":`...)
	dst = appendJSONText(dst, r.Message, maxMessage)
	dst = append(dst, attrs...)
	return append(dst, '}', '\n')
}

// appendJSONText writes a JSON string of at most limit bytes of s. JSON has no
// way to write bytes that are no UTF-8: they are replaced.
func appendJSONText(dst []byte, s string, limit int) []byte {
	s, left := shorten(s, limit)
	if left > 0 {
		s += string(appendLeft(nil, left))
	}
	if plain(s) && !strings.ContainsAny(s, `"\`) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // does not happen for strings
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

// appendJSONAny writes a value as its own JSON, or as its text when it has
// none or too much of it.
func appendJSONAny(dst []byte, v any) []byte {
	if _, isError := v.(error); !isError {
		if encoded, ok := marshal(v); ok && len(encoded) <= maxValue {
			return append(dst, encoded...)
		}
	}
	return appendJSONText(dst, text(v), maxValue)
}

func marshal(v any) (encoded []byte, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	encoded, err := json.Marshal(v)
	return encoded, err == nil
}
