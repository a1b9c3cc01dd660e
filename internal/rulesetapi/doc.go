// Package rulesetapi has the functions of the distributed API about rules,
// decoders and lists (docs/rulesetfunctions.md): what the files of a node's
// ruleset say, and the uploading and deleting of those that belong to the
// cluster.
//
// Files are read below the home only, and what was read is kept as long as the
// file is the same by size, times, inode and device (library.go). Writing is
// whole or not at all, and only below etc/rules, etc/decoders and etc/lists
// (write.go).
package rulesetapi

import (
	"os"
	"sync"
	"time"

	"testudo/internal/dapi"
)

// Config is what the functions need of the node.
type Config struct {
	Home *os.Root
	// Identity gives the owner of the files that root writes, as home.Identity
	// does; nil, or ok false, leaves new ones to whoever runs the node.
	Identity func() (uid, gid int, ok bool)

	// KeptBytes bounds the text of the files that are kept, of rules, decoders
	// and lists each; 0 means 64 MiB.
	KeptBytes int64
	// FileBytes bounds one file, read or uploaded; 0 means 16 MiB.
	FileBytes int64
	// Files bounds how many files of rules, decoders and lists each are looked
	// at; 0 means 10,000.
	Files int
}

// API is the functions about rules, decoders and lists.
type API struct {
	cfg      Config
	disk     disk // the home
	conf     confFile
	rules    *shelf[rule]
	decoders *shelf[decoder]
	lists    *shelf[list]

	writing sync.Mutex // one upload or deletion at a time
}

// New returns the functions of a node.
func New(cfg Config) *API {
	if cfg.KeptBytes <= 0 {
		cfg.KeptBytes = 64 << 20
	}
	if cfg.FileBytes <= 0 {
		cfg.FileBytes = 16 << 20
	}
	if cfg.Files <= 0 {
		cfg.Files = 10_000
	}
	a := &API{cfg: cfg, disk: disk{cfg.Home, time.Now}}
	limits := libraryLimits{kept: cfg.KeptBytes, file: cfg.FileBytes}
	a.rules = newShelf(limits, parseRules, orderRules)
	a.decoders = newShelf(limits, parseDecoders, orderDecoders)
	a.lists = newShelf(limits, readList, nil)
	return a
}

// Functions lists the functions.
func (a *API) Functions() []dapi.Function {
	list := append(a.ruleFunctions(), a.decoderFunctions()...)
	return append(list, a.listFunctions()...)
}
