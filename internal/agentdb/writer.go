package agentdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"testudo/internal/sqlitedb"
)

const (
	// queueLength is how many operations may wait for the writer; callers of more
	// wait themselves.
	queueLength = 1024

	// batchTime is how long operations are added to a transaction: what a caller
	// waits for those before it.
	batchTime = 10 * time.Millisecond
)

// op is one operation on its way through the writer.
type op struct {
	fn func(*tx) error
	// instead of fn: runs between transactions, on nothing but the store.
	between func(ctx context.Context) error

	durable bool // the commit waits for the disk
	fresh   bool // nothing uncommitted may precede it
	lazy    bool // it settles what it has to, see tx.touch

	state atomic.Int32 // opWaiting and so on
	err   error
	done  chan error
}

const (
	opWaiting   int32 = iota // nobody has begun it
	opStarted                // the writer has
	opAbandoned              // its caller gave up before
)

// start claims the operation for the writer; false when its caller gave up. It
// may be asked again when a transaction is repeated.
func (o *op) start() bool {
	return o.state.CompareAndSwap(opWaiting, opStarted) || o.state.Load() == opStarted
}

// write hands fn to the writer and returns when the transaction in which it ran
// is committed. durable says that what fn writes cannot be had again from
// elsewhere: it then survives a power cut, not only the death of the process.
//
// fn runs in the writer's goroutine and must be quick. It shares the transaction
// with others: the statements that succeeded stay even when fn returns an error,
// which is handed to the caller as it is. fn may be run a second time from the
// start, after its first effects were rolled back. What fn changes of the agents
// must be told to the tx, see there.
//
// When ctx ends before fn has begun, fn will not run and the context's error is
// returned. Once begun it is waited for.
func (s *Store) write(ctx context.Context, durable bool, fn func(*tx) error) error {
	return s.submit(ctx, &op{fn: fn, durable: durable})
}

// writeLazily is write for an fn that settles what it must, see tx.touch.
func (s *Store) writeLazily(ctx context.Context, fn func(*tx) error) error {
	return s.submit(ctx, &op{fn: fn, lazy: true})
}

// writeFresh is write for an fn that must see all earlier changes committed, and
// so in the roster.
func (s *Store) writeFresh(ctx context.Context, durable bool, fn func(*tx) error) error {
	return s.submit(ctx, &op{fn: fn, durable: durable, fresh: true})
}

// between runs fn in the writer's goroutine outside of any transaction. fn may
// use s.db.Load().Alone, and s.reopen.
func (s *Store) between(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.submit(ctx, &op{between: fn})
}

func (s *Store) submit(ctx context.Context, o *op) error {
	o.done = make(chan error, 1)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return ErrClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if o.state.CompareAndSwap(opWaiting, opAbandoned) {
			return context.Cause(ctx)
		}
	case <-s.ended:
	}
	// It has begun, or the writer has ended and answers what it left.
	select {
	case err := <-o.done:
		return err
	case <-s.ended:
	}
	select {
	case err := <-o.done:
		return err
	default:
		return ErrClosed // put in the queue behind the writer's back
	}
}

// Run is the writer. It ends with ctx, when what it has begun is committed;
// operations that still wait then get ErrClosed, as do all later ones. It is
// called once.
func (s *Store) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		select {
		case <-s.closing:
			return nil
		default:
			return errors.New("agent database: Run is called twice")
		}
	}
	defer close(s.ended)
	var batch []*op
	var late lateMarks
	defer late.stop()
	defer s.trouble.stop()
	for {
		batch = batch[:0]
		var probe, part *op
		select {
		case <-ctx.Done():
			s.refuse()
			return s.lastMarks()
		case <-s.closing:
			s.refuse()
			return s.lastMarks()
		case o := <-s.ops:
			batch = append(batch, o)
		case <-late.due:
			part = s.someMarks(&late)
			batch = append(batch, part)
		case <-s.trouble.due:
			probe = s.probe()
			batch = append(batch, probe)
		}
		batch = s.gatherMore(batch)
		for rest := batch; len(rest) > 0; {
			rest = s.commit(ctx, rest)
		}
		if probe != nil {
			s.afterProbe(probe)
		}
		if part != nil {
			s.afterMarks(&late, part)
		}
		clear(batch)
		late.arm(s.lags(), s.roster.lagging.Load() > 0 || len(s.journal.queue) > 0)
	}
}

