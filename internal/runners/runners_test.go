package runners

import (
	"context"
	"testing"
	"testing/synctest"
)

// Any number of functions runs at once; afterwards few goroutines wait for more,
// and none when the end has come.
func TestRunners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		const most = 16
		r := New(ctx, most)
		for range 3 {
			const functions = 5 * most
			ran := make(chan struct{}, functions)
			may := make(chan struct{})
			for range functions {
				r.Go(func() {
					<-may
					ran <- struct{}{}
				})
			}
			synctest.Wait()
			if len(ran) > 0 {
				t.Fatal("a function did not wait")
			}
			close(may)
			synctest.Wait()
			if idle := r.idle.Load(); len(ran) != functions || idle < 1 || idle > most {
				t.Fatalf("%d functions ran, %d goroutines wait", len(ran), idle)
			}
		}
		end()
		r.Wait()
		after := make(chan struct{})
		r.Go(func() { close(after) })
		<-after
		r.Wait()
	})
}
