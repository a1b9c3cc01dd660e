package agentdb

import (
	"context"
	"strconv"
	"time"

	"testudo/internal/sqlitedb"
)

// Fragmentation returns, in percent, how many neighbouring pages of the
// database's trees are apart in the file, and how many of its pages are free. It
// reads the whole file.
func (s *Store) Fragmentation(ctx context.Context) (fragmentation, free int, err error) {
	err = s.read(ctx, func(c *sqlitedb.Conn) error {
		fragmentation, free, err = measure(c)
		return err
	})
	return fragmentation, free, err
}

func measure(c *sqlitedb.Conn) (fragmentation, free int, err error) {
	pairs, together, last := 0, 0, int64(-1)
	err = sqlitedb.Select(c, "SELECT pageno FROM dbstat ORDER BY path", func(st *sqlitedb.Stmt) error {
		page := st.ColumnInt64(0)
		if last >= 0 {
			pairs++
			if page == last+1 {
				together++
			}
		}
		last = page
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if pairs > 0 {
		fragmentation = 100 - 100*together/pairs
	}
	err = sqlitedb.Select(c, "SELECT 100 * freelist_count / page_count FROM pragma_freelist_count, pragma_page_count",
		func(st *sqlitedb.Stmt) error { free = st.ColumnInt(0); return nil })
	return fragmentation, free, err
}

func vacuum(c *sqlitedb.Conn) error { return sqlitedb.Exec(c, "VACUUM") }

// Vacuum rewrites the database without its gaps, which writes wait for, and
// returns the fragmentation afterwards.
func (s *Store) Vacuum(ctx context.Context) (fragmentation int, err error) {
	err = s.between(ctx, func(ctx context.Context) error {
		db := s.db.Load()
		err := db.Alone(ctx, vacuum)
		if err != nil {
			return asQuery(err)
		}
		return asQuery(db.Write(ctx, func(c *sqlitedb.Conn) error {
			var err error
			if fragmentation, _, err = measure(c); err != nil {
				return err
			}
			const put = "INSERT INTO metadata (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
			if err := sqlitedb.Exec(c, put, "last_vacuum_time", strconv.FormatInt(time.Now().Unix(), 10)); err != nil {
				return err
			}
			return sqlitedb.Exec(c, put, "last_vacuum_value", strconv.Itoa(fragmentation))
		}))
	})
	return fragmentation, err
}