// gatherMore is gather, after those that are about to add something had a turn: the
// fewer transactions, the less each operation costs.
func (s *Store) gatherMore(batch []*op) []*op {
	for {
		before := len(batch)
		runtime.Gosched()
		if batch = s.gather(batch); len(batch) == before || len(batch) >= queueLength {
			return batch
		}
	}
}

// gather takes what waits.
func (s *Store) gather(batch []*op) []*op {
	for len(batch) < queueLength {
		select {
		case o := <-s.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// refuse answers what waits.
func (s *Store) refuse() {
	for _, o := range s.gather(nil) {
		o.done <- ErrClosed
	}
}

// commit runs the first operations of the batch in one transaction, answers
// them, and returns the others.
func (s *Store) commit(ctx context.Context, batch []*op) (rest []*op) {
	if o := batch[0]; o.between != nil {
		if o.start() {
			o.done <- s.runBetween(ctx, o)
		}
		return batch[1:]
	}
	level := sqlitedb.SyncNormal
	for _, o := range batch {
		if o.durable {
			level = sqlitedb.SyncFull
		}
	}
	t := s.tx
	t.reset()
	ran, began := 0, time.Now()
	defer func() { s.count(batch[:len(batch)-len(rest)], len(rest), time.Since(began)) }()
	err := s.db.Load().WriteSync(context.WithoutCancel(ctx), level, func(c *sqlitedb.Conn) (err error) {
		t.c = c
		ran, err = t.runAll(batch)
		return err
	})
	t.c = nil
	s.noticeTrouble(batch[:ran], err)
	var broke *panicError
	switch {
	case errors.As(err, &broke):
		// The transaction is rolled back. Without the culprit it may be repeated.
		s.log.Error("An operation on the agent database broke off.", slog.Any("panic", broke.value), slog.String("stack", string(broke.stack)))
		batch[ran].done <- fmt.Errorf("operation broke off: %v", broke.value)
		return append(batch[:ran:ran], batch[ran+1:]...)
	case err != nil:
		if ran == 0 {
			ran = len(batch) // the transaction could not even begin
		}
		for _, o := range batch[:ran] {
			o.err = asQuery(err)
		}
		answer(batch[:ran], func(o *op) error { return o.err })
		return batch[ran:]
	}
	s.journal.publish(&t.news)
	s.publish(t)
	answer(batch[:ran], func(o *op) error { return o.err })
	return batch[ran:]
}

// count tells the metrics of a transaction and of what waits.
func (s *Store) count(ran []*op, waiting int, took time.Duration) {
	failed := 0
	for _, o := range ran {
		if o.err != nil {
			failed++
		}
	}
	s.o.Metrics.AgentDBCommit(len(ran)-failed, failed, took.Seconds())
	s.o.Metrics.AgentDBQueue(waiting + len(s.ops))
}

// answer tells those callers that still wait.
func answer(batch []*op, result func(*op) error) {
	for _, o := range batch {
		if o.start() {
			o.done <- result(o)
		}
	}
}

// runAll runs the first operations of the batch, see runBatch, and what they put
// off.
func (t *tx) runAll(batch []*op) (ran int, err error) {
	if ran, err = t.runBatch(batch); err == nil {
		err = t.settleAll()
	}
	if err == nil {
		err = t.writeJournal()
	}
	return ran, err
}

// runBatch runs operations until the transaction is long enough. ran counts
// those that the transaction's fate concerns; with a panicError it is the place
// of the one that broke.
func (t *tx) runBatch(batch []*op) (ran int, err error) {
	started := time.Now()
	t.time = started.Unix()
	for i, o := range batch {
		if i > 0 && (o.fresh || o.between != nil || time.Since(started) > batchTime) {
			return i, nil
		}
		if !o.start() {
			continue
		}
		if !o.lazy {
			if err := t.settleAll(); err != nil {
				return i + 1, err
			}
		}
		var broke bool
		if broke, o.err = t.run(o.fn); broke {
			return i, o.err
		}
		if t.c.AutocommitEnabled() {
			// SQLite has rolled the transaction back, as it does when the disk is full.
			err := o.err
			if err == nil {
				err = errors.New("transaction was rolled back")
			}
			return i + 1, err
		}
	}
	return len(batch), nil
}

// panicError is an operation that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprint(e.value) }

func (t *tx) run(fn func(*tx) error) (broke bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			broke, err = true, &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return false, fn(t)
}

// runBetween runs an operation outside of a transaction.
func (s *Store) runBetween(ctx context.Context, o *op) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("operation broke off: %v", v)
		}
	}()
	return o.between(context.WithoutCancel(ctx))
}
