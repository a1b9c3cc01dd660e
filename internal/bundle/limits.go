package bundle

import "fmt"

// Limits bound what a package can make its reader do (docs/wire.md §11). A
// field that is not positive has the value of DefaultLimits.
type Limits struct {
	Members     int   // in a package, metadata included
	PathBytes   int   // of one path
	MemberBytes int64 // of one member's content, not compressed
	TotalBytes  int64 // of all contents together
}

// DefaultLimits are generous, and finite.
func DefaultLimits() Limits {
	return Limits{Members: 1_000_001, PathBytes: 4096, MemberBytes: 16 << 30, TotalBytes: 16 << 30}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	return Limits{
		Members:     positive(l.Members, d.Members),
		PathBytes:   positive(l.PathBytes, d.PathBytes),
		MemberBytes: positive(l.MemberBytes, d.MemberBytes),
		TotalBytes:  positive(l.TotalBytes, d.TotalBytes),
	}
}

func positive[N int | int64](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// A LimitError says which limit a package is over.
type LimitError struct {
	What  string // "members", "bytes of a path", "bytes of a member" or "bytes in all"
	Limit int64
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("package has more than %d %s", e.Limit, e.What)
}

const (
	limitMembers = "members"
	limitPath    = "bytes of a path"
	limitMember  = "bytes of a member"
	limitTotal   = "bytes in all"
)
