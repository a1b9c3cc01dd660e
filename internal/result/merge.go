package result

import (
	"maps"
	"math"
	"slices"

	"testudo/internal/fault"
)

// Merge makes one outcome of those of two nodes (docs/dapi.md §3). Neither is
// changed. Answers of several nodes are folded from left to right; where the
// rules prefer one side it is a.
func Merge(a, b Outcome) Outcome {
	switch {
	case a.Err != nil && b.Err != nil:
		return Outcome{Err: mergeErrors(a.Err, b.Err)}
	case a.Err != nil:
		return mergeFailure(b.Result, a.Err)
	case b.Err != nil:
		return mergeFailure(a.Result, b.Err)
	}
	var merged Result
	var err error
	switch ra := a.Result.(type) {
	case *Affected:
		rb, same := b.Result.(*Affected)
		if !same {
			return unlike(a.Result, b.Result)
		}
		merged, err = mergeAffected(ra, rb)
	case *Plain:
		rb, same := b.Result.(*Plain)
		if !same {
			return unlike(a.Result, b.Result)
		}
		merged, err = mergePlain(ra, rb)
	default:
		return unlike(a.Result, b.Result)
	}
	if err != nil {
		return Outcome{Err: fault.Wrap(fault.Unspecified, nil, err)}
	}
	return Outcome{Result: merged}
}

func unlike(a, b Result) Outcome {
	return Outcome{Err: undecodable("%T and %T cannot be merged", a, b)}
}

// mergeErrors keeps a and unites what both say of nodes and ids.
func mergeErrors(a, b *fault.Error) *fault.Error {
	merged := *a
	if len(b.NodeErrors) > 0 {
		merged.NodeErrors = make(map[string]any, len(a.NodeErrors)+len(b.NodeErrors))
		maps.Copy(merged.NodeErrors, a.NodeErrors)
		maps.Copy(merged.NodeErrors, b.NodeErrors)
	}
	merged.IDs = distinct(slices.Concat(a.IDs, b.IDs))
	return &merged
}

// mergeFailure joins a result and an error: an error about ids becomes a
// failed item, any other is the outcome.
func mergeFailure(r Result, e *fault.Error) Outcome {
	a, lists := r.(*Affected)
	if !lists || len(e.IDs) == 0 || !e.HasIDs() {
		return Outcome{Err: e}
	}
	merged := *a
	merged.Failed = newFailures(a.Failed, []Failure{{Err: e, IDs: e.IDs}}).distinct()
	return Outcome{Result: &merged}
}

func mergeAffected(a, b *Affected) (*Affected, error) {
	merged := *a
	var err error
	if merged.Items, err = newOrdering(a).merge(a.Items, b.Items); err != nil {
		return nil, err
	}
	if merged.Extra, err = (values{}).objects(a.Extra, b.Extra); err != nil {
		return nil, err
	}
	merged.Failed = newFailures(a.Failed, b.Failed).distinct()
	merged.Total = sum(a.Total, b.Total)
	return &merged, nil
}

// sum adds numbers of items, and stays at the highest number there is.
func sum(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

func mergePlain(a, b *Plain) (*Plain, error) {
	left, err := members(a.body())
	if err != nil {
		return nil, err
	}
	right, err := members(b.body())
	if err != nil {
		return nil, err
	}
	body, err := values{priority: a.StrPriority}.objects(left, right)
	if err != nil {
		return nil, err
	}
	return &Plain{StrPriority: a.StrPriority, Body: body.append(nil)}, nil
}
