package wdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"testudo/internal/agentdb"
)

func (s *Server) sql(ctx context.Context, args string) reply {
	release, err := s.queries.take(ctx, 0)
	if err != nil {
		return s.broken(err)
	}
	defer release()
	p, err := s.store.SQL(ctx, args, s.o.SQLWrites)
	p.More = false // cut in silence (docs/agentdb.md §6)
	return s.rows(p, err)
}

func (s *Server) vacuum(ctx context.Context, _ string) reply {
	fragmentation, err := s.store.Vacuum(ctx)
	if err != nil {
		return s.orText(err, "Cannot vacuum database")
	}
	return okText(`{"fragmentation_after_vacuum":` + strconv.Itoa(fragmentation) + `}`)
}

func (s *Server) fragmentation(ctx context.Context, _ string) reply {
	fragmentation, free, err := s.store.Fragmentation(ctx)
	if err != nil {
		return s.orText(err, "Cannot get database fragmentation")
	}
	return okText(fmt.Sprintf(`{"fragmentation":%d,"free_pages_percentage":%d}`, fragmentation, free))
}

// sleep is a test aid of the original; the time of a request bounds it.
func sleep(ctx context.Context, args string) reply {
	ms, _ := number(args)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(min(max(ms, 0), time.Hour.Milliseconds()))*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	return okText("")
}

// backup is docs/agentdb.md §14.
func (s *Server) backup(ctx context.Context, args string) reply {
	action, rest, _ := cut(args)
	switch action {
	case "":
		return fail("Missing backup action")
	case "create":
		path, err := s.store.Backup(ctx)
		if err != nil {
			return s.orText(err, "Creating Global DB snapshot on demand failed")
		}
		return append(append(appendString(reply("ok ["), path), ']'), ""...)
	case "get":
		return s.backups()
	case "restore":
		return s.restore(ctx, rest)
	}
	return fail("Invalid backup action: " + action)
}

func (s *Server) backups() reply {
	names, err := s.store.Backups()
	if err != nil {
		return s.orText(err, "Cannot execute backup get command, unable to open 'backup/db' folder")
	}
	r := reply("ok [")
	for i, name := range names {
		if i > 0 {
			r = append(r, ',')
		}
		r = appendString(r, name)
	}
	return append(r, ']')
}

func (s *Server) restore(ctx context.Context, args string) reply {
	var name string
	var saveFirst bool
	if args != "" {
		v, err := decode(args)
		if err != nil {
			return badJSON(args)
		}
		name, _ = v.get("snapshot").text()
		saveFirst = v.get("save_pre_restore_state").is(kindTrue)
	}
	err := s.store.Restore(ctx, name, saveFirst)
	if errors.Is(err, agentdb.ErrNoBackup) && name == "" {
		return fail("Unable to found a snapshot to restore")
	}
	return s.orText(err, "Failed during backup decompression")
}
