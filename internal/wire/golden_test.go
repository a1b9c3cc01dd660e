package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/recording"
)

// recorded is one message of a recording of real nodes.
type recorded struct {
	Dir        string `json:"dir"`
	Counter    uint32 `json:"counter"`
	Length     int    `json:"length"`
	CommandRaw string `json:"command_raw"`
	Command    string `json:"command"`
	Time       int64  `json:"fernet_ts"`
	IV         string `json:"fernet_iv"`
	PayloadLen int    `json:"payload_len"`
	Text       string `json:"payload_text"`
	Head       string `json:"payload_text_head"`
	Tail       string `json:"payload_text_tail"`
	Base64     string `json:"payload_base64"`
	Bad        string `json:"decrypt_error"`

	// of divided/divided.jsonl
	SHA256       string `json:"sha256"`
	Complete     bool   `json:"complete"`
	Joined       uint32 `json:"joined_counter"`
	TokenSHA256  string `json:"token_sha256"`
	PlaintextLen int    `json:"plaintext_len"`
}

// field is the command's name as AppendFrame takes it to make the same field,
// spaces at its end included.
func (r recorded) field() string { return r.CommandRaw[:strings.LastIndexByte(r.CommandRaw, ' ')] }

func (r recorded) sealer(t *testing.T, k *Key) func(dst, clear []byte) []byte {
	t.Helper()
	var iv [16]byte
	if n, err := hex.Decode(iv[:], []byte(r.IV)); n != len(iv) || err != nil {
		t.Fatalf("start %q: %v", r.IV, err)
	}
	return func(dst, clear []byte) []byte { return k.SealAt(dst, clear, time.Unix(r.Time, 0), iv) }
}

func (r recorded) matches(payload []byte) bool {
	switch {
	case len(payload) != r.PayloadLen:
		return false
	case r.Base64 != "":
		return base64.StdEncoding.EncodeToString(payload) == r.Base64
	case r.Head != "":
		return bytes.HasPrefix(payload, []byte(r.Head)) && bytes.HasSuffix(payload, []byte(r.Tail))
	}
	return string(payload) == r.Text
}

func goldenKey(t *testing.T) *Key {
	t.Helper()
	return newKey(t, strings.TrimSpace(string(recording.Read(t, "golden/key.txt"))))
}

// Each recorded byte is decoded to the recorded message, and sealed again to
// the recorded byte.
func TestRecordings(t *testing.T) {
	k := goldenKey(t)
	for _, stream := range recording.Glob(t, "golden/cluster*/*.bin") {
		base, dir := strings.TrimSuffix(stream, ".bin"), "c2s"
		if strings.HasSuffix(base, ".s2c") {
			dir = "s2c"
		}
		base = base[:len(base)-len(".c2s")]
		t.Run(filepath.Base(base)+"/"+dir, func(t *testing.T) {
			replay(t, k, recording.Read(t, stream), dir, recording.Lines[recorded](t, base+".jsonl"))
		})
	}
}

func replay(t *testing.T, k *Key, sent []byte, dir string, records []recorded) {
	d := NewDecoder(bytes.NewReader(sent), k, DefaultLimits())
	for _, r := range records {
		if r.Dir != dir || r.CommandRaw == "" {
			continue
		}
		f, err := d.Next()
		if r.Bad != "" {
			if !errors.Is(err, ErrToken) {
				t.Errorf("%q: %v, want ErrToken (%s)", r.Command, err, r.Bad)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", r.Command, err)
		}
		if f.Counter != r.Counter || f.Command != r.Command || !r.matches(f.Payload) {
			t.Fatalf("decoded %d %q %.60q, want %d %q", f.Counter, f.Command, f.Payload, r.Counter, r.Command)
		}
		again, err := appendFrame(nil, Frame{Counter: r.Counter, Command: r.field(), Payload: f.Payload}, r.sealer(t, k), SealedSize(len(f.Payload)))
		if err != nil || !bytes.HasPrefix(sent, again) {
			t.Fatalf("%q sealed again differs: %v", r.Command, err)
		}
		sent = sent[len(again):]
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) || len(sent) > 0 {
		t.Errorf("%d bytes left, %v", len(sent), err)
	}
}

// The divided messages: 5,300,000 bytes sealed again to the recorded token and
// cut to the recorded frames.
func TestRecordings_Divided(t *testing.T) {
	k := goldenKey(t)
	records := recording.Lines[recorded](t, "golden/divided/divided.jsonl")
	joined := 0
	for _, r := range records {
		if r.Joined == 0 {
			continue
		}
		joined++
		clear := bytes.Repeat([]byte("a"), r.PlaintextLen)
		seal := r.sealer(t, k)
		if got := hexSum(seal(nil, clear)); got != r.TokenSHA256 {
			t.Fatalf("token of %d: %s, want %s", r.Joined, got, r.TokenSHA256)
		}
		var name string
		for _, piece := range records {
			if piece.Counter == r.Joined && piece.Dir == r.Dir {
				name = piece.field()
				break
			}
		}
		sent, err := appendFrame(nil, Frame{Counter: r.Joined, Command: name, Payload: clear}, seal, SealedSize(len(clear)))
		if err != nil {
			t.Fatal(err)
		}
		comparePieces(t, sent, r, records)
		f, err := NewDecoder(bytes.NewReader(sent), k, DefaultLimits()).Next()
		if err != nil || f.Counter != r.Joined || !bytes.Equal(f.Payload, clear) {
			t.Errorf("decoded %d, %d bytes, %v", f.Counter, len(f.Payload), err)
		}
	}
	if joined == 0 {
		t.Error("no divided message in the recording")
	}
}

func comparePieces(t *testing.T, sent []byte, r recorded, records []recorded) {
	t.Helper()
	for _, p := range records {
		if p.Counter != r.Joined || p.Dir != r.Dir {
			continue
		}
		if got := string(sent[nameAt:HeaderSize]); got != p.CommandRaw || int(parseHeader(sent).length) != p.Length {
			t.Fatalf("header %q of %d, want %q of %d", got, parseHeader(sent).length, p.CommandRaw, p.Length)
		}
		payload := sent[HeaderSize : HeaderSize+p.Length]
		if got := hexSum(payload); p.Complete && got != p.SHA256 {
			t.Fatalf("piece %s, want %s", got, p.SHA256)
		}
		sent = sent[HeaderSize+p.Length:]
	}
	if len(sent) != 0 {
		t.Fatalf("%d bytes more than recorded", len(sent))
	}
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
