package bundle

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type file struct{ Path, Content string }

func readAll(r io.Reader, l Limits) (files []file, err error) {
	err = Read(context.Background(), r, l, func(path string, content io.Reader) error {
		b, err := io.ReadAll(content)
		files = append(files, file{path, string(b)})
		return err
	})
	return files, err
}

func deflated(content string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, content)
	_ = w.Close()
	return b.String()
}

func member(path, content string) string { return path + pathSeparator + deflated(content) }

// written is a package of these files; the last is the metadata.
func written(t testing.TB, level int, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, level)
	for _, f := range files[:len(files)-1] {
		if err := w.Add(f.Path, strings.NewReader(f.Content)); err != nil {
			t.Fatal(err)
		}
	}
	err := w.Close(func(w io.Writer) error {
		_, err := io.WriteString(w, files[len(files)-1].Content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The example of docs/integrity.md §5.1.
const example = "6574632f72756c65732f612e786d6c" + "7c2f2f40402f2f7c" +
	"7801b3492fca2f2dd0b7e30200103102e1" + "7c40402f2f40407c" +
	"66696c65735f6d657461646174612e6a736f6e" + "7c2f2f40402f2f7c" +
	"78014d8edd8ac32010465fa578bdb41a7f46fb3261d4cf26" +
	"6cdc8598429790775f5b7ad1b9fb0e87e1eca2ceadcd3f37" +
	"713ded025bbaacf705edc2e7475d5eacfee6719b2bfa5024" +
	"df77b65f2791967bdbb08ef3863a7ee3af1b1f1f44372ad6" +
	"1b72e78597860e266ed3534b525152a618a3831e1c45efc1" +
	"244b0c18d8fa3004b067482095c88a32590e59cbd0975328" +
	"99382549282a441d92b1905e22f2e03d4b62e36226cf94ad" +
	"7192c8594721fba2744c84a0b516c7d16bf0d856ee39fb73" +
	"b489d757eb7e1cff28a052f9"

func TestRead_WorkedExample(t *testing.T) {
	b, err := hex.DecodeString(example)
	if err != nil || len(b) != 279 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	got, err := readAll(bytes.NewReader(b), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	hash := "c017c14f44393267b88ea70fb9e2a58929ea8ae0eecfba17d75a9d309fba61efd7acc07ef19b39c45e080eba288a07a46bd78a7d54607765679d8f13bc7e9333"
	want := []file{{"etc/rules/a.xml", "<group/>\n"}, {MetadataName,
		`{"missing": {"etc/rules/a.xml": {"mod_time": 1700000000.5, "cluster_item_key": "etc/rules/", "merged": false, "hash": "` + hash + `"}}, "extra": {}, "shared": {}}`}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRead_WhatWriterWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("many bytes for one goroutine: not with -short")
	}
	var files []file
	for name, content := range adversarial() {
		files = append(files, file{"etc/lists/" + strings.ReplaceAll(name, " ", "_"), string(content)})
	}
	files = append(files, file{MetadataName, `{"missing": {}, "extra": {}, "shared": {}}`})
	for _, level := range []int{0, 1, 6, 9} {
		b := written(t, level, files)
		for name, r := range map[string]io.Reader{
			"at once": bytes.NewReader(b),
			"halves":  iotest.HalfReader(bytes.NewReader(b)),
			"errors":  iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, err := readAll(r, Limits{})
			if d := cmp.Diff(files, got); d != "" || err != nil {
				t.Fatalf("level %d, %s: %v", level, name, err)
			}
		}
		if got := cutAsOriginal(t, b); !cmp.Equal(files, got) {
			t.Fatalf("level %d: a receiver that cuts at separators reads something else", level)
		}
	}
}

// cutAsOriginal reads a package as the original's receiver does: cut at every
// file separator, then at the first path separator (docs/integrity.md §5.2).
func cutAsOriginal(t testing.TB, b []byte) (files []file) {
	t.Helper()
	for _, part := range bytes.Split(b, []byte(fileSeparator)) {
		path, packed, found := bytes.Cut(part, []byte(pathSeparator))
		if !found {
			t.Fatalf("a part of %d bytes without path", len(part))
		}
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		files = append(files, file{string(path), string(content)})
	}
	return files
}

func TestRead_Property(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		paths := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z|@]{1,8}(/[a-z|@é]{1,8}){0,3}`), 0, 6, rapid.ID).Draw(rt, "paths")
		var files []file
		for _, p := range paths {
			if CheckPath(p) == nil {
				files = append(files, file{p, string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "content"))})
			}
		}
		files = append(files, file{MetadataName, "{}"})
		b := written(t, rapid.IntRange(0, 9).Draw(rt, "level"), files)
		got, err := readAll(bytes.NewReader(b), Limits{})
		if d := cmp.Diff(files, got); d != "" || err != nil {
			rt.Fatalf("%v %s", err, d)
		}
		if d := cmp.Diff(files, cutAsOriginal(t, b)); d != "" {
			rt.Fatal(d)
		}
	})
}

func TestRead_Tolerates(t *testing.T) {
	stored := string(adversarial()["separator in noise"])
	var plain bytes.Buffer
	w, _ := zlib.NewWriterLevel(&plain, zlib.NoCompression)
	_, _ = io.WriteString(w, stored)
	_ = w.Close()
	for name, c := range map[string]struct {
		sent string
		want []file
	}{
		"bytes behind a stream": {
			member("a", "1") + "junk|@@/" + fileSeparator + member("b", "2") + "|junk",
			[]file{{"a", "1"}, {"b", "2"}}},
		"separator in compressed data": {
			"a" + pathSeparator + plain.String() + fileSeparator + member("b", "2"),
			[]file{{"a", stored}, {"b", "2"}}},
		"metadata first": {
			member(MetadataName, "{}") + fileSeparator + member("b", ""),
			[]file{{MetadataName, "{}"}, {"b", ""}}},
	} {
		got, err := readAll(strings.NewReader(c.sent), Limits{})
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
}

// Row 14 of docs/wire.md §11, a path that leads elsewhere, and what is no
// package.
func TestRead_Refuses(t *testing.T) {
	whole := member("a", strings.Repeat("content", 100))
	for _, c := range []struct {
		name string
		sent string
		want error
	}{
		{"empty", "", ErrMalformed},
		{"path only", "etc/rules/a.xml", ErrMalformed},
		{"path and separator", "a" + pathSeparator, ErrMalformed},
		{"no zlib stream", "a" + pathSeparator + "clear text", ErrMalformed},
		{"cut stream", whole[:len(whole)-7], ErrMalformed},
		{"cut checksum", whole[:len(whole)-2], ErrMalformed},
		{"wrong checksum", whole[:len(whole)-1] + "\x00", ErrMalformed},
		{"separator at the end", whole + fileSeparator, ErrMalformed},
		{"separator in the path", "a" + fileSeparator + "b" + pathSeparator + deflated("x"), ErrMalformed},
		{"same path twice", member("a", "1") + fileSeparator + member("a", "2"), ErrDuplicate},
		{"empty path", member("", "x"), ErrPath},
		{"absolute path", member("/etc/passwd", "x"), ErrPath},
		{"path that climbs", member("etc/../../x", "x"), ErrPath},
		{"path not clean", member("etc//x", "x"), ErrPath},
		{"path with NUL", member("etc/x\x00y", "x"), ErrPath},
		{"path not UTF-8", member("etc/\xff", "x"), ErrPath},
	} {
		if _, err := readAll(strings.NewReader(c.sent), Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		// The same when nobody looks at the contents.
		err := Read(t.Context(), strings.NewReader(c.sent), Limits{}, func(string, io.Reader) error { return nil })
		if !errors.Is(err, c.want) {
			t.Errorf("%s, contents unread: %v, want %v", c.name, err, c.want)
		}
	}
}

// Row 13 of docs/wire.md §11 among others: what is inflated has its limits.
func TestRead_Limits(t *testing.T) {
	two := member("aa", "12345") + fileSeparator + member("bb", "123456")
	for _, c := range []struct {
		name   string
		limits Limits
		what   string
	}{
		{"all within", Limits{Members: 2, PathBytes: 2, MemberBytes: 6, TotalBytes: 11}, ""},
		{"members", Limits{Members: 1}, limitMembers},
		{"path", Limits{PathBytes: 1}, limitPath},
		{"member", Limits{MemberBytes: 5}, limitMember},
		{"total", Limits{TotalBytes: 10}, limitTotal},
	} {
		_, err := readAll(strings.NewReader(two), c.limits)
		var over *LimitError
		if errors.As(err, &over); c.what == "" && err != nil || c.what != "" && (over == nil || over.What != c.what) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	bomb := member("a", strings.Repeat("\x00", 8<<20))
	var got int64
	err := Read(t.Context(), strings.NewReader(bomb), Limits{MemberBytes: 1000}, func(_ string, content io.Reader) (err error) {
		got, err = io.Copy(io.Discard, content)
		return err
	})
	var over *LimitError
	if !errors.As(err, &over) || got > 1000 {
		t.Errorf("bomb: %d bytes, %v", got, err)
	}
	endless := iotest.DataErrReader(io.MultiReader(strings.NewReader("a"), zeros{}))
	if _, err := readAll(endless, Limits{PathBytes: 100}); !errors.As(err, &over) || over.What != limitPath {
		t.Errorf("endless path: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestRead_ErrorsOfOthers(t *testing.T) {
	two := member("a", "1") + fileSeparator + member("b", "2")
	mine := errors.New("mine")
	count := 0
	err := Read(t.Context(), strings.NewReader(two), Limits{}, func(string, io.Reader) error { count++; return mine })
	if !errors.Is(err, mine) || count != 1 {
		t.Errorf("error of each: %v after %d members", err, count)
	}
	for n := range len(two) {
		r := io.MultiReader(strings.NewReader(two[:n]), iotest.ErrReader(mine))
		if _, err := readAll(r, Limits{}); !errors.Is(err, mine) || errors.Is(err, ErrMalformed) {
			t.Errorf("reading fails after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Read(ctx, strings.NewReader(two), Limits{}, func(_ string, content io.Reader) error {
		cancel()
		_, err := io.ReadAll(content)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("content after cancelling: %v", err)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRead_ContentIsNotKept(t *testing.T) {
	var kept io.Reader
	stop := errors.New("stop")
	_ = Read(t.Context(), strings.NewReader(member("a", "content")), Limits{}, func(_ string, content io.Reader) error {
		kept = content
		return stop
	})
	if b, err := io.ReadAll(kept); err == nil || len(b) > 0 {
		t.Errorf("%q, %v after its turn", b, err)
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"etc/rules/a.xml": true, "a": true, "etc/lists/ü": true, "a|b": true, "a@@//": false, "a|//@@/b": false,
		"x/a|/@@b": true, "": false, ".": false, "..": false, "/a": false, "a/": false,
	} {
		if err := CheckPath(path); (err == nil) != ok || err != nil && !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestWriter_Refuses(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, 1)
	if err := w.Add("../x", strings.NewReader("")); !errors.Is(err, ErrPath) {
		t.Errorf("%v, want ErrPath", err)
	}
	if err := w.Add("a", strings.NewReader("1")); err != nil {
		t.Error(err)
	}
	if err := w.Add("a", strings.NewReader("2")); !errors.Is(err, ErrDuplicate) {
		t.Errorf("%v, want ErrDuplicate", err)
	}
	if err := w.Close(func(io.Writer) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := w.Add("b", strings.NewReader("")); !errors.Is(err, ErrWriterClosed) {
		t.Errorf("%v, want ErrWriterClosed", err)
	}
	got, err := readAll(&b, Limits{})
	if d := cmp.Diff([]file{{"a", "1"}, {MetadataName, ""}}, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func TestWriter_ErrorsStay(t *testing.T) {
	w := NewWriter(io.Discard, 1)
	if err := w.Add("a", iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	if err := w.Close(func(io.Writer) error { return nil }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v, want the first error", err)
	}
	broken := NewWriter(brokenWriter{}, 1)
	if err := broken.Close(func(io.Writer) error { return nil }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	failing := NewWriter(io.Discard, 1)
	if err := failing.Close(func(io.Writer) error { return fmt.Errorf("no metadata: %w", io.ErrNoProgress) }); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}

func TestMemberSize(t *testing.T) {
	if got := MemberSize("etc/a", 100); got != 5+16+100 {
		t.Errorf("%d, want 121", got)
	}
}
