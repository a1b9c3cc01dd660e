package node

import (
	"runtime/debug"
	"testing"
)

func TestLimitGarbage_LeavesAnOperatorsChoice(t *testing.T) {
	for value, want := range map[string]int{"": garbagePercent, "200": 100} {
		t.Run("GOGC="+value, func(t *testing.T) {
			before := debug.SetGCPercent(100)
			defer debug.SetGCPercent(before)
			t.Setenv("GOGC", value)
			LimitGarbage()
			if got := debug.SetGCPercent(before); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		})
	}
}
