// Package query filters, searches, orders and pages lists as users of the API
// ask for it (docs/functions.md §2): Table over rows of the agent database,
// Items over items in memory. Both speak the language of `q`, each with what the
// original does differently there.
//
// What a user sends reaches the database as a bound value, never as text of a
// statement.
package query

import (
	"encoding/json"
	"strconv"

	"testudo/internal/fault"
)

// maxLimit is the highest limit that may be asked for.
const maxLimit = 100000

// Args are the arguments that lists take, for embedding into the arguments of a
// function. The original has two families of names for sorting and searching;
// either is taken.
type Args struct {
	Offset   *json.Number `json:"offset"`
	Limit    *json.Number `json:"limit"`
	Sort     *Sort        `json:"sort"`
	Search   *Search      `json:"search"`
	Select   []string     `json:"select"`
	Distinct bool         `json:"distinct"`
	Q        string       `json:"q"`

	SortBy        []string `json:"sort_by"`
	SortAscending *bool    `json:"sort_ascending"`
	SearchText    string   `json:"search_text"`
	Complementary bool     `json:"complementary_search"`
	SearchIn      []string `json:"search_in_fields"`
}

// Sort says by which fields a list is ordered.
type Sort struct {
	Fields []string `json:"fields"`
	Order  string   `json:"order"` // "asc" or "desc"
}

// Search is a text that one of the values contains or, negated, none.
type Search struct {
	Value   string   `json:"value"`
	Negated bool     `json:"negation"`
	In      []string `json:"-"` // only in these fields of an item; nil: in all
}

// Request says what of a list is wanted.
type Request struct {
	Offset   int
	Limit    int // 0: no limit
	Sort     *Sort
	Search   *Search
	Select   []string
	Distinct bool
	Q        string
}

// Request checks the arguments; limit is the one that holds where none is given,
// 0 for none. Errors: fault.BadOffset, BadLimit, LimitTooHigh, LimitZero,
// BadSortOrder; DatabaseRefused for an offset beyond all numbers.
func (a *Args) Request(limit int) (Request, error) {
	r := Request{Limit: limit, Sort: a.Sort, Search: a.Search, Select: a.Select, Distinct: a.Distinct, Q: a.Q}
	if len(r.Select) == 0 {
		r.Select = nil
	}
	if err := r.page(a); err != nil {
		return Request{}, err
	}
	if a.SortBy != nil || a.SortAscending != nil && r.Sort == nil {
		r.Sort = &Sort{Fields: a.SortBy, Order: "asc"}
		if a.SortAscending != nil && !*a.SortAscending {
			r.Sort.Order = "desc"
		}
	}
	if r.Sort != nil && r.Sort.Order != "asc" && r.Sort.Order != "desc" {
		return Request{}, fault.New(fault.BadSortOrder, r.Sort.Order)
	}
	if a.SearchText != "" {
		r.Search = &Search{Value: a.SearchText, Negated: a.Complementary, In: a.SearchIn}
	}
	if r.Search != nil && r.Search.Value == "" {
		r.Search = nil
	}
	return r, nil
}

func (r *Request) page(a *Args) error {
	if a.Offset != nil {
		n, err := strconv.ParseInt(a.Offset.String(), 10, 64)
		switch {
		case outOfRange(err):
			return fault.New(fault.DatabaseRefused, "offset "+clip(a.Offset.String()))
		case err != nil || n < 0:
			return fault.New(fault.BadOffset, nil)
		}
		r.Offset = int(n)
	}
	if a.Limit == nil {
		return nil
	}
	n, err := strconv.ParseInt(a.Limit.String(), 10, 64)
	switch {
	case err != nil && !outOfRange(err) || n < 0:
		return fault.New(fault.BadLimit, nil)
	case n == 0:
		return fault.New(fault.LimitZero, nil)
	case n > maxLimit:
		return fault.New(fault.LimitTooHigh, clip(a.Limit.String()))
	}
	r.Limit = int(n)
	return nil
}

// descending tells the direction.
func (s *Sort) descending() bool { return s != nil && s.Order == "desc" }

// clip cuts what a user sent to a length that fits an error.
func clip(text string) string {
	const longest = 200
	if len(text) > longest {
		return text[:longest]
	}
	return text
}
