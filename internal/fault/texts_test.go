package fault

import (
	"encoding/json"
	"strings"
	"testing"

	"testudo/internal/recording"
)

// TestMessage_AsRecorded compares the text of each error with what real nodes
// said beside it: in `dapi_errors` of a whole error, in the form for users of
// a failed item.
func TestMessage_AsRecorded(t *testing.T) {
	type exchange struct {
		Reply    any `json:"reply"`
		Rendered any `json:"rendered"`
	}
	spoken := map[Code]bool{}
	for _, name := range recording.Glob(t, "golden/dapi/*.jsonl") {
		for _, x := range recording.Lines[exchange](t, name) {
			for _, e := range errorsIn(x.Reply) {
				for _, said := range said(e, x.Rendered) {
					spoken[e.Code] = true
					if e.Message() != said {
						t.Errorf("%d: %q, recorded %q", e.Code, e.Message(), said)
					}
				}
				if e.Code.Class() != e.Class && !otherwise[e.Code] {
					t.Errorf("%d: class %s, recorded %s", e.Code, e.Code.Class(), e.Class)
				}
			}
		}
	}
	if len(spoken) < 25 {
		t.Errorf("the texts of only %d numbers are on record", len(spoken))
	}
}

// otherwise are the numbers that come in several classes: what raises them
// decides. 3022 and 4000 change theirs when a node's absence becomes an item.
var otherwise = map[Code]bool{SocketRefused: true, DatabaseRead: true, UnknownNode: true, PermissionDenied: true}

// errorsIn finds all errors inside v, bare or not.
func errorsIn(v any) (found []*Error) {
	switch v := v.(type) {
	case map[string]any:
		if _, isError := v["__class__"]; isError {
			text, _ := json.Marshal(v)
			if e, ok := ParseBare(text, maxIDs); ok {
				return []*Error{e}
			}
		}
		for _, inner := range v {
			found = append(found, errorsIn(inner)...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, errorsIn(inner)...)
		}
	}
	return found
}

// said gives the texts of the error on record, without those for any cause
// and those that may belong to another error.
func said(e *Error, rendered any) (texts []string) {
	for _, entry := range e.NodeErrors {
		if len(e.NodeErrors) > 1 {
			break // merged: the texts may be those of other errors
		}
		text, _ := entry.(map[string]any)["error"].(string)
		if !strings.HasSuffix(text, "See log for more detail") {
			texts = append(texts, text)
		}
	}
	answer, _ := rendered.(map[string]any)
	data, _ := answer["data"].(map[string]any)
	items, _ := data["failed_items"].([]any)
	var ofCode []string
	for _, item := range items {
		said, _ := item.(map[string]any)["error"].(map[string]any)
		if code, _ := said["code"].(float64); Code(code) == e.Code {
			ofCode = append(ofCode, said["message"].(string))
		}
	}
	if len(ofCode) == 1 {
		texts = append(texts, ofCode[0])
	}
	return texts
}
