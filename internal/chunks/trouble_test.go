package chunks

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var troubles Troubles
		if _, ok := troubles.Now(); ok {
			t.Error("trouble without a string")
		}
		began := time.Now()
		troubles.Note(Result{}, errors.New("disk full"), 2)
		time.Sleep(time.Second)
		troubles.Note(Result{Chunks: 1, Errors: []string{"bad row", "another"}}, nil, 2)
		got, ok := troubles.Now()
		if want := (Trouble{began, began.Add(time.Second), 2, "bad row"}); got != want || !ok {
			t.Errorf("%+v, want %+v", got, want)
		}
		troubles.Note(Result{Chunks: 1}, nil, 2)
		if got, _ := troubles.Now(); got.Failures != 3 || got.Text != "not all of it was stored" {
			t.Errorf("%+v", got)
		}
		troubles.Note(Result{Chunks: 2}, nil, 2)
		if got, ok := troubles.Now(); ok {
			t.Errorf("%+v after all was stored", got)
		}
	})
}
