package chunks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
)

// ErrBusy is returned when a peer sends more strings than may wait.
var ErrBusy = errors.New("too many strings wait already")

// Kind is one sort of string that a session receives.
type Kind struct {
	What    string // "agent-info" or "agent-groups", for texts
	Task    string // tag of the log lines
	Command string // what the original would run; another in a string is logged
	Done    string // command that reports the result
	Failed  string // command that reports that nothing could be done

	// Store works on the chunks of one string. An error says that nothing was
	// done at all.
	Store func(ctx context.Context, log *slog.Logger, chunks [][]byte) (Result, error)
	// After runs when the result has been reported, before the log line. It may
	// be nil.
	After func(ctx context.Context, log *slog.Logger, began time.Time, chunks [][]byte, r Result)
	// Finally runs after the log line. It may be nil.
	Finally func(ctx context.Context, log *slog.Logger, r Result)
}

// Inbox takes the strings of one session and works on them one after the
// other, in the order in which they were named.
type Inbox struct {
	Most int // strings that may be worked on or wait

	mu      sync.Mutex
	waiting []job
	open    int   // waiting or being worked on
	bytes   int64 // of these
	refused int   // in all
}

type job struct {
	kind Kind
	id   string
	data []byte
	err  error
}

// Open is how many strings wait or are being worked on, and their bytes.
func (in *Inbox) Open() (strings int, bytes int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.open, in.bytes
}

// Refused is how many strings found no room.
func (in *Inbox) Refused() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.refused
}

// Handle answers the command that names a string of the kind.
func (in *Inbox) Handle(kind Kind) session.Handler {
	return func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
		j := job{kind: kind, id: string(payload[:min(len(payload), 32)])}
		j.data, j.err = s.TakeString(j.id) // at once: what is refused must not stay
		first, err := in.add(j)
		if err != nil {
			return session.Reply{}, err
		}
		if first && !s.Go(func(ctx context.Context) { in.work(ctx, s) }) {
			return session.Reply{}, session.ErrClosed
		}
		return session.OK(j.id), nil
	}
}

// add enters a string and says whether nobody is at work.
func (in *Inbox) add(j job) (first bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.open >= in.Most {
		in.refused++
		return false, ErrBusy
	}
	in.waiting = append(in.waiting, j)
	in.bytes += int64(len(j.data))
	in.open++
	return in.open == 1, nil
}

// work is the task that empties the inbox.
func (in *Inbox) work(ctx context.Context, s *session.Session) {
	for {
		in.mu.Lock()
		j := in.waiting[0]
		in.waiting[0] = job{} // it may hold much
		in.waiting = in.waiting[1:]
		in.mu.Unlock()
		if ctx.Err() == nil {
			j.run(ctx, s)
		}
		in.mu.Lock()
		in.open--
		in.bytes -= int64(len(j.data))
		more := in.open > 0
		in.mu.Unlock()
		if !more {
			return
		}
	}
}

// run works on one string and reports what became of it.
func (j job) run(ctx context.Context, s *session.Session) {
	log := s.Log().With(logging.Task(j.kind.Task))
	log.Info("Starting.")
	began := time.Now()
	chunks, r, report := j.do(ctx, log)
	if ctx.Err() != nil {
		return
	}
	if report != "" {
		tell(ctx, s, log, j.kind.Failed, []byte(report))
		return
	}
	if s.PeerHas(session.FeatureAgents) {
		r.String = j.id
	}
	tell(ctx, s, log, j.kind.Done, r.JSON())
	if j.kind.After != nil {
		j.kind.After(ctx, log, began, chunks, r)
	}
	if line, bad := r.Line(time.Since(began)); bad {
		log.Error(line)
	} else {
		log.Info(line)
	}
	if j.kind.Finally != nil && ctx.Err() == nil {
		j.kind.Finally(ctx, log, r)
	}
}

// do reads the string and stores its chunks. report is what the peer is told
// when nothing was done, in the original's words.
func (j job) do(ctx context.Context, log *slog.Logger) (chunks [][]byte, r Result, report string) {
	fail := func(code fault.Code, format string, args ...any) string {
		report := fmt.Sprintf(format, args...)
		log.Error(logging.Quote(fault.New(code, report).Error()))
		return report
	}
	if j.err != nil {
		return nil, r, fail(fault.StringAbsent, "error while trying to access string under task_id b'%s'.", logging.Quote(j.id))
	}
	str, err := Decode(j.data)
	if err != nil {
		return nil, r, fail(fault.NotJSON, "error while trying to load JSON: %v", err)
	}
	if str.Command != j.kind.Command {
		log.Warn("The peer names another database command than ours, which is the one that counts.", "theirs", logging.Cut(str.Command))
	}
	r, err = j.kind.Store(ctx, log, str.Chunks)
	if err != nil {
		return nil, r, fail(fault.Chunks, "error processing %s chunks in process pool: %v", j.kind.What, err)
	}
	return str.Chunks, r, ""
}

func tell(ctx context.Context, s *session.Session, log *slog.Logger, command string, payload []byte) {
	if _, err := s.Request(ctx, command, payload); err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrClosed) {
		log.Debug("The report was not taken", "command", command, "error", logging.Cut(err.Error()))
	}
}

// Store hands chunk after chunk to put, until ctx ends: what is left then
// counts as not stored. It returns an error when nothing can be stored at all,
// because the database cannot be reached.
func Store(ctx context.Context, log *slog.Logger, what string, chunks [][]byte, put func(ctx context.Context, chunk []byte) error) (Result, error) {
	began := time.Now()
	var r Result
	for i, chunk := range chunks {
		err := ctx.Err()
		if err == nil {
			err = put(ctx, chunk)
		}
		switch {
		case err == nil:
			r.Chunks++
			continue
		case ctx.Err() != nil:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				log.Error("Timeout while processing " + what + " chunks.")
			}
			r.Took = time.Since(began)
			return r, nil
		case i == 0 && fault.Has(err, fault.DatabaseUnreachable):
			return r, err
		}
		text := textOf(err)
		log.Error(fmt.Sprintf("Wazuh-db response for chunk %d/%d was not \"ok\": %s", i+1, len(chunks), logging.Quote(text)))
		r.failed(text)
	}
	r.Took = time.Since(began)
	log.Debug(fmt.Sprintf("%d/%d chunks updated in wazuh-db in %.3fs.", r.Chunks, len(chunks), r.Took.Seconds()))
	return r, nil
}

// textOf is what is told of a chunk's error. What the database refuses has a
// number; what is no JSON is told as it is.
func textOf(err error) string {
	var syntax *SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, errNoData) {
		return err.Error()
	}
	if numbered, ok := errors.AsType[*fault.Error](err); ok {
		return numbered.Error()
	}
	return fault.New(fault.DatabaseRefused, err.Error()).Error()
}
