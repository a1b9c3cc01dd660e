package integrity

import "time"

// sizeLimit is the package limit of one worker (docs/integrity.md §5.4): it
// shrinks when the worker calls a transfer off and grows after quick ones.
type sizeLimit struct {
	now, min, max int64
	tolerance     float64
	patience      time.Duration // how long the worker waits for a package
}

// after adapts the limit to a transfer and tells whether it changed.
func (l *sizeLimit) after(sent int64, took time.Duration, cancelled bool) bool {
	old := l.now
	switch {
	case cancelled:
		l.now = max(l.min, int64(float64(sent)*(1-l.tolerance)))
	case l.now < l.max && took < time.Duration(float64(l.patience)*(1-l.tolerance)):
		l.now = min(l.max, int64(float64(l.now)/(1-l.tolerance)))
	}
	return l.now != old
}
