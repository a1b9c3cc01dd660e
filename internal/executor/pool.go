package executor

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

// Pool runs requests in processes of the program. It is a dapi.Fallback.
type Pool struct {
	cfg   Config
	slots chan struct{} // one for each process that may be
	lines session.Refusals

	life context.Context // of all processes
	end  context.CancelFunc
	jobs sync.WaitGroup // of processes that are there
	asks sync.WaitGroup // requests under way

	mu       sync.Mutex
	closed   bool
	idle     []*process // the one used last at the end
	failures int        // in a row
	resume   time.Time  // before that none is started
}

// New makes a pool. No process is started before the first request.
func New(cfg Config) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{cfg: cfg, slots: make(chan struct{}, cfg.Processes)}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// errClosed is returned when the node ends.
var errClosed = errors.New("the executor has ended")

// Run has a process answer a request, both in the JSON of the wire. A process
// that has not answered when ctx ends is killed, and the error is the context's
// cause. Fault 1000 says that the request is none for the program, or the answer
// too long; 900 that the program does not start, or has just failed; 901 that it
// ended before it answered.
func (p *Pool) Run(ctx context.Context, request []byte) ([]byte, error) {
	if err := screen(request); err != nil {
		return nil, err
	}
	if !p.enter() {
		return nil, errClosed
	}
	defer p.asks.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.life, func() { cancel(errClosed) })()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	proc, err := p.take()
	if err != nil {
		return nil, err
	}
	answer, err := proc.ask(ctx, request, p.cfg.AnswerBytes)
	if err == nil {
		p.keep(proc)
		return answer, nil
	}
	how := proc.kill()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.failed()
	p.log(slog.LevelError, fmt.Sprintf("The program ended a request with an error: %s (%s)", logging.Quote(err.Error()), how))
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return nil, err
	}
	return nil, fault.Wrap(fault.PoolBroken, nil, err)
}

func (p *Pool) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.asks.Add(1)
	}
	return !p.closed
}

// take gives a process that waits, or a new one.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		proc := p.idle[last]
		p.idle = p.idle[:last]
		if proc.alive() {
			return proc, nil
		}
	}
	if wait := time.Until(p.resume); wait > 0 {
		return nil, fault.New(fault.PoolUnusable, fmt.Sprintf("the external program failed; it is tried again in %.1f s", wait.Seconds()))
	}
	proc, err := start(p.cfg, &p.jobs, func(line string) { p.log(slog.LevelInfo, "The program says: "+logging.Quote(line)) })
	if err != nil {
		p.failedLocked()
		p.log(slog.LevelError, "Could not start the program: "+logging.Quote(err.Error()))
		return nil, fault.Wrap(fault.PoolUnusable, "the external program cannot be started", err)
	}
	p.cfg.Log.Debug("Started the program", "pid", proc.cmd.Process.Pid)
	return proc, nil
}

// keep puts a process that has answered aside.
func (p *Pool) keep(proc *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.resume = 0, time.Time{}
	proc.since = time.Now()
	p.idle = append(p.idle, proc)
}

func (p *Pool) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failedLocked()
}

func (p *Pool) failedLocked() {
	pause := p.cfg.PauseMax
	if p.failures < 16 {
		pause = min(pause, p.cfg.Pause<<p.failures)
	}
	p.failures++
	p.resume = time.Now().Add(pause)
}

// Serve ends processes that are not needed any more, and all of them with ctx.
func (p *Pool) Serve(ctx context.Context) error {
	tick := time.NewTicker(max(p.cfg.IdleTime/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.Close()
			return nil
		case now := <-tick.C:
			p.endIdle(now.Add(-p.cfg.IdleTime))
		}
	}
}

// endIdle ends the processes that nobody has used since then.
func (p *Pool) endIdle(since time.Time) {
	p.mu.Lock()
	var leave []*process
	for len(p.idle) > 0 && (p.idle[0].since.Before(since) || !p.idle[0].alive()) {
		leave, p.idle = append(leave, p.idle[0]), p.idle[1:]
	}
	p.mu.Unlock()
	for _, proc := range leave {
		proc.dismiss(p.cfg.Grace)
	}
}

// Close ends all processes and waits for them. What they work on ends with an
// error.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.asks.Wait()
	p.mu.Lock()
	leave := p.idle
	p.idle = nil
	p.mu.Unlock()
	var ending sync.WaitGroup
	for _, proc := range leave {
		ending.Go(func() { proc.dismiss(p.cfg.Grace) })
	}
	ending.Wait()
	p.jobs.Wait()
}

// log writes a line; what repeats is written now and then only.
func (p *Pool) log(level slog.Level, line string) { p.lines.Log(p.cfg.Log, level, line) }
