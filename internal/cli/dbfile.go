package cli

import (
	"context"
	"errors"
)

// errAtRest is returned where only a running node can do what is asked.
var errAtRest = errors.New("no node runs there; start it first")

// backupFile saves the database itself.
func backupFile(context.Context, string) (path string, err error) { return "", errAtRest }

// restoreFile puts a backup in the place of the database.
func restoreFile(context.Context, string, string, bool) error { return errAtRest }
