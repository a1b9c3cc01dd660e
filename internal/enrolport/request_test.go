package enrolport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
)

func TestExtentOf(t *testing.T) {
	for text, want := range map[string]extent{
		"":                                    partial,
		"OSSEC":                               partial,
		"OSSEC A:":                            partial,
		"OSSEC A:'web":                        partial,
		"OSSEC A:'web'":                       perhaps,
		"OSSEC A:'web' ":                      partial,
		"OSSEC A:'web' V":                     partial,
		"OSSEC A:'web' V:'v4.7.5'":            perhaps,
		"OSSEC A:'web' V:'v4.7.5' I":          partial,
		"OSSEC A:'web' IP:'1.2.3.4' K:'12":    partial,
		"OSSEC A:'web' IP:'1.2.3.4' K:'12'":   perhaps,
		"OSSEC A:'web' X":                     whole,
		"OSSEC A:'web'\x00":                   whole,
		"OSSEC A:'web'\n":                     whole,
		"OSSEC A:'web\n":                      whole,
		"\n":                                  whole,
		"x":                                   whole,
		"OSSEC PASS: ":                        partial,
		"OSSEC PASS: secret":                  partial,
		"OSSEC PASS: secret OSSEC A:'web":     partial,
		"OSSEC PASS: secret OSSEC A:'web'":    perhaps,
		"OSSEC PASS: sec'ret OSSEC A:'web' V": partial,
		"OSSEC PASS: secret OSSEC A:'web' nothin": whole,
	} {
		if got := extentOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// pieces gives one piece at a time, then end.
type pieces struct {
	list [][]byte
	end  error
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.list) > 0 && len(p.list[0]) == 0 {
		p.list = p.list[1:]
	}
	if len(p.list) == 0 {
		return 0, p.end
	}
	n := copy(b, p.list[0])
	p.list[0] = p.list[0][n:]
	return n, nil
}

func readPieces(end error, list ...[]byte) ([]byte, error) {
	p := &pieces{slices.Clone(list), end}
	return readRequest(p, time.Now(), func(time.Time) error { return nil }, func() {})
}

func TestReadRequest_Ends(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		sent string
		end  error
		want string
		err  error
	}{
		{"", io.EOF, "", errNothing},
		{"", os.ErrDeadlineExceeded, "", errNothing},
		{"", io.ErrUnexpectedEOF, "", errNothing},
		{"", broken, "", broken},
		{"OSSEC A:'we", io.EOF, "OSSEC A:'we", nil},
		{"OSSEC A:'we", os.ErrDeadlineExceeded, "OSSEC A:'we", nil},
		{"OSSEC A:'we", broken, "OSSEC A:'we", broken},
		{"OSSEC A:'" + strings.Repeat("w", 2*enrolment.MaxLine), broken, "OSSEC A:'" + strings.Repeat("w", enrolment.MaxLine-9), nil},
	} {
		got, err := readPieces(tt.end, []byte(tt.sent))
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%.20q then %v: %d bytes, %v", tt.sent, tt.end, len(got), err)
		}
	}
}

func TestReadRequest_GivesUpWhenCut(t *testing.T) {
	left := 1
	until := func(time.Time) error {
		if left--; left < 0 {
			return errCut
		}
		return nil
	}
	if _, err := readRequest(&pieces{[][]byte{[]byte("OSSEC A:'")}, io.EOF}, time.Now(), until, func() {}); !errors.Is(err, errCut) {
		t.Error(err)
	}
}

// FuzzReadRequest sends bytes in pieces: what is read is their beginning, within
// bounds, and a request as agents write it is read whole however it is cut.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("OSSEC A:'web-01' V:'v4.7.5'\n"), "web-01", "web", byte(3), byte(9))
	f.Add([]byte("OSSEC PASS: x OSSEC A:'"), "a", "", byte(0), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, name, group string, a, b byte) {
		cut := func(line []byte) [][]byte {
			i, j := int(a)%(len(line)+1), int(b)%(len(line)+1)
			i, j = min(i, j), max(i, j)
			return [][]byte{line[:i], line[i:j], line[j:]}
		}
		got, err := readPieces(io.EOF, cut(data)...)
		if !bytes.HasPrefix(data, got) || len(got) > enrolment.MaxLine || err == nil && len(got) == 0 {
			t.Fatalf("%q of %q, %v", got, data, err)
		}
		r := enrolment.Request{Name: name, Version: "v4.7.5", Groups: []string{group}}
		if r.Check() != nil {
			return
		}
		line := r.Line(agent.Secret{})
		if got, err := readPieces(io.EOF, cut(line)...); err != nil || !bytes.Equal(got, line) {
			t.Fatalf("%q of %q, %v", got, line, err)
		}
	})
}
