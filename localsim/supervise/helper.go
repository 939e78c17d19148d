package supervise

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// A Helper is a process that does something beside the replicas for as long as
// its standard input is open.
type Helper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ready chan struct{} // closed at its first line
	ended chan struct{}
	err   error // read after ended
	words bytes.Buffer
}

// StartHelper starts a helper and waits until it prints a line, which says that it
// is ready. The helper waits for Begin. start runs the function that starts the
// process on the thread that it needs. started is called with the process id.
func StartHelper(ctx context.Context, cmd *exec.Cmd, start func(func() error) error, started func(pid int) error) (*Helper, error) {
	h := &Helper{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if h.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, notStarted(cmd, err, nil)
	}
	first := true
	cmd.Stdout = &lineWriter{line: func([]byte) {
		if first {
			close(h.ready)
		}
		first = false
	}}
	cmd.Stderr = &h.words
	cmd.SysProcAttr = childAttributes(cmd.SysProcAttr)
	cmd.WaitDelay = time.Second
	if err := start(cmd.Start); err != nil {
		return nil, notStarted(cmd, err, h.stdin)
	}
	go func() {
		defer close(h.ended)
		h.err = cmd.Wait()
	}()
	if err = started(cmd.Process.Pid); err == nil {
		select {
		case <-h.ready:
			return h, nil
		case <-h.ended:
			err = fmt.Errorf("process ended before it was ready: %w", h.Failure())
		case <-ctx.Done():
			err = fmt.Errorf("waiting until process %d is ready: %w", cmd.Process.Pid, context.Cause(ctx))
		}
	}
	return nil, errors.Join(err, h.End())
}

// Begin lets a helper that is ready begin.
func (h *Helper) Begin() error {
	_, err := io.WriteString(h.stdin, "go\n")
	return err
}

// Done is closed when the helper has ended.
func (h *Helper) Done() <-chan struct{} { return h.ended }

// Failure returns why a helper ended by itself. Call it after Done is closed.
func (h *Helper) Failure() error {
	err := cmp.Or(h.err, errEnded)
	if words := strings.TrimSpace(h.words.String()); words != "" {
		return fmt.Errorf("%w: %s", err, words)
	}
	return err
}

// End ends the helper and waits until it has.
func (h *Helper) End() error {
	killErr := ignoreDone(h.cmd.Process.Kill())
	h.stdin.Close()
	timeout := time.NewTimer(KillWait)
	defer timeout.Stop()
	select {
	case <-h.ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("process %d does not end: %w", h.cmd.Process.Pid, cmp.Or(killErr, context.DeadlineExceeded))
	}
}
