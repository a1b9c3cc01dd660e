package keystore

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"testudo/internal/agent"
)

func TestEntry_NeverShowsItsKey(t *testing.T) {
	e := Entry{ID: "007", Name: "web-01", Address: "any", Secret: agent.NewSecret("topsecret")}
	within := struct { // no method of what is in a field without capital can be called
		entry Entry
		list  []Entry
		byID  map[string]Entry
		op    *op
		Given Entry
	}{e, []Entry{e}, map[string]Entry{"007": e}, &op{result: e, add: &Addition{Entry: e}}, e}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "entry", e, "within", within, "way", &ConflictError{ErrDuplicateID, e})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "entry", e, "within", within, "way", &ConflictError{ErrDuplicateID, e})
	data, err := json.Marshal(within.Given)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", e, e, e), fmt.Sprintf("%v %+v %#v", within, within, within), fmt.Sprint(&within), log.String(), string(data),
		fmt.Sprintf("%v %+v", newLine(e, live), []line{newLine(e, live)}),
	} {
		if strings.Contains(text, "topsecret") || strings.Contains(text, fmt.Sprintf("%x", "topsecret")) {
			t.Error(text)
		}
	}
	if text := newLine(e, live).text; text != "007 web-01 any topsecret" {
		t.Errorf("the file is to have %q", text)
	}
}
