package wdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/inventory"
)

// cannotOpen answers for an actor whose database is not ours.
func cannotOpen(name string) func(context.Context, string) reply {
	return func(context.Context, string) reply { return fail("Couldn't open DB " + name) }
}

// ofOneAgent answers "agent ID VERB ..." (docs/agentdb.md §3).
func (s *Server) ofOneAgent(ctx context.Context, rest string) reply {
	word, rest, found := cut(rest)
	if !found {
		return badQuery(word)
	}
	id, valid := strictID(word)
	if !valid {
		return fail("Invalid agent ID '" + word[:min(len(word), 32)] + "'")
	}
	if id != 0 {
		timed, cancel := context.WithTimeout(ctx, s.o.QueryTime)
		defer cancel()
		p, err := s.store.AgentName(timed, agentID(id))
		if err != nil {
			return s.broken(err)
		}
		if int64(agentID(id)) != id || string(p.JSON) == "[]" {
			return fail("Agent not found")
		}
	}
	return s.actors["agent"].answer(ctx, agentID(id), rest)
}

// strictID reads a whole word as a number; the empty word is 0.
func strictID(word string) (int64, bool) {
	word = strings.TrimLeft(word, " \t\n\v\f\r")
	if word == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return n, true
	}
	return n, err == nil
}

// settled answers the verbs around the original's transactions. Ours are over
// when their answer is out.
func settled(context.Context, string) reply { return ok() }

func (s *Server) agentSQL(ctx context.Context, id agent.ID, args string) reply {
	const text = "Cannot execute SQL query"
	if s.inv == nil {
		return noDatabase(id)
	}
	release, err := s.agentQueries.take(ctx, 0)
	if err != nil {
		return s.orText(err, text)
	}
	defer release()
	rows, err := s.inv.SQL(ctx, id, args)
	switch {
	case err == nil:
		return okText(string(rows))
	case errors.Is(err, inventory.ErrOpen):
		s.o.Log.Warn("The database of an agent could not be opened.", "err", err)
		return noDatabase(id)
	case errors.Is(err, inventory.ErrWriteRefused):
		return fail(text + "; statements that write are refused here (setting agentdb.sql_writes)")
	}
	return s.orText(err, text)
}

func noDatabase(id agent.ID) reply {
	return fail(fmt.Sprintf("Couldn't open DB for agent %d", id))
}

// dbsync is docs/agentdb.md §12.
func (s *Server) dbsync(ctx context.Context, id agent.ID, args string) reply {
	w := strings.SplitN(args, " ", 3)
	if len(w) < 3 || w[2] == "" {
		return near("Invalid dbsync query syntax", w[0])
	}
	if s.inv == nil {
		return noDatabase(id)
	}
	err := s.inv.Sync(ctx, id, w[0], w[1], []byte(w[2]))
	if errors.Is(err, inventory.ErrOpen) {
		s.o.Log.Warn("The database of an agent could not be opened.", "err", err)
		return noDatabase(id)
	}
	if err != nil {
		s.o.Log.Debug("A record of an inventory was refused.", "err", err)
		return reply("err")
	}
	return okText("")
}

// rootcheck knows no results, so there is nothing to delete.
func rootcheck(_ context.Context, args string) reply {
	switch args {
	case "delete":
		return okText("0")
	case "":
		return near("Invalid Rootcheck query syntax", "rootcheck")
	}
	return near("Invalid rootcheck query syntax", args)
}

func (s *Server) removeFile(ctx context.Context, id agent.ID, _ string) reply {
	if s.inv == nil || !s.inv.Exists(id) {
		return ok() // nothing is left of it
	}
	if done := s.inv.Remove(ctx, []agent.ID{id})[id]; done != inventory.Removed {
		return fail(string(done))
	}
	return ok()
}

// ofFiles answers "wazuhdb VERB ..." (docs/agentdb.md §13).
func (s *Server) ofFiles(ctx context.Context, rest string) reply {
	if name, _, found := cut(rest); found && name != "remove" {
		return fail("No agents id provided")
	}
	return s.actors["wazuhdb"].answer(ctx, 0, rest)
}

// removeFiles is "wazuhdb remove ID ..." (docs/agentdb.md §13).
func (s *Server) removeFiles(ctx context.Context, args string) reply {
	const invalid = inventory.Removal("Invalid agent ID")
	list := words(args)
	var ids []agent.ID
	for _, word := range list {
		if id, valid := fileID(word); valid {
			ids = append(ids, id)
		}
	}
	removed := map[agent.ID]inventory.Removal{}
	if s.inv != nil {
		removed = s.inv.Remove(ctx, ids)
	}
	r := okText(`{"agents":{`)
	for i, word := range list {
		name, what := word, invalid
		if id, valid := fileID(word); valid {
			name, what = id.String(), inventory.CannotDelete
			if done, is := removed[id]; is {
				what = done
			}
		}
		if i > 0 {
			r = append(r, ',')
		}
		r = append(appendString(r, name), ':')
		r = appendString(r, string(what))
	}
	return append(r, "}}"...)
}

// fileID is an id that a file may be named after.
func fileID(word string) (agent.ID, bool) {
	n, valid := strictID(word)
	return agentID(n), valid && n >= 0 && int64(agentID(n)) == n
}
