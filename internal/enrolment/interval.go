package enrolment

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxInterval is the longest time that a time.Duration holds in whole seconds.
const maxInterval = time.Duration(math.MaxInt64 / int64(time.Second) * int64(time.Second))

// ParseInterval reads a time such as "1h" (docs/enrolment.md §14): a number,
// decimal, octal after 0 or hexadecimal after 0x, and s, m, h or d; seconds
// without a letter. What follows the letter does not count.
func ParseInterval(text string) (time.Duration, error) {
	number := strings.TrimPrefix(strings.TrimLeft(text, " \t\n\v\f\r"), "+")
	size, base := 0, 10
	switch {
	case len(number) > 2 && number[0] == '0' && number[1]|0x20 == 'x' && digit(number[2], 16):
		number, base = number[2:], 16
	case number != "" && number[0] == '0':
		base = 8
	}
	for size < len(number) && digit(number[size], base) {
		size++
	}
	if size == 0 {
		return 0, fmt.Errorf("%q is no time", text)
	}
	unit := time.Second
	if size < len(number) {
		var known bool
		if unit, known = units[number[size]]; !known {
			return 0, fmt.Errorf("%q is no time: it ends in s, m, h or d", text)
		}
	}
	n, err := strconv.ParseInt(number[:size], base, 64)
	if err != nil || n > int64(maxInterval/unit) {
		return maxInterval, nil //nolint:nilerr // too large a number means for ever
	}
	return time.Duration(n) * unit, nil
}

// units is read only.
var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}

func digit(c byte, base int) bool {
	switch {
	case c >= '0' && c <= '9':
		return int(c-'0') < base
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return base == 16
	}
	return false
}
