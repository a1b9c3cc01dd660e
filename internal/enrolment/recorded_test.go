package enrolment

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/recording"
)

// recordings reads files of the recordings of real nodes, line by line.
func recordings(t *testing.T, pattern string, line func([]byte)) {
	t.Helper()
	for _, name := range recording.Glob(t, "golden/"+pattern) {
		for l := range bytes.Lines(recording.Read(t, name)) {
			line(l)
		}
	}
}

// TestParseLine_AsRecorded reads what the real enrolment program sent, and
// writes it again.
func TestParseLine_AsRecorded(t *testing.T) {
	n := 0
	recordings(t, "enrol/*.jsonl", func(line []byte) {
		var recorded struct {
			Request string `json:"request"`
			Answer  string `json:"answer_sent_by_stand_in"`
		}
		if err := json.Unmarshal(line, &recorded); err != nil {
			t.Fatal(err)
		}
		o := LineOptions{WantPassword: strings.HasPrefix(recorded.Request, "OSSEC PASS: "), Version: "4.7.5"}
		if o.WantPassword {
			o.Password = agent.NewSecret("secret")
		}
		r, err := ParseLine([]byte(recorded.Request), peer, o)
		if err != nil {
			t.Errorf("%q: %v", recorded.Request, err)
			return
		}
		switch { // what the final address does not tell
		case strings.Contains(recorded.Request, "IP:'src'"):
			r.Address = AddressOfPeer
		case !strings.Contains(recorded.Request, "IP:"):
			r.Address = ""
		}
		if got := string(r.Line(o.Password)); got != recorded.Request {
			t.Errorf("%q is written %q", recorded.Request, got)
		}
		if _, err := ParseAccepted([]byte(recorded.Answer)); err != nil {
			t.Error(err)
		}
		n++
	})
	if n < 5 {
		t.Errorf("only %d requests", n)
	}
}

// TestMessage_AsRecorded reads what a real worker asked its master for through
// the cluster, and the answer, and writes both again.
func TestMessage_AsRecorded(t *testing.T) {
	asked, answered := 0, 0
	recordings(t, "local/w1-*.jsonl", func(line []byte) {
		var frame struct {
			Command string `json:"command"`
			Payload string `json:"payload_text"`
		}
		if err := json.Unmarshal(line, &frame); err != nil {
			t.Fatal(err)
		}
		var envelope struct {
			Daemon  string          `json:"daemon_name"`
			Message json.RawMessage `json:"message"`
		}
		switch {
		case frame.Command == "sendsync" && json.Unmarshal([]byte(frame.Payload), &envelope) == nil && envelope.Daemon == "authd":
			m, err := ParseMessage(envelope.Message)
			if err != nil {
				t.Errorf("%s: %v", frame.Payload, err)
			}
			// A worker's enrolment daemon writes it like this; other programs do not.
			if got := string(m.Envelope()); m.Function == FunctionAdd && got != frame.Payload {
				t.Errorf("%s is written %s", frame.Payload, got)
			}
			asked++
		case frame.Command == "ok" && strings.HasPrefix(frame.Payload, `{"error":`):
			a, err := ParseAnswer([]byte(frame.Payload))
			if err != nil {
				t.Error(err)
			} else if got := string(a.JSON()); got != frame.Payload {
				t.Errorf("%s is written %s", frame.Payload, got)
			}
			answered++
		}
	})
	if asked == 0 || answered == 0 {
		t.Errorf("%d messages, %d answers", asked, answered)
	}
}
