package node

import (
	"runtime/debug"
	"testing"
)

func TestLimitGarbage_LeavesAnOperatorsChoice(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "200")
	LimitGarbage()
	if got := debug.SetGCPercent(before); got != 100 {
		t.Errorf("%d, want what it was", got)
	}
}

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 800, 1 << 20: 800, 4 << 20: 400, 10 << 20: 150, 16 << 20: 100, 30 << 20: garbagePercent,
		32 << 20: garbagePercent, 33 << 20: garbagePercent, 1 << 40: garbagePercent,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes in use: %d percent, want %d", live, got, want)
		}
	}
}
