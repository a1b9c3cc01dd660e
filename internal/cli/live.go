package cli

import (
	"time"

	"testudo/internal/screen"
)

// live takes a picture each turn and shows it, until there were as many as times
// says (0 never ends) or a signal ends it, which is no failure.
func live[P any](e *env, every time.Duration, times int, look func() P, show func(*screen.Screen, P) error) error {
	out := screen.New(e.out)
	turn := time.NewTicker(every)
	defer turn.Stop()
	for n := 1; ; n++ {
		p := look()
		if e.ctx.Err() != nil {
			break
		}
		if err := show(out, p); err != nil {
			return err
		}
		if n == times {
			break
		}
		select {
		case <-turn.C:
			continue
		case <-e.ctx.Done():
		}
		break
	}
	out.Leave()
	if e.signal() != 0 {
		return nil // Ctrl-C is how it ends
	}
	return e.ctx.Err()
}
