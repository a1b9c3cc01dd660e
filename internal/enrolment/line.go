package enrolment

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"testudo/internal/agent"
)

// LineOptions is what a node wants of request lines.
type LineOptions struct {
	WantPassword bool
	Password     agent.Secret
	UseSourceIP  bool   // without an address in the line it is the peer's, not "any"
	Version      string // of the manager, such as "4.7.5"
	AllowHigher  bool   // agents may be newer than the manager
}

// ParseLine reads what an agent sent and checks it in the order of
// docs/enrolment.md §5. The error is a *Refusal.
func ParseLine(line []byte, peer netip.Addr, o LineOptions) (Request, error) {
	text, _, _ := bytes.Cut(line, []byte{0})
	l := lineReader{string(text)}
	if o.WantPassword && !l.password(o.Password) {
		return Request{}, refusal(TextInvalidPassword)
	}
	var r Request
	var err error
	if r.Name, err = l.name(); err != nil {
		return Request{}, err
	}
	if r.Version, err = l.version(o); err != nil {
		return Request{}, err
	}
	if r.Groups, err = l.groups(); err != nil {
		return Request{}, err
	}
	if r.Address, err = l.address(peer, o.UseSourceIP); err != nil {
		return Request{}, err
	}
	if r.KeyHash, _, err = l.part(" K:", "key", hashSize, "'"); err != nil {
		return Request{}, err
	}
	return r, nil
}

// lineReader has what of a line is not read yet.
type lineReader struct{ rest string }

func (l *lineReader) skip(text string) bool {
	rest, ok := strings.CutPrefix(l.rest, text)
	l.rest = rest
	return ok
}

func (l *lineReader) password(want agent.Secret) bool {
	return l.skip("OSSEC PASS: ") && l.skip(want.Reveal()) && l.skip(" ")
}

func (l *lineReader) name() (string, error) {
	if !l.skip("OSSEC A:'") {
		return "", refusal(TextInvalidRequest)
	}
	name, rest, ok := strings.Cut(l.rest, "'")
	if !ok {
		return "", refusal(TextInvalidRequest)
	}
	l.rest = rest
	return name, CheckName(name)
}

// part reads one of the parts that may be there. Its value ends before the first
// of the characters ends and after size bytes; there must be the closing quote.
func (l *lineReader) part(prefix, word string, size int, ends string) (value string, some bool, err error) {
	if !strings.HasPrefix(l.rest, prefix) {
		return "", false, nil
	}
	value = l.rest[len(prefix):]
	if strings.HasPrefix(value, "'") {
		value = value[1:]
		if end := strings.IndexAny(value, ends); end >= 0 {
			value = value[:end]
		}
		value = value[:min(len(value), size)]
	} else {
		value = "" // and the quote is looked for one further, as if there were one
	}
	end := len(prefix) + 1 + len(value)
	if end >= len(l.rest) || l.rest[end] != '\'' {
		return "", true, refusal("Unterminated ", word, " field")
	}
	l.rest = l.rest[end+1:]
	return value, true, nil
}

func (l *lineReader) version(o LineOptions) (string, error) {
	version, some, err := l.part(" V:", "version", maxVersion, "'")
	if err == nil && some && !o.AllowHigher && newer(version, o.Version) {
		err = refusal("Agent version must be lower or equal to manager version")
	}
	return version, err
}

func (l *lineReader) groups() ([]string, error) {
	text, some, err := l.part(" G:", "group", maxGroups, "'")
	if err != nil || !some {
		return nil, err
	}
	return CheckGroups(text)
}

func (l *lineReader) address(peer netip.Addr, ofPeer bool) (string, error) {
	text, some, err := l.part(" IP:", "IP", maxAddress, "' ")
	switch {
	case err != nil:
		return "", err
	case !some && !ofPeer:
		return AnyAddress, nil
	case !some, strings.HasPrefix(text, AddressOfPeer):
		return PeerAddress(peer), nil
	}
	a, err := ParseAddress(text)
	if err != nil {
		return "", refusal("Invalid IP: ", text)
	}
	return a.Asked, nil
}

// newer tells whether version a is above b, going by the first two numbers.
func newer(a, b string) bool {
	majorA, minorA := versionNumbers(a)
	majorB, minorB := versionNumbers(b)
	return majorA > majorB || majorA == majorB && minorA > minorB
}

// maxVersionShown is how much of a version counts, in bytes.
const maxVersionShown = 9

func versionNumbers(text string) (major, minor int) {
	text = text[:min(len(text), maxVersionShown)]
	if _, behind, ok := strings.Cut(text, "v"); ok {
		text = behind
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == '.' })
	if len(parts) > 0 {
		major = leadingNumber(parts[0])
	}
	if len(parts) > 1 {
		minor = leadingNumber(parts[1])
	}
	return major, minor
}

// leadingNumber is the number that a text begins with; 0 without one.
func leadingNumber(text string) int {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	size := 0
	for size < len(text) && (digit(text[size], 10) || size == 0 && (text[0] == '-' || text[0] == '+')) {
		size++
	}
	n, err := strconv.Atoi(text[:size])
	if err != nil {
		return 0
	}
	return n
}
