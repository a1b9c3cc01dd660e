package integrity

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// restlessTree changes every few milliseconds, for a while.
type restlessTree struct {
	Tree
	every, span time.Duration
}

func (r restlessTree) Watch(ctx context.Context, changed chan<- struct{}) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for end := time.Now().Add(r.span); time.Now().Before(end); {
		select {
		case <-tick.C:
			poke(changed)
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// A tree is read when it has been left alone, and, when it never is, all the same.
func TestFollow(t *testing.T) {
	tests := []struct {
		name        string
		every, span time.Duration
		least, most int
	}{
		{"files copied at once", time.Millisecond, 200 * time.Millisecond, 1, 1},
		{"changes with rests", time.Second, 10 * time.Second, 9, 10},
		{"never at rest", 10 * time.Millisecond, 20 * time.Second, 9, 11},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				wake, ended := make(chan struct{}, 1), make(chan error, 1)
				go func() { ended <- follow(ctx, restlessTree{every: test.every, span: test.span}, new(rest), wake) }()
				told := 0
				for end := time.After(30 * time.Second); ; told++ {
					select {
					case <-wake:
						continue
					case <-end:
					}
					break
				}
				if told < test.least || told > test.most {
					t.Errorf("told %d times, want %d to %d", told, test.least, test.most)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
