package enrolment

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

func sprint(v any) string { return fmt.Sprintf("%v %+v %#v", v, v, v) }

// TestAnswer_JSON has every number of docs/enrolment.md §9.
func TestAnswer_JSON(t *testing.T) {
	texts := map[int]string{
		9001: "Internal error", 9002: "Parsing JSON input", 9003: "No such function", 9004: "No such argument", 9005: "No such name",
		9006: "No such IP", 9007: "Duplicate IP", 9008: "Duplicate name", 9009: "Issue generating key", 9010: "No such agent ID",
		9011: "Agent ID not found", 9012: "Duplicate ID", 9013: "Maximum number of agents reached", 9014: "Invalid Group(s) Name(s)",
		9015: "Cannot execute this request on a worker node",
	}
	for code, text := range texts {
		a := Answer{Refusal: Refused(code)}
		if got, want := string(a.JSON()), fmt.Sprintf(`{"error":%d,"message":"%s"}`, code, text); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		again, err := ParseAnswer(a.JSON())
		if d := cmp.Diff(a, again, showSecrets); d != "" || err != nil {
			t.Error(err, d)
		}
	}
	if len(codeTexts) != len(texts) {
		t.Errorf("%d numbers, want %d", len(codeTexts), len(texts))
	}
	for want, a := range map[string]Answer{
		`{"error":0,"data":"Agent deleted successfully."}`:                              {Text: TextRemoved},
		`{"error":0,"data":{"id":"007","name":"web-01","ip":"10.0.0.0/8","key":"k3y"}}`: {ID: "007", Name: "web-01", IP: "10.0.0.0/8", Key: agent.NewSecret("k3y")},
	} {
		if got := string(a.JSON()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		again, err := ParseAnswer(a.JSON())
		if d := cmp.Diff(a, again, showSecrets); d != "" || err != nil {
			t.Error(err, d)
		}
	}
	if got := string(Answer{Refusal: DuplicateName("a")}.JSON()); got != `{"error":9001,"message":"Duplicate agent name: a"}` {
		t.Error(got)
	}
}

// TestParseAdded has what a worker makes of its master's answer.
func TestParseAdded(t *testing.T) {
	const wrong = "Invalid message format"
	for text, want := range map[string]string{
		`{"error":0,"data":{"id":"007","name":"a","ip":"any","key":"k3y"}}`: "",
		`{"error":0,"data":{"id":"007","key":"k3y"}}`:                       "",
		`{"error":"no number","data":{"id":"007","key":"k3y"}}`:             "",
		`{"error":-1,"data":{"id":"007","key":"k3y"}} more`:                 "",
		`{"error":9008,"message":"Duplicate name"}`:                         "Duplicate name",
		`{"error":9008}`: "(undefined)",
		`{"error":1,"message":"of another version","data":{}}`: "of another version",
		``:                                  wrong,
		`err`:                               wrong,
		`{}`:                                wrong,
		`{"data":{"id":"007","key":"k3y"}}`: wrong,
		`{"error":0}`:                       wrong,
		`{"error":0,"data":{"key":"k3y"}}`:  wrong,
		`{"error":0,"data":{"id":"007"}}`:   wrong,
		`{"error":0,"data":"Agent deleted successfully."}`:  wrong,
		`{"error":0,"data":{"id":"007 x","key":"k3y"}}`:     wrong,
		`{"error":0,"data":{"id":"123456789","key":"k3y"}}`: wrong,
		`{"error":0,"data":{"id":"007","key":"k3y\n008"}}`:  wrong,
		`{"error":0,"data":{"id":7,"key":"k3y"}}`:           wrong,
	} {
		a, err := ParseAdded([]byte(text))
		if got := textOf(t, err); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if err == nil && (a.ID != "007" || a.Key.Reveal() != "k3y") {
			t.Errorf("%s: %+v", text, a)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, text := range []string{
		`{"error":0,"data":{"id":"007","name":"web-01","ip":"any","key":"k3y"}}`,
		`{"error":9008,"message":"Duplicate name"} more`,
		`{"error":0,"data":"Agent deleted successfully."}`,
		`{"error":1e99,"message":null}`,
		`{"error":1,"message":""}`,
		`{"ERROR":0,"data":{"id":"1","key":"k","key":[]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAnswer(data)
		if err != nil {
			if !errors.Is(err, ErrAnswer) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseAnswer(a.JSON())
		if d := cmp.Diff(a, again, showSecrets); d != "" || err != nil {
			t.Fatal(err, d)
		}
	})
}
