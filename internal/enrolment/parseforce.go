package enrolment

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// readForce reads the rules that come with a message (docs/enrolment.md §9). All
// members must be there. What is not true and no number other than 0 counts as
// false.
func readForce(raw json.RawMessage) (f Force, ok bool) {
	o, _ := readObject(raw)
	if f.Enabled, ok = o.flag("enabled"); !ok {
		return Force{}, false
	}
	if f.KeyMismatch, ok = o.flag("key_mismatch"); !ok {
		return Force{}, false
	}
	value, _ := o.get("disconnected_time")
	disconnected, _ := readObject(value)
	if f.DisconnectedEnabled, ok = disconnected.flag("enabled"); !ok {
		return Force{}, false
	}
	if f.Disconnected, ok = disconnected.time("value"); !ok {
		return Force{}, false
	}
	f.AfterRegistration, ok = o.time("after_registration_time")
	return f, ok
}

func (o object) flag(name string) (yes, ok bool) {
	raw, ok := o.get(name)
	n, _ := wholeNumber(raw)
	return isTrue(raw) || n != 0, ok
}

func (o object) time(name string) (time.Duration, bool) {
	raw, _ := o.get(name)
	return ParseTime(raw)
}

// ParseTime reads a time of the replacement rules in JSON: a number of seconds,
// or a text for ParseInterval.
func ParseTime(raw json.RawMessage) (d time.Duration, ok bool) {
	if n, ok := wholeNumber(raw); ok {
		return inSeconds(n), true
	}
	interval, ok := text(raw)
	if !ok {
		return 0, false
	}
	d, err := ParseInterval(interval)
	return d, err == nil
}

// wholeNumber is a JSON number without what follows the point, within 32 bits.
func wholeNumber(raw json.RawMessage) (n int64, ok bool) {
	number, err := strconv.ParseFloat(string(raw), 64)
	if len(raw) == 0 || err != nil && !math.IsInf(number, 0) || raw[0] != '-' && !digit(raw[0], 10) {
		return 0, false
	}
	return int64(max(min(number, float64(maxSeconds)), -float64(maxSeconds)-1)), true
}
