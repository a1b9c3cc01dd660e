package health

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func names(list []Condition) (names []string) {
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

func TestBoard_WorstAndOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		if b.Worst() != 0 || len(b.All()) != 0 {
			t.Error("a new board is not empty")
		}
		start := time.Now()
		b.Raise("watch", Warning, "The watch is off.", "Raise the limit.")
		if b.Worst() != Warning {
			t.Errorf("worst is %v", b.Worst())
		}
		time.Sleep(time.Minute)
		b.Raise("held-back", Critical, "Half of the files are gone.", "Bring them back.")
		b.Raise("disk", Warning, "a", "b")
		time.Sleep(time.Minute)
		b.Raise("watch", Warning, "The watch is still off.", "Raise the limit.")
		if diff := cmp.Diff([]string{"held-back", "watch", "disk"}, names(b.All())); diff != "" {
			t.Error(diff)
		}
		want := Condition{Name: "watch", Detail: "The watch is still off.", Remedy: "Raise the limit.", Severity: Warning, Since: start}
		if diff := cmp.Diff(want, b.All()[1]); diff != "" {
			t.Error(diff)
		}
		if b.Worst() != Critical {
			t.Errorf("worst is %v", b.Worst())
		}
		b.Clear("held-back")
		b.Clear("held-back")
		b.Raise("watch", Critical, "", "")
		if b.Worst() != Critical {
			t.Error("a condition that got worse is not known as worse")
		}
	})
}

func TestBoard_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		for i := range 2 * maxConditions {
			b.Raise(fmt.Sprint("warning ", i), Warning, "", "")
			time.Sleep(time.Millisecond)
		}
		if n := len(b.All()); n != maxConditions {
			t.Errorf("%d conditions, want %d", n, maxConditions)
		}
		b.Raise("critical", Critical, "", "")
		if all := b.All(); len(all) != maxConditions || all[0].Name != "critical" || all[1].Name != "warning 0" {
			t.Errorf("a critical condition found no place: %d conditions", len(all))
		}
		for i := range 2 * maxConditions {
			b.Raise(fmt.Sprint("critical ", i), Critical, "", "")
		}
		if n := len(b.All()); n != maxConditions {
			t.Errorf("%d conditions, want %d", n, maxConditions)
		}
	})
}

func TestBoard_Nil(t *testing.T) {
	var b *Board
	b.Raise("a", Critical, "", "")
	b.Clear("a")
	if b.All() != nil || b.Worst() != 0 {
		t.Error("a nil board holds something")
	}
}

func TestBoard_ManyAtOnce(t *testing.T) {
	b := New()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 100 {
				b.Raise(fmt.Sprint(w), Warning, "", "")
				b.All()
				b.Worst()
				b.Clear(fmt.Sprint(w))
			}
		})
	}
	wg.Wait()
	if len(b.All()) != 0 {
		t.Error("something is left")
	}
}

func TestCondition_JSON(t *testing.T) {
	c := Condition{Name: "a", Detail: "b", Remedy: "c", Severity: Critical, Since: time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)}
	data, err := json.Marshal(c)
	if want := `{"name":"a","detail":"b","remedy":"c","severity":"critical","since":"2026-11-22T11:00:00Z"}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v", data, err)
	}
	var back Condition
	if err := json.Unmarshal(data, &back); err != nil || back != c {
		t.Errorf("got %+v, %v", back, err)
	}
	for _, bad := range []string{`{"severity":"awful"}`, `{"severity":7}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if got := Severity(9).String(); got != "severity 9" {
		t.Errorf("got %q", got)
	}
}
