package executor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"testudo/internal/fault"
)

// process is one process of the program.
type process struct {
	cmd   *exec.Cmd
	in    *os.File // its standard input
	out   *os.File // its standard output
	since time.Time

	ended chan struct{} // closed when it has ended and was waited for
	how   string        // how it ended; set before that
}

// inherited are the variables of this process that the program gets.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// start starts a process. Each line that it writes to its standard error goes to
// say. jobs counts it until it has ended.
func start(cfg Config, jobs *sync.WaitGroup, say func(line string)) (*process, error) {
	cmd := exec.Command(cfg.Program) //nolint:gosec // the operator has named it
	cmd.Dir = cfg.Home
	cmd.Env = []string{"TESTUDO_HOME=" + cfg.Home}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is ended with whatever it starts
	p := &process{cmd: cmd, ended: make(chan struct{})}
	var pipes pipes
	in, toIn := pipes.make()
	fromOut, out := pipes.make()
	fromErrors, errs := pipes.make()
	if pipes.err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
		pipes.err = cmd.Start()
	}
	if pipes.err != nil {
		pipes.close()
		return nil, fmt.Errorf("start %s: %w", cfg.Program, pipes.err)
	}
	for _, theirs := range []*os.File{in, out, errs} {
		theirs.Close()
	}
	p.in, p.out = toIn, fromOut
	if err := boundMemory(cmd.Process.Pid, cfg.MemoryBytes); err != nil {
		say("its memory cannot be bounded: " + err.Error())
	}
	jobs.Go(func() { readLines(fromErrors, say) })
	jobs.Go(p.wait)
	return p, nil
}

// pipes are made together: all of them, or none.
type pipes struct {
	files []*os.File
	err   error
}

func (p *pipes) make() (r, w *os.File) {
	if p.err != nil {
		return nil, nil
	}
	if r, w, p.err = os.Pipe(); p.err == nil {
		p.files = append(p.files, r, w)
	}
	return r, w
}

func (p *pipes) close() {
	for _, f := range p.files {
		f.Close()
	}
}

// wait waits for the process, and ends whatever it has started.
func (p *process) wait() {
	err := p.cmd.Wait()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.how = "exit status 0"
	if err != nil {
		p.how = err.Error()
	}
	p.in.Close()
	close(p.ended)
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process at once, and gives how it ended.
func (p *process) kill() string {
	if p.alive() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.ended
	p.out.Close()
	return p.how
}

// dismiss closes the input of a process, at which it is to end, and kills one
// that does not.
func (p *process) dismiss(grace time.Duration) {
	p.in.Close()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.ended:
	case <-t.C:
	}
	p.kill()
}

// lengthBytes is the size of the length before each message, little-endian.
const lengthBytes = 4

// ask sends a request and reads its answer, of at most so many bytes. After an
// error nothing more can be asked. The process is killed when ctx ends.
func (p *process) ask(ctx context.Context, request []byte, most int64) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { p.kill() })()
	message := binary.LittleEndian.AppendUint32(make([]byte, 0, lengthBytes+len(request)), uint32(len(request)))
	if _, err := p.in.Write(append(message, request...)); err != nil {
		return nil, fmt.Errorf("send a request: %w", err)
	}
	var head [lengthBytes]byte
	if _, err := io.ReadFull(p.out, head[:]); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	if size > most {
		return nil, fault.New(fault.Unspecified, fmt.Sprintf("the external program's answer has %d bytes, at most %d are taken", size, most))
	}
	var answer bytes.Buffer // which grows with what comes
	if _, err := io.CopyN(&answer, p.out, size); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return answer.Bytes(), nil
}

// lineBytes is the longest line of the standard error that is told; the rest of
// a longer one is passed over.
const lineBytes = 512

func readLines(f *os.File, say func(line string)) {
	defer f.Close()
	r := bufio.NewReaderSize(f, lineBytes)
	for whole := true; ; {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		if whole && len(line) > 0 {
			say(string(line))
		}
		whole = !more
	}
}
