// Package session runs one connection between two nodes: requests and their
// replies, dispatch by command, long strings, files and packages, and the
// limits that keep a hostile or broken peer from hurting us (docs/wire.md).
//
// A session is the life of everything on it. Uploads, strings, tasks and
// waiting requests belong to the session's context: when it ends they end,
// their temporary files are removed and their goroutines have returned before
// Run does.
package session
