package filestate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"testudo/internal/sqlitedb"
)

// shrink is the kind of change that can be held back: the master's tree lost
// most of its files at once.
const shrink = "shrink"

// Held says that the master holds a change back until an operator decides.
type Held struct {
	Since  time.Time
	Detail string // what would happen, in one sentence
}

// SetHeld records that a shrink is held back, for other processes to see; nil
// when none is.
func (s *Store) SetHeld(ctx context.Context, h *Held) error {
	err := s.database().Write(ctx, func(c *sqlitedb.Conn) error {
		if h == nil {
			return sqlitedb.Exec(c, `DELETE FROM held_back WHERE kind = ?1`, shrink)
		}
		return sqlitedb.Exec(c, `REPLACE INTO held_back VALUES(?1, ?2, ?3)`, shrink, h.Since.UnixMilli(), h.Detail)
	})
	if err != nil {
		return fmt.Errorf("record what is held back in %s: %w", s.path, err)
	}
	return nil
}

// HeldBack returns what the node that owns the database at path holds back, nil
// when nothing.
func HeldBack(ctx context.Context, path string) (*Held, error) {
	var h *Held
	err := withDatabase(ctx, path, func(db *sqlitedb.DB) error {
		return db.Read(ctx, func(c *sqlitedb.Conn) error {
			const query = `SELECT since, detail FROM held_back WHERE kind = ?1`
			return sqlitedb.Select(c, query, func(s *sqlitedb.Stmt) error {
				h = &Held{Since: columnTime(s, 0), Detail: s.ColumnText(1)}
				return nil
			}, shrink)
		})
	})
	return h, err
}

// AcceptShrink lets the next shrink before until pass, in the database at path of
// a node that may be running. The database must be there.
func AcceptShrink(ctx context.Context, path string, until time.Time) (err error) {
	o := options(path)
	o.Readers, o.Existing = 1, true
	db, err := sqlitedb.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Write(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Exec(c, `REPLACE INTO decision VALUES(?1, ?2, ?3)`, shrink, time.Now().UnixMilli(), until.UnixMilli())
	})
	if err != nil {
		return fmt.Errorf("accept a shrink in %s: %w", path, err)
	}
	return nil
}

// TakeShrinkDecision reports whether an operator has let a shrink pass, and uses
// the decision up. It is cheap enough for each scan. A decision whose time is
// over is dropped.
func (s *Store) TakeShrinkDecision(ctx context.Context) (bool, error) {
	db := s.database()
	there, goodFor := false, time.Time{}
	look := func(c *sqlitedb.Conn) error {
		there = false
		return sqlitedb.Select(c, `SELECT good_for FROM decision WHERE kind = ?1`, func(st *sqlitedb.Stmt) error {
			there, goodFor = true, columnTime(st, 0)
			return nil
		}, shrink)
	}
	err := db.Read(ctx, look)
	if err == nil && there {
		err = db.Write(ctx, func(c *sqlitedb.Conn) error {
			if err := look(c); err != nil || !there {
				return err
			}
			return sqlitedb.Exec(c, `DELETE FROM decision WHERE kind = ?1`, shrink)
		})
	}
	if err != nil {
		return false, fmt.Errorf("look for a decision in %s: %w", s.path, err)
	}
	return there && time.Now().Before(goodFor), nil
}
