package sqlitedb

import (
	"fmt"
	"path/filepath"
	"testing"
)

func benchDB(b *testing.B, sync Synchronous) *DB {
	b.Helper()
	db, err := Open(b.Context(), Options{
		Path: filepath.Join(b.TempDir(), "pets.db"), Migrations: testSchema, AppID: testAppID, Synchronous: sync,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// BenchmarkWrite_OneRow is what a commit costs.
func BenchmarkWrite_OneRow(b *testing.B) {
	for name, sync := range map[string]Synchronous{"normal": SyncNormal, "full": SyncFull} {
		b.Run(name, func(b *testing.B) {
			db := benchDB(b, sync)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				err := db.Write(b.Context(), func(c *Conn) error {
					return Exec(c, `INSERT INTO pet VALUES(?1, 4)`, fmt.Sprint(i))
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead_OneRow is what a snapshot costs.
func BenchmarkRead_OneRow(b *testing.B) {
	db := benchDB(b, SyncNormal)
	b.ReportAllocs()
	for b.Loop() {
		err := db.Read(b.Context(), func(c *Conn) error {
			return Select(c, `SELECT count(*) FROM pet`, func(*Stmt) error { return nil })
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
