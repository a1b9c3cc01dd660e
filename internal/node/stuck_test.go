package node

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/config"
	"testudo/internal/sqlitedb"
	"testudo/internal/wdb"
)

// Who asks for nodes and health is answered while the agent database cannot be
// written: nothing on that way waits for it.
func TestHealth_WhileTheDatabaseIsStuck(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	c := homeOf(t, "m", config.Master, port)
	run(t, c)
	ask := asker(t, c)
	file := filepath.Join(c.Home, databaseFile)
	other, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: file, Setup: func(*sqlitedb.Conn) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	client := wdb.Dial(filepath.Join(c.Home, databaseSocket), wdb.ClientOptions{})
	t.Cleanup(func() { _ = errors.Join(client.Close(), other.Close()) })
	written := make(chan error, 1)
	err = other.Write(t.Context(), func(*sqlitedb.Conn) error { // until it returns, nobody else writes
		go func() {
			_, _, err := client.Call(context.Background(), `global insert-agent {"id":1,"name":"a","ip":"any","date_add":1}`)
			written <- err
		}()
		for command, argument := range map[string]string{"get_nodes": "{}", "get_health": "null", "t_why": "m", "get_config": ""} {
			if answer, err := ask(command, argument); err != nil || !strings.Contains(answer, `"m"`) {
				t.Errorf("%s: %q, %v", command, answer, err)
			}
		}
		select {
		case err := <-written:
			t.Errorf("the database is not stuck: %v", err)
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Errorf("once the database is free: %v", err)
	}
}
