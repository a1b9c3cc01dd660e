package sqlitedb

import (
	"slices"
	"sync"
	"weak"
)

const (
	// recentStatements is how many statements of a Recent one connection keeps
	// prepared.
	recentStatements = 16
	// recentBytes bounds the text and the values of one that is kept.
	recentBytes = 4 << 10
)

// Recent runs statements that users shape. Most are asked again and again, but
// nobody knows how many others there will be, so of each connection only the
// last few stay prepared. The zero value is ready. It is safe for concurrent use.
type Recent struct {
	mu sync.Mutex
	of map[weak.Pointer[Conn]][]string // texts, the one used last at the end
}

// Select is the function Select for such a statement.
func (r *Recent) Select(c *Conn, query string, each func(*Stmt) error, args ...any) error {
	if !keepable(query, args) {
		return SelectOnce(c, query, each, args...)
	}
	if old := r.used(c, query); old != "" {
		drop(c, old)
	}
	return Select(c, query, each, args...)
}

// keepable tells whether a statement with its values is small.
func keepable(query string, args []any) bool {
	size := len(query)
	for _, a := range args {
		switch v := a.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
	}
	return size <= recentBytes
}

// used takes down that a connection runs a statement, and gives the one that it
// need not keep any more, "" for none.
func (r *Recent) used(c *Conn, query string) (old string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := weak.Make(c)
	list, known := r.of[key]
	if !known {
		r.forget()
	}
	switch i := slices.Index(list, query); {
	case i >= 0:
		list = slices.Delete(list, i, i+1)
	case len(list) == recentStatements:
		old, list = list[0], slices.Delete(list, 0, 1)
	}
	r.of[key] = append(list, query)
	return old
}

// forget drops the connections that are no more.
func (r *Recent) forget() {
	if r.of == nil {
		r.of = make(map[weak.Pointer[Conn]][]string)
	}
	for key := range r.of {
		if key.Value() == nil {
			delete(r.of, key)
		}
	}
}

// drop frees a statement. One that could never be prepared is not there.
func drop(c *Conn, query string) {
	if s, err := c.Prepare(query); err == nil {
		_ = s.Finalize() //nolint:misspell // the library's spelling; the error is that of its last run
	}
}
