package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	notes []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, s)
}

// task runs until it is stopped, then takes its time.
func (d *diary) task(name string, stopping time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(stopping)
		d.note("stop " + name)
		return err
	}
}

var errDisk = errors.New("disk full")

func TestGroup_StopsInReverseAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := New(nil)
		g.Add("a", d.task("a", 0, nil))
		g.Add("b", d.task("b", 3*time.Second, context.Canceled))
		g.Add("c", d.task("c", time.Second, nil))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		start := time.Now()
		if err := g.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		if want := []string{"stop c", "stop b", "stop a"}; !slices.Equal(d.notes, want) {
			t.Errorf("got %q, want %q", d.notes, want)
		}
		if took := time.Since(start); took != 64*time.Second {
			t.Errorf("took %v: tasks did not stop one after the other", took)
		}
		if err := g.Run(t.Context()); !errors.Is(err, ErrUsed) {
			t.Errorf("second run: %v", err)
		}
	})
}

func TestGroup_OneFailureStopsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		g := New(slog.New(slog.NewTextHandler(&out, nil)))
		g.Add("a", d.task("a", 0, nil))
		g.Add("store", func(context.Context) error {
			time.Sleep(time.Second)
			return errDisk
		})
		g.Add("c", d.task("c", 0, errors.New("socket lost")))
		err := g.Run(t.Context())
		if want := "store: disk full\nc: socket lost"; err == nil || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		failed, ok := errors.AsType[*TaskError](err)
		if !ok || failed.Name != "store" || !errors.Is(err, errDisk) {
			t.Errorf("the cause is not to be found in %v", err)
		}
		if want := []string{"stop c", "stop a"}; !slices.Equal(d.notes, want) {
			t.Errorf("got %q, want %q", d.notes, want)
		}
		if !strings.Contains(out.String(), "name=store") {
			t.Errorf("the log does not name the task: %s", out.String())
		}
	})
}

func TestGroup_EarlyEnds(t *testing.T) {
	ends := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	tests := []struct {
		name    string
		run     func(context.Context) error
		options []Option
		want    error
	}{
		{"nil is an error", ends(nil), nil, ErrEnded},
		{"nil of an optional task is none", ends(nil), []Option{OptionalEnd}, nil},
		{"an error of an optional task is one", ends(errDisk), []Option{OptionalEnd}, errDisk},
		{"the end of another context is an error", ends(context.Canceled), nil, context.Canceled},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				g := New(nil)
				g.Add("a", d.task("a", 0, nil))
				g.Add("early", tc.run, tc.options...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := g.Run(ctx); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if stoppedByTime := ctx.Err() != nil; stoppedByTime != (tc.want == nil) {
					t.Errorf("group ended by time: %v", stoppedByTime)
				}
				if !slices.Equal(d.notes, []string{"stop a"}) {
					t.Errorf("got %q", d.notes)
				}
			})
		})
	}
}

func TestGroup_AllOptionalTasksEnded(t *testing.T) {
	g := New(nil)
	g.Add("a", func(context.Context) error { return nil }, OptionalEnd)
	if err := g.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := New(nil).Run(t.Context()); err != nil {
		t.Errorf("empty group: %v", err)
	}
}

func TestGroup_ContextHasEndedBefore(t *testing.T) {
	g := New(nil)
	g.Add("a", func(context.Context) error { t.Error("was run"); return nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestGroup_NamesTheTaskThatWillNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		g := New(slog.New(slog.NewTextHandler(&out, nil)))
		g.Add("slow", d.task("slow", 12*time.Second, nil))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := strings.Count(out.String(), "name=slow"); n != 2 {
			t.Errorf("named %d times, want 2: %s", n, out.String())
		}
	})
}

type key struct{}

func TestGroup_TasksSeeTheValuesOfTheContext(t *testing.T) {
	g := New(nil)
	g.Add("a", func(ctx context.Context) error {
		if ctx.Value(key{}) != "v" {
			t.Error("value is lost")
		}
		return nil
	}, OptionalEnd)
	if err := g.Run(context.WithValue(t.Context(), key{}, "v")); err != nil {
		t.Error(err)
	}
}
