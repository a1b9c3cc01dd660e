package result

import (
	"slices"

	"testudo/internal/fault"
)

// Failure is an error and the ids that failed with it. They have no order, and
// one that stands twice counts once.
type Failure struct {
	Err *fault.Error
	IDs []ID
}

// Fail adds ids that failed with err. Equal errors (fault.Error.Identity)
// share one entry.
func (a *Affected) Fail(err *fault.Error, ids ...ID) {
	i := slices.IndexFunc(a.Failed, func(f Failure) bool { return f.Err == err })
	if i < 0 {
		i = slices.IndexFunc(a.Failed, func(f Failure) bool {
			return f.Err.Code == err.Code && f.Err.Identity() == err.Identity()
		})
	}
	if i < 0 {
		i = len(a.Failed)
		a.Failed = append(a.Failed, Failure{Err: err})
	}
	a.Failed[i].IDs = append(a.Failed[i].IDs, ids...)
}

// TotalFailed counts the ids that failed.
func (a *Affected) TotalFailed() int {
	n := 0
	for _, f := range a.Failed {
		n += len(distinct(f.IDs))
	}
	return n
}

// failures unites lists of failures. It costs little however many errors and
// ids there are, and changes none of the lists.
type failures struct {
	list   []Failure
	places map[string]int
}

func newFailures(lists ...[]Failure) *failures {
	u := &failures{places: map[string]int{}}
	for _, list := range lists {
		for _, f := range list {
			u.add(f)
		}
	}
	return u
}

func (u *failures) add(f Failure) {
	key := f.Err.Identity()
	i, there := u.places[key]
	if !there {
		i = len(u.list)
		u.places[key] = i
		u.list = append(u.list, Failure{Err: f.Err})
	}
	u.list[i].IDs = append(u.list[i].IDs, f.IDs...)
}

// distinct gives the united list, each id once in its entry; nil for none.
func (u *failures) distinct() []Failure {
	for i := range u.list {
		u.list[i].IDs = distinct(u.list[i].IDs)
	}
	return u.list
}

// distinct gives each id once, in the order of the first time; nil for none.
func distinct(ids []ID) []ID {
	set := make(map[ID]struct{}, len(ids))
	var once []ID
	for _, id := range ids {
		if _, there := set[id]; !there {
			set[id] = struct{}{}
			once = append(once, id)
		}
	}
	return once
}
