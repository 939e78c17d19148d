package supervise

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A childInstance is a process of its own.
type childInstance struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	output  *childOutput
	ended   chan struct{}
	failure error
	hello   hello
}

// A Child says how to start a process.
type Child struct {
	Command *exec.Cmd
	// Start runs the function that starts the process, on the thread and in the
	// namespace that it needs.
	Start func(start func() error) error
	// Started is called with the process id as soon as it is known.
	Started func(pid int) error
	// Output gets what the process prints, except its address.
	Output io.Writer
	// Address is the host:port on which the process is asked to listen; port 0 or
	// an empty Address allows any.
	Address string
	// HelloTimeout bounds the time until it prints its address.
	HelloTimeout time.Duration
	// Meter is told of the process; it may be nil.
	Meter *Meter
}

// StartChild starts a process for a replica and waits until it prints its
// address.
func StartChild(ctx context.Context, child Child) (Instance, error) {
	cmd := child.Command
	c := &childInstance{cmd: cmd, ended: make(chan struct{}), output: newChildOutput(child.Output)}
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, notStarted(cmd, err, nil)
	}
	cmd.Stdout, cmd.Stderr = &c.output.stdout, &c.output.stderr
	cmd.SysProcAttr = childAttributes(cmd.SysProcAttr)
	// Do not wait for children of the process that hold its pipes open.
	cmd.WaitDelay = time.Second
	meter := cmp.Or(child.Meter, &Meter{})
	var began time.Time
	start := func() error {
		began = time.Now()
		return cmd.Start()
	}
	if err := child.Start(start); err != nil {
		return nil, notStarted(cmd, err, c.stdin)
	}
	meter.started(cmd.Process.Pid, began)
	go func() {
		defer close(c.ended)
		c.failure = c.output.explain(cmd.Wait())
		meter.ended(cmd.ProcessState)
		killGroup(cmd.Process.Pid)
	}()
	if err := child.Started(cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	if c.hello, err = c.awaitHello(ctx, child.HelloTimeout); err == nil {
		err = c.hello.check(child.Address)
	}
	if err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	meter.told(c.hello.at)
	return c, nil
}

// notStarted says why a process could not be started, and closes its input, which is nil
// if it has none yet.
func notStarted(cmd *exec.Cmd, err error, stdin io.Closer) error {
	err = fmt.Errorf("starting %q: %w", cmd.Path, err)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		err = fmt.Errorf("%w; raise the limit (ulimit -n), or start fewer replicas", err)
	}
	if stdin == nil {
		return err
	}
	closing := stdin.Close()
	if errors.Is(closing, os.ErrClosed) {
		closing = nil // Start has closed it
	}
	return errors.Join(err, closing)
}

// check returns an error if the address that a process has printed differs from the
// one that it was asked to listen on; port 0 allows any port.
func (h *hello) check(asked string) error {
	for _, address := range []string{h.Addr, cmp.Or(h.Control, h.Addr)} {
		_, port, err := net.SplitHostPort(address)
		if n, numberErr := strconv.ParseUint(port, 10, 16); err != nil || numberErr != nil || n == 0 {
			return fmt.Errorf("it printed the address %q, which is none; it must print a line {\"addr\":\"host:port\"} when it listens", address)
		}
	}
	_, wanted, _ := net.SplitHostPort(asked)
	if _, port, _ := net.SplitHostPort(h.Addr); wanted != "" && wanted != "0" && port != wanted {
		return fmt.Errorf("it listens on %s, not on %s, which MICROSIM_ADDR asked for", h.Addr, asked)
	}
	return nil
}

func (c *childInstance) awaitHello(ctx context.Context, bound time.Duration) (hello, error) {
	timeout := time.NewTimer(bound)
	defer timeout.Stop()
	select {
	case h := <-c.output.hello:
		return h, nil
	case <-c.ended:
		return hello{}, fmt.Errorf("process ended before it listened: %w", cmp.Or(c.failure, errEnded))
	case <-timeout.C:
		return hello{}, fmt.Errorf("process %d did not tell its address within %v%s", c.PID(), bound, c.output.lastWords())
	case <-ctx.Done():
		return hello{}, ctx.Err()
	}
}

