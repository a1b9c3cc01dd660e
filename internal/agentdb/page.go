package agentdb

import (
	"context"

	"testudo/internal/sqlitedb"
)

// pageLimit bounds the text of one page (docs/agentdb.md §6).
const pageLimit = 65536 - 512

// Page is the result of a query: the text of a JSON array exactly as the
// database socket sends it (docs/agentdb.md §5). More says that rows beyond the
// page limit wait, which the socket answers with "due".
type Page struct {
	JSON []byte
	More bool
}

// pager collects the rows of a page up to a limit.
type pager struct {
	buf   []byte
	size  int // as the limit counts it: brackets, and each row's length and 1
	limit int
	rows  int
	full  bool // a row did not fit
}

// newPager starts a page of at most pageLimit bytes.
func newPager() *pager { return newPagerOf(pageLimit) }

func newPagerOf(limit int) *pager { return &pager{buf: []byte{'['}, size: 2, limit: limit} }

// add appends what row appends to its argument as one element. It returns false,
// having added nothing, when the page has no room for it: the page is full then.
func (p *pager) add(row func(dst []byte) []byte) bool {
	before := len(p.buf)
	if p.rows > 0 {
		p.buf = append(p.buf, ',')
	}
	start := len(p.buf)
	p.buf = row(p.buf)
	size := p.size + len(p.buf) - start + 1
	if size >= p.limit {
		p.buf, p.full = p.buf[:before], true
		return false
	}
	p.size, p.rows = size, p.rows+1
	return true
}

// page is what has been collected.
func (p *pager) page() Page { return Page{JSON: append(p.buf, ']'), More: p.full} }

// rows runs a query and returns all its rows, as objects, that fit one page.
func (s *Store) rows(ctx context.Context, query string, args ...any) (Page, error) {
	p := newPager()
	err := s.read(ctx, func(c *sqlitedb.Conn) error { return addRows(c, p, query, args...) })
	if err != nil {
		return Page{}, err
	}
	return p.page(), nil
}

// addRows adds the rows of a query to a page until it is full.
func addRows(c *sqlitedb.Conn, p *pager, query string, args ...any) error {
	var m members
	err := sqlitedb.Select(c, query, func(st *sqlitedb.Stmt) error {
		if m == nil {
			m = membersOf(st)
		}
		if !p.add(func(dst []byte) []byte { return m.appendRow(dst, st) }) {
			return errEnough
		}
		return nil
	}, args...)
	return notEnough(err)
}

// flat is rows for queries of one column: an array of its values.
func (s *Store) flat(ctx context.Context, query string, args ...any) (Page, error) {
	p := newPager()
	err := s.read(ctx, func(c *sqlitedb.Conn) error {
		err := sqlitedb.Select(c, query, func(st *sqlitedb.Stmt) error {
			if !p.add(func(dst []byte) []byte { return appendColumn(dst, st, 0) }) {
				return errEnough
			}
			return nil
		}, args...)
		return notEnough(err)
	})
	if err != nil {
		return Page{}, err
	}
	return p.page(), nil
}
