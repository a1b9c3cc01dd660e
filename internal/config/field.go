package config

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// field is one setting of cluster.json or testudo.yaml: where it is written,
// where it is kept, and what makes sense.
type field struct {
	path     string                  // its keys, joined by dots
	doc      string                  // one or two lines for people; only for testudo.yaml
	at       func(c *Config) any     // pointer to its place
	min, max float64                 // of a number, in units (seconds, bytes, pieces)
	check    func(text string) error // of a text
}

// seconds, in which the ranges of durations are written.
const (
	hour = 3600
	day  = 24 * hour
	year = 365 * day
)

// set reads n into the field. numericSeconds is how cluster.json writes
// durations; testudo.yaml writes them with their unit.
func (f *field) set(c *Config, n *node, numericSeconds bool) error {
	switch at := f.at(c).(type) {
	case *string:
		return f.setText(at, n)
	case *bool:
		if n.kind != kindBool {
			return fmt.Errorf("must be true or false, not %s", n.describe())
		}
		*at = n.text == "true"
	case *int:
		return setWhole(f, at, n)
	case *int64:
		return setWhole(f, at, n)
	case *ByteSize:
		return f.setBytes(at, n)
	case *float64:
		value, err := n.number()
		if err != nil {
			return err
		}
		if value < f.min || value > f.max {
			return f.rangeError(n)
		}
		*at = value
	case *time.Duration:
		if numericSeconds {
			return f.setSeconds(at, n)
		}
		return f.setDuration(at, n)
	}
	return nil
}

func (f *field) setText(at *string, n *node) error {
	switch n.kind {
	case kindText, kindNumber:
	default:
		return fmt.Errorf("must be a text, not %s", n.describe())
	}
	if err := f.check(n.text); err != nil {
		return err
	}
	*at = n.text
	return nil
}

func setWhole[T int | int64](f *field, at *T, n *node) error {
	if n.kind != kindNumber {
		return fmt.Errorf("must be a whole number, not %s", n.describe())
	}
	value, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil {
		return fmt.Errorf("must be a whole number, not %s", n.describe())
	}
	if float64(value) < f.min || float64(value) > f.max {
		return f.rangeError(n)
	}
	*at = T(value)
	return nil
}

func (f *field) setBytes(at *ByteSize, n *node) error {
	if n.kind != kindNumber && n.kind != kindText {
		return fmt.Errorf("must be a size such as 256MiB, not %s", n.describe())
	}
	size, err := ParseByteSize(n.text)
	if err != nil {
		return err
	}
	if float64(size) < f.min || float64(size) > f.max {
		return f.rangeError(n)
	}
	*at = size
	return nil
}

func (f *field) setSeconds(at *time.Duration, n *node) error {
	value, err := n.number()
	if err != nil {
		return err
	}
	if value < f.min || value > f.max {
		return f.rangeError(n)
	}
	*at = time.Duration(math.Round(value * float64(time.Second)))
	return nil
}

func (f *field) setDuration(at *time.Duration, n *node) error {
	if n.kind == kindNumber && n.text != "0" {
		return fmt.Errorf("%s has no unit; write %ss, %sm or the like", n.describe(), n.text, n.text)
	}
	value, err := time.ParseDuration(n.text)
	if err != nil || n.kind != kindText && n.kind != kindNumber {
		return fmt.Errorf("must be a time such as 30s or 1m30s, not %s", n.describe())
	}
	if value.Seconds() < f.min || value.Seconds() > f.max {
		return f.rangeError(n)
	}
	*at = value
	return nil
}

// rangeError says what the range is, in the unit in which people write it.
func (f *field) rangeError(n *node) error {
	low, high := strconv.FormatFloat(f.min, 'f', -1, 64), strconv.FormatFloat(f.max, 'f', -1, 64)
	switch f.at(Default("")).(type) {
	case *ByteSize:
		low, high = ByteSize(f.min).String(), ByteSize(f.max).String()
	case *time.Duration:
		if n.kind == kindNumber {
			low, high = low+" s", high+" s"
			break
		}
		low = time.Duration(f.min * float64(time.Second)).String()
		high = time.Duration(f.max * float64(time.Second)).String()
	}
	return fmt.Errorf("%s is not between %s and %s", n.describe(), low, high)
}

// number gives the value of a number; infinities and the like are none.
func (n *node) number() (float64, error) {
	if n.kind == kindNumber {
		value, err := strconv.ParseFloat(n.text, 64)
		if err == nil && !math.IsInf(value, 0) && !math.IsNaN(value) {
			return value, nil
		}
	}
	return 0, fmt.Errorf("must be a number, not %s", n.describe())
}

// describe names the value for an error: itself when it is short, else its kind.
func (n *node) describe() string {
	switch n.kind {
	case kindNumber, kindBool:
		if len(n.text) <= 32 {
			return n.text
		}
	case kindText:
		return fmt.Sprintf("%.64q", n.text)
	}
	return n.kind.String()
}

// show gives the value of a setting as Explain prints it and as testudo.yaml
// writes it.
func show(at any) string {
	switch v := at.(type) {
	case *string:
		return strconv.Quote(*v)
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *int64:
		return strconv.FormatInt(*v, 10)
	case *ByteSize:
		return v.String()
	case *float64:
		return strconv.FormatFloat(*v, 'f', -1, 64)
	case *time.Duration:
		return shortDuration(*v)
	}
	return ""
}

// shortDuration is Duration.String without units that are zero: 10m, not 10m0s.
func shortDuration(d time.Duration) string {
	switch {
	case d != 0 && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d != 0 && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}
