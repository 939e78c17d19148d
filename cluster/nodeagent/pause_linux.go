package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// pauseActuator stops the processes of one pod's containers. A note in the pod's
// network namespace tells the next helper, so that none stays stopped for ever;
// a pod in the node's network has none.
type pauseActuator struct {
	machine *machine
	uid     string
	looked  bool // for what a helper before this one has left
	paused  bool
}

// pausedNote is left where processes are stopped.
const pausedNote = "microsim-paused"

func (c *pauseActuator) takes(t fault.Type) bool { return t == fault.Pause }

func (c *pauseActuator) set(ctx context.Context, want []desiredFault) ([]result, error) {
	if len(want) == 0 {
		return nil, c.resume()
	}
	count, err := c.stop(ctx)
	results := make([]result, len(want))
	for n := range results {
		results[n] = result{by: "processes", effective: unit.Count(count, "process") + " stopped", err: err}
	}
	return results, nil
}

func (c *pauseActuator) Close(context.Context) error { return c.resume() }

// withNetwork opens the pod's network namespace for a while; without one, there
// is nothing to do.
func (c *pauseActuator) withNetwork(do func(*netns.Namespace) error) error {
	processes, err := c.machine.of(c.uid, time.Now())
	if err != nil || len(processes) == 0 {
		return err
	}
	ns, err := c.machine.finder.OpenPod(c.uid, processes)
	if errors.Is(err, netns.ErrHost) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(ns), ns.Close())
}

// A pod is looked at again until all is stopped: a signal takes a moment to
// act, and what is not stopped yet may start more. The limit is for a pod that
// starts processes faster than they are stopped.
const (
	stopPause = 2 * time.Millisecond
	stopLimit = 3 * time.Second
)

// stop stops every process and returns how many are stopped.
func (c *pauseActuator) stop(ctx context.Context) (count int, err error) {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if !c.paused {
		if err := c.withNetwork(func(ns *netns.Namespace) error { return ns.SetNote(pausedNote) }); err != nil {
			return 0, err
		}
		c.paused = true
	}
	for ctx.Err() == nil {
		processes, err := c.victims()
		if err != nil {
			return 0, err
		}
		if len(processes) == 0 {
			return 0, errNoContainer
		}
		running := 0
		for _, p := range processes {
			if c.machine.stopped(p.PID) {
				continue
			}
			running++
			if err := c.machine.signal(p, unix.SIGSTOP); err != nil {
				return 0, fmt.Errorf("stopping process %d: %w", p.PID, err)
			}
		}
		if running == 0 {
			return len(processes), nil
		}
		select {
		case <-time.After(stopPause):
		case <-ctx.Done():
		}
	}
	return 0, fmt.Errorf("not all processes were stopped within %s: the pod may start them as fast as they are stopped", stopLimit)
}

// resume continues every process that is stopped, if we or a helper before this
// one have stopped them.
func (c *pauseActuator) resume() error {
	if !c.paused && !c.looked {
		err := c.withNetwork(func(ns *netns.Namespace) error {
			note, err := ns.Note()
			c.paused = note == pausedNote
			return err
		})
		if err != nil {
			return err
		}
		c.looked = true
	}
	if !c.paused {
		return nil
	}
	processes, err := c.victims()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range processes {
		if !c.machine.stopped(p.PID) {
			continue
		}
		if err := c.machine.signal(p, unix.SIGCONT); err != nil {
			errs = append(errs, fmt.Errorf("continuing process %d: %w; `kill -CONT %d` on the node does it by hand", p.PID, err, p.PID))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := c.withNetwork(func(ns *netns.Namespace) error { return ns.SetNote("") }); err != nil {
		return err
	}
	c.paused = false
	return nil
}

// victims returns the processes of the pod's containers: not its sandbox, and
// not our own stress.
func (c *pauseActuator) victims() ([]netns.Process, error) {
	processes, err := c.machine.of(c.uid, time.Now())
	var out []netns.Process
	for _, p := range processes {
		if p.PID == os.Getpid() {
			return nil, errors.New("it is the helper's own pod")
		}
		if !p.Sandbox && !c.machine.isStress(p.PID) {
			out = append(out, p)
		}
	}
	return out, err
}

// signal sends a signal to a process if it still is the pod's.
func (m *machine) signal(p netns.Process, s unix.Signal) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if !m.finder.Has(p) {
		return nil // the number has gone to another process
	}
	if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// stopped tells whether a process is stopped, or is no more.
func (m *machine) stopped(pid int) bool {
	stat, err := m.stat(pid)
	return err != nil || stat.state == 'T' || stat.state == 'Z' || stat.state == 'X'
}

// procStat is what is read of /proc/PID/stat.
type procStat struct {
	state  byte
	parent int
}

func (m *machine) stat(pid int) (procStat, error) {
	path := filepath.Join(m.finder.Proc, strconv.Itoa(pid), "stat")
	text, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	// The name, in parentheses, may hold anything.
	_, rest, _ := strings.Cut(string(text[max(0, strings.LastIndexByte(string(text), ')')):]), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return procStat{}, fmt.Errorf("file %q says %q", path, text)
	}
	parent, err := strconv.Atoi(fields[1])
	return procStat{fields[0][0], parent}, err
}