// abandon kills a process that failed to start.
func (c *childInstance) abandon() error {
	killErr := c.Kill()
	timeout := time.NewTimer(KillWait)
	defer timeout.Stop()
	select {
	case <-c.ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("process %d does not end: %w", c.PID(), cmp.Or(killErr, context.DeadlineExceeded))
	}
}

func (c *childInstance) Addr() string { return c.hello.Addr }
func (c *childInstance) Control() Target {
	return Target{Base: "http://" + cmp.Or(c.hello.Control, c.hello.Addr)}
}
func (c *childInstance) PID() int              { return c.cmd.Process.Pid }
func (c *childInstance) Done() <-chan struct{} { return c.ended }
func (c *childInstance) Err() error            { return c.failure }

// Terminate asks the process to end in both ways it knows: by signal, on
// systems that have signals, and by closing its standard input.
func (c *childInstance) Terminate() {
	_ = resumeProcess(c.cmd.Process)
	_ = terminateProcess(c.cmd.Process)
	c.stdin.Close()
}

// CloseStdin closes the standard input of an instance that is a process, as the
// system does when this program dies.
func CloseStdin(in Instance) error {
	c, ok := in.(*childInstance)
	if !ok {
		return errors.New("it is not a process of its own")
	}
	return c.stdin.Close()
}

func (c *childInstance) Kill() error   { return ignoreDone(c.cmd.Process.Kill()) }
func (c *childInstance) Pause() error  { return pauseProcess(c.cmd.Process) }
func (c *childInstance) Resume() error { return ignoreDone(resumeProcess(c.cmd.Process)) }

// A childOutput reads what a process prints: the address on standard output,
// the last lines on standard error. Everything else goes to the user's writer.
type childOutput struct {
	stdout, stderr lineWriter
	hello          chan hello

	mu   sync.Mutex
	tail []string
}

const tailLines = 5

func newChildOutput(forward io.Writer) *childOutput {
	o := &childOutput{hello: make(chan hello, 1)}
	o.stdout.line = func(line []byte) {
		if h, ok := parseHello(line); ok {
			h.at = time.Now()
			select {
			case o.hello <- h:
			default:
			}
			return
		}
		_, _ = forward.Write(append(line, '\n'))
	}
	o.stderr.line = func(line []byte) {
		o.mu.Lock()
		o.tail = append(o.tail, string(line))
		o.tail = o.tail[max(0, len(o.tail)-tailLines):]
		o.mu.Unlock()
		_, _ = forward.Write(append(line, '\n'))
	}
	return o
}

// A hello is the line in which a process prints its addresses.
type hello struct {
	Addr string `json:"addr"`
	// Control is the host:port of /admin and /readyz, which a full accept queue
	// does not block; empty means Addr.
	Control string `json:"control"`
	// at is when the line came.
	at time.Time
}

func parseHello(line []byte) (hello, bool) {
	var h hello
	err := json.Unmarshal(line, &h)
	return h, err == nil && h.Addr != ""
}

// LastWords introduces the last output of a process, in the error of one that did
// not start.
const LastWords = "its last words: "

// lastWords returns the last lines on standard error, to be appended to an
// error.
func (o *childOutput) lastWords() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.tail) == 0 {
		return ""
	}
	return "; " + LastWords + strings.Join(o.tail, " | ")
}

func (o *childOutput) explain(err error) error {
	if err == nil {
		return nil
	}
	if words := o.lastWords(); words != "" {
		return fmt.Errorf("%w%s", err, words)
	}
	return err
}

// A lineWriter passes on whole lines. It cuts lines that are too long.
type lineWriter struct {
	line    func([]byte)
	partial []byte
}

const maxLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		w.partial = append(w.partial, line[:min(len(line), maxLine-len(w.partial))]...)
		if whole {
			w.line(w.partial)
			w.partial = nil
		}
		rest = after
	}
	return len(p), nil
}

// A LockedWriter lets several processes print to one writer.
type LockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLockedWriter returns a writer in front of w.
func NewLockedWriter(w io.Writer) *LockedWriter { return &LockedWriter{w: w} }

func (l *LockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
