package bundle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// FuzzRead feeds any bytes: only the documented errors come, the limits hold,
// and what is read is read again from a package written of it.
func FuzzRead(f *testing.F) {
	worked, _ := hex.DecodeString(example)
	f.Add(worked)
	f.Add([]byte(member("a", "1") + "junk" + fileSeparator + member("b", "")))
	f.Add([]byte(member("a", fileSeparator) + fileSeparator + member("a", "")))
	f.Add([]byte(member("a", string(bytes.Repeat([]byte{0}, 10_000)))))
	limits := Limits{Members: 3, PathBytes: 20, MemberBytes: 2000, TotalBytes: 3000}
	f.Fuzz(func(t *testing.T, sent []byte) {
		files, err := readAll(bytes.NewReader(sent), limits)
		again, errAgain := readAll(iotest.OneByteReader(bytes.NewReader(sent)), limits)
		if d := cmp.Diff(files, again); d != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("differs by segmentation: %v, %v %s", err, errAgain, d)
		}
		var over *LimitError
		switch {
		case err == nil:
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrPath), errors.Is(err, ErrDuplicate), errors.As(err, &over):
		default:
			t.Fatal(err)
		}
		total, members := 0, files[:0:0]
		for _, m := range files {
			total += len(m.Content)
			if m.Path != MetadataName {
				members = append(members, m)
			}
		}
		if len(files) > limits.Members || int64(total) > limits.TotalBytes {
			t.Fatalf("%d files of %d bytes", len(files), total)
		}
		if err != nil {
			return
		}
		members = append(members, file{MetadataName, "{}"})
		if d := cmp.Diff(members, cutAsOriginal(t, written(t, 1, members))); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzPack packs any content at any level, at the start or near the end of a
// stored block or of a segment.
func FuzzPack(f *testing.F) {
	f.Add([]byte(fileSeparator), uint8(1), uint8(4), true)
	f.Add(joined(noise(40), fileSeparator, noise(500)), uint8(0), uint8(0), false)
	f.Add(prose(500), uint8(9), uint8(200), false)
	leads := map[bool][]byte{true: noise(segment), false: prose(segment)}
	f.Fuzz(func(t *testing.T, content []byte, level, before uint8, loud bool) {
		end := []int{0, maxStored, segment}[before%3]
		lead := leads[loud][:max(0, end-int(before/3))]
		whole := joined(lead, content, content)
		checkPacked(t, pack(t, int(level%10), bytes.NewReader(whole)), whole)
	})
}
