package result

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"testudo/internal/fault"
)

// Time is a moment as `__wazuh_datetime__`, down to the microsecond. A time in
// NoZone is sent without a zone, any other with its offset.
type Time time.Time

// NoZone is the zone of a time that came without one. Such a time reckons as
// UTC.
var NoZone = time.FixedZone("no zone", 0)

// maxTime bounds the text of a moment.
const maxTime = 64

// String is the ISO 8601 text.
func (t Time) String() string {
	at := time.Time(t)
	layout := "2006-01-02T15:04:05"
	if at.Nanosecond()/1000 != 0 {
		layout += ".000000"
	}
	if at.Location() != NoZone {
		layout += "-07:00"
	}
	return at.Format(layout)
}

// MarshalJSON is the typed object. Years before 1 and after 9999 are an error.
func (t Time) MarshalJSON() ([]byte, error) {
	if year := time.Time(t).Year(); year < 1 || year > 9999 {
		return nil, fmt.Errorf("encode time: the year %d has no form in JSON", year)
	}
	return json.Marshal(map[string]string{"__wazuh_datetime__": t.String()})
}

// UnmarshalJSON reads the typed object.
func (t *Time) UnmarshalJSON(data []byte) error {
	object, err := ReadObject(data, Limits{Bytes: 4 * maxTime, Depth: 2})
	if err != nil {
		return err
	}
	s, err := text(object.Get("__wazuh_datetime__"))
	if err != nil {
		return err
	}
	at, err := ParseTime(s)
	if err != nil {
		return err
	}
	*t = at
	return nil
}

// ParseTime reads ISO 8601 text: a date, and optionally behind a 'T' or a
// space hours, minutes, seconds, a fraction and a zone.
func ParseTime(s string) (Time, error) {
	if len(s) > maxTime {
		return Time{}, undecodable("a time of %d bytes", len(s))
	}
	normal := s
	if len(s) > 10 && s[10] == ' ' {
		normal = s[:10] + "T" + s[11:]
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, normal, NoZone); err == nil {
			return checked(at, s)
		}
		if at, err := time.Parse(layout+"Z07:00", normal); err == nil && strings.Contains(layout, "T") {
			return checked(at, s)
		}
	}
	return Time{}, undecodable("%q is no date or time", s)
}

// checked cuts to microseconds and refuses years that could not be sent on.
func checked(at time.Time, s string) (Time, error) {
	if at.Year() < 1 {
		return Time{}, undecodable("%q is no date or time", s)
	}
	return Time(at.Truncate(time.Microsecond)), nil
}

// Callable is the name of a function as `__callable__`.
type Callable struct {
	Name     string `json:"__name__"`
	Module   string `json:"__module__"`
	Qualname string `json:"__qualname__"`
	Type     string `json:"__type__"`
}

// maxCallable bounds each part of the name of a function.
const maxCallable = 256

// Key is the name by which a function is found: module and qualified name.
func (c Callable) Key() string { return c.Module + "." + c.Qualname }

// MarshalJSON is the typed object.
func (c Callable) MarshalJSON() ([]byte, error) {
	type parts Callable
	return json.Marshal(map[string]parts{"__callable__": parts(c)})
}

// UnmarshalJSON reads the typed object. All four parts must be there, of
// letters, digits and the signs of names. A method's `__wazuh__` is left out:
// which function is meant the other parts say.
func (c *Callable) UnmarshalJSON(data []byte) error {
	if err := (Limits{Bytes: 64 << 10, Depth: 16}).check(data); err != nil {
		return err
	}
	return c.Split(data)
}

// Split is UnmarshalJSON for what is known to be JSON: a part of what was read
// before.
func (c *Callable) Split(data []byte) error {
	object, err := members(data)
	if err != nil {
		return err
	}
	parts, err := members(object.Get("__callable__"))
	if err != nil {
		return err
	}
	var got Callable
	for _, part := range []struct {
		name string
		to   *string
	}{{"__name__", &got.Name}, {"__module__", &got.Module}, {"__qualname__", &got.Qualname}, {"__type__", &got.Type}} {
		if *part.to, err = text(parts.Get(part.name)); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if !isName(*part.to) {
			return fmt.Errorf("%s: %w", part.name, undecodable("%.80q is no name", *part.to))
		}
	}
	*c = got
	return nil
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '<' && c != '>' {
			return false
		}
	}
	return s != "" && len(s) <= maxCallable
}

// Of makes an outcome of whatever a function gives: a Result, an *fault.Error,
// an object, or a text, which is read as JSON and else becomes the message of
// an object. Anything else is error 1000 that names the type.
func Of(v any) Outcome {
	switch v := v.(type) {
	case Result:
		return Outcome{Result: v}
	case *fault.Error:
		return Outcome{Err: v}
	case string:
		return ofText(v)
	}
	plain, err := NewPlain(v)
	if err != nil {
		return Outcome{Err: fault.Wrap(fault.Unspecified, fmt.Sprintf("the result is a %T, not an object", v), err)}
	}
	return Outcome{Result: plain}
}

func ofText(s string) Outcome {
	if _, err := ReadObject([]byte(s), Limits{}); err == nil {
		return Outcome{Result: &Plain{Body: json.RawMessage(s)}}
	}
	if json.Valid([]byte(s)) {
		return Outcome{Err: fault.New(fault.Unspecified, "the result is text that holds JSON, but no object")}
	}
	return Of(map[string]string{"message": s})
}
