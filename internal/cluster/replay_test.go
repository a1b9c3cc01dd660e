package cluster

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"testudo/internal/fault"
	"testudo/internal/peertest"
	"testudo/internal/recording"
	"testudo/internal/wire"
)

// recorded is one frame of a recording.
type recorded struct {
	wire.Frame
	towardsMaster bool
	raw           []byte // as it travelled
	bad           bool   // its payload could not be opened
}

// recordings lists the connections of a folder; the test is skipped by name
// where they are absent.
func recordings(t *testing.T, folder string) []string {
	t.Helper()
	list := recording.Glob(t, "golden/"+folder+"/*.c2s.bin")
	for i := range list {
		list[i] = strings.TrimSuffix(list[i], ".c2s.bin")
	}
	return list
}

func goldenKey(t *testing.T) *wire.Key {
	t.Helper()
	return peertest.NewKey(t, strings.TrimSpace(string(recording.Read(t, "golden/key.txt"))))
}

// readRecording reads the frames of one connection in the order they were
// seen.
func readRecording(t *testing.T, base string) (frames []recorded) {
	t.Helper()
	key := goldenKey(t)
	streams := make(map[string][]byte)
	decoders := make(map[string]*wire.Decoder)
	for _, dir := range []string{"c2s", "s2c"} {
		b := recording.Read(t, base+"."+dir+".bin")
		streams[dir], decoders[dir] = b, wire.NewDecoder(bytes.NewReader(b), key, wire.DefaultLimits())
	}
	type entry struct {
		Dir     string `json:"dir"`
		Offset  int    `json:"offset"`
		Length  int    `json:"length"`
		Command string `json:"command"`
		Bad     string `json:"decrypt_error"`
	}
	for _, line := range recording.Lines[entry](t, base+".jsonl") {
		if line.Command == "" {
			continue // the end of a direction
		}
		r := recorded{towardsMaster: line.Dir == "c2s", bad: line.Bad != ""}
		r.raw = streams[line.Dir][line.Offset : line.Offset+wire.HeaderSize+line.Length]
		var err error
		if r.Frame, err = decoders[line.Dir].Next(); err != nil && !r.bad {
			t.Fatalf("%s: %v", base, err)
		}
		frames = append(frames, r)
	}
	return frames
}

// replay plays one side of a recording to a node of ours and compares the
// node's answers with the recorded ones.
type replay struct {
	t          *testing.T
	guest      *peertest.Peer
	frames     []recorded
	fromWorker bool              // which side is played
	learned    map[string]string // task and string ids of the recording, and ours
	seen       map[string]int    // requests played, by command
}

func newReplay(t *testing.T, g *peertest.Peer, base string, fromWorker bool) *replay {
	g.Speak(goldenKey(t))
	return &replay{t: t, guest: g, frames: readRecording(t, base), fromWorker: fromWorker, learned: map[string]string{}, seen: map[string]int{}}
}

// requests gives the played side's requests with their recorded answers, which
// are missing where the recording ended before.
func (r *replay) requests() (list [][2]*recorded) {
	for i := range r.frames {
		f := &r.frames[i]
		if f.towardsMaster != r.fromWorker || peertest.IsReply(f.Command) {
			continue
		}
		var answer *recorded
		for j := i + 1; j < len(r.frames) && answer == nil; j++ {
			if a := &r.frames[j]; a.towardsMaster != f.towardsMaster && a.Counter == f.Counter && peertest.IsReply(a.Command) {
				answer = a
			}
		}
		list = append(list, [2]*recorded{f, answer})
	}
	return list
}

// play sends a recorded request: byte for byte when it names nothing that the
// recorded peer chose, else sealed anew with our own ids.
func (r *replay) play(f *recorded) (answer wire.Frame) {
	r.t.Helper()
	id, _, _ := strings.Cut(string(f.Payload), " ")
	raw := f.raw
	if ours, ok := r.learned[id]; ok {
		raw = r.guest.Frame(f.Counter, f.Command, ours+string(f.Payload[len(id):]))
	}
	if _, err := r.guest.Conn.Write(raw); err != nil {
		r.t.Fatalf("play %s: %v", f.Command, err)
	}
	r.seen[f.Command]++
	defer synctest.Wait() // the recorded sides were seconds apart, too
	for {
		a := r.guest.Next()
		if a.Counter == f.Counter && peertest.IsReply(a.Command) {
			return a
		}
		r.guest.Held = append(r.guest.Held, a)
	}
}

var (
	uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	sidText  = regexp.MustCompile(`^[0-9]{1,10}$`)
)

// same compares our answer to a request with the recorded one, where both are
// to be the same; ids are learned.
func (r *replay) same(request, want *recorded, got wire.Frame) {
	r.t.Helper()
	text := string(got.Payload)
	switch request.Command {
	case "syn_i_w_m", "syn_m_c":
		if got.Command != "ok" || !uuidText.MatchString(text) {
			r.t.Errorf("%s was answered %s %q, want a UUID", request.Command, got.Command, text)
		}
		r.learned[string(want.Payload)] = text
		return
	case "new_str":
		if got.Command != "ok" || !sidText.MatchString(text) {
			r.t.Errorf("new_str was answered %s %q, want a number", got.Command, text)
		}
		r.learned[string(want.Payload)] = text
		return
	}
	wantText := string(want.Payload)
	if ours, ok := r.learned[wantText]; ok {
		wantText = ours
	}
	if got.Command != want.Command || !sameText(got.Command, text, wantText) {
		r.t.Errorf("%s %.80q was answered %s %.200q, recorded %s %.200q", request.Command, request.Payload, got.Command, text, want.Command, wantText)
	}
}

// sameText compares the payloads of two answers. Of code 1000 the reason's
// wording depends on the interpreter.
func sameText(name, got, want string) bool {
	if got == want {
		return true
	}
	if name != "err" {
		return false
	}
	a, b := fault.Parse([]byte(got)), fault.Parse([]byte(want))
	return a.Code == fault.Unspecified && b.Code == a.Code && a.Class == b.Class
}

// refusedOnly wants an answer of ours that says the command is unknown, for
// commands of the recording that belong to parts this node has not.
func (r *replay) refusedOnly(request *recorded, got wire.Frame) {
	r.t.Helper()
	if want := "unknown command 'b'" + request.Command + "''"; got.Command != "err" || string(got.Payload) != want {
		r.t.Errorf("%s was answered %s %.200q, want err %q", request.Command, got.Command, got.Payload, want)
	}
}

// outside says whether a file command of the recording names a path that only
// the original takes.
func outside(request *recorded, worker string) bool {
	switch request.Command {
	case "new_file", "file_upd", "file_end":
		return !bytes.HasPrefix(request.Payload, []byte("/queue/cluster/"+worker+"/"))
	}
	return false
}

// wantEnd wants the connection to be closed, after whatever was on its way.
func (r *replay) wantEnd() {
	r.t.Helper()
	for {
		_, err := r.guest.Dec.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.t.Error("the connection stays open")
		}
		if err != nil {
			return
		}
	}
}
