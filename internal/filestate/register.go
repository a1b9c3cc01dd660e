package filestate

import (
	"context"
	"time"

	"testudo/internal/sqlitedb"
)

// register is what the writing goroutine knows of each node in the database.
type register map[string]*known

type known struct {
	state   NodeState // as stored
	touched time.Time // when it was last written
	picture summary   // of the rows, when merged
	merged  bool      // the rows in the database are exactly picture
}

// readRegister loads what an earlier process left. Its connections are gone.
func readRegister(ctx context.Context, db *sqlitedb.DB) (register, error) {
	r := make(register)
	err := db.Write(ctx, func(c *sqlitedb.Conn) error {
		if err := sqlitedb.Exec(c, `UPDATE node_state SET connected = 0 WHERE connected <> 0`); err != nil {
			return err
		}
		return readNodes(c, func(n NodeState, touched time.Time) {
			r[n.Node] = &known{state: n, touched: touched}
		})
	})
	return r, err
}

// oldestAbsent is the disconnected node that was written longest ago.
func (r register) oldestAbsent() (node string, ok bool) {
	var oldest time.Time
	for name, k := range r {
		if k.state.Connected {
			continue
		}
		if !ok || k.touched.Before(oldest) || k.touched.Equal(oldest) && name < node {
			node, oldest, ok = name, k.touched, true
		}
	}
	return node, ok
}
