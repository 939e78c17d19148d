package nodeagent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/workload/stress"
)

// stressName is what a process of ours calls itself, so that it is known again.
const stressName = "microsim-stress"

// stressActuator takes resources away from one pod: by processes in the cgroups of
// its first container, which count against its limits.
type stressActuator struct {
	machine *machine
	uid     string
	running map[faultKey]*stressProcess
}

func (c *stressActuator) takes(t fault.Type) bool {
	entry, _ := fault.Lookup(t)
	return entry.Layer == fault.OnHost
}

func (c *stressActuator) set(ctx context.Context, want []desiredFault) ([]result, error) {
	if c.running == nil {
		c.running = map[faultKey]*stressProcess{}
	}
	keep := map[faultKey]bool{}
	results := make([]result, len(want))
	processes := make([]*stressProcess, len(want))
	var starting sync.WaitGroup // together, as each takes a while
	for n, w := range want {
		key := faultKey{w.owner, w.fault.ID}
		keep[key] = true
		before := c.running[key]
		starting.Go(func() { processes[n], results[n] = c.keep(ctx, before, w) })
	}
	starting.Wait()
	for n, w := range want {
		if key := (faultKey{w.owner, w.fault.ID}); processes[n] != nil {
			c.running[key] = processes[n]
		} else {
			delete(c.running, key)
		}
	}
	for key, p := range c.running {
		if !keep[key] {
			p.end()
			delete(c.running, key)
		}
	}
	return results, nil
}

func (c *stressActuator) Close(context.Context) error {
	for key, p := range c.running {
		p.end()
		delete(c.running, key)
	}
	return nil
}

// keep makes sure that the process of a fault runs, and returns it. One that
// ended by itself is started again: at once if its container did, else the next
// time.
func (c *stressActuator) keep(ctx context.Context, p *stressProcess, w desiredFault) (*stressProcess, result) {
	config, err := stress.FromFault(w.fault.Fault)
	acts := result{by: "processes", effective: config.String()}
	if p != nil && err == nil && p.config == config && p.deadline.Equal(w.fault.Deadline) && p.alive() {
		return p, acts
	}
	if p != nil {
		endedItself := !p.alive()
		p.end()
		if endedItself && !p.containerEnded {
			return nil, result{err: fmt.Errorf("its process ended, and is started again: %w", p.failure())}
		}
	}
	if err == nil {
		p, err = c.machine.startStress(ctx, c.uid, config, w.fault.Deadline)
	}
	if err != nil {
		return nil, result{err: err}
	}
	return p, acts
}

// stressProcess is a process that takes resources away.
type stressProcess struct {
	config   stress.Config
	deadline time.Time
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	stdin    io.WriteCloser
	// anchor is the first process of the container, without which ours ends:
	// otherwise the runtime could not remove the container's cgroup.
	anchor  *os.File
	watched chan struct{} // closed when the anchor has ended, or is not watched any more
	done    chan struct{} // closed when the process has ended

	err            error // of the process; read after done
	containerEnded bool  // read after watched
}

// startStress starts a process, moves it into the pod's cgroups, and lets it begin.
func (m *machine) startStress(ctx context.Context, uid string, config stress.Config, deadline time.Time) (*stressProcess, error) {
	first, anchor, err := m.firstContainer(uid)
	if err != nil {
		return nil, err
	}
	p := &stressProcess{config: config, deadline: deadline, anchor: anchor, watched: make(chan struct{}), done: make(chan struct{})}
	var dir *os.File
	if config.Type == fault.IOStress {
		if dir = m.tempDir(first.PID); dir != nil {
			defer dir.Close()
			config.Dir = "/proc/self/fd/3"
		}
	}
	ready, err := p.start(config, dir)
	if err != nil {
		anchor.Close()
		return nil, fmt.Errorf("starting a process that stresses: %w", err)
	}
	go p.watch() // end waits for it
	err = p.waitReady(ctx, ready)
	if err == nil {
		err = m.moveInto(p.cmd.Process.Pid, first)
	}
	if err == nil {
		_, err = io.WriteString(p.stdin, "go\n")
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("beginning to stress the pod: %w", err)
	}
	return p, nil
}

// start runs this program again. The kernel kills it when the thread that
// started it ends, so that thread waits for it.
func (p *stressProcess) start(config stress.Config, dir *os.File) (ready *os.File, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	lasting := time.Duration(0)
	if !p.deadline.IsZero() {
		// We end it at its deadline; by itself it ends a little later.
		lasting = max(time.Until(p.deadline), 0) + time.Second
	}
	p.cmd = exec.Command(self)
	p.cmd.Args = append([]string{stressName}, stress.Args(config, lasting)...)
	p.cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=64MiB")
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if dir != nil {
		p.cmd.ExtraFiles = []*os.File{dir}
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = stdout
	started := make(chan error)
	go func() { // end waits for it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		stdout.Close()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		out.Close()
		close(p.done)
	}()
	return out, <-started
}

// waitReady waits until the process has all its threads.
func (p *stressProcess) waitReady(ctx context.Context, out *os.File) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := out.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting until the process is ready: %w: %w", err, p.failure())
	}
	return nil
}

// watch kills the process when the container's first one has ended.
func (p *stressProcess) watch() {
	defer close(p.watched)
	raw, err := p.anchor.SyscallConn()
	if err != nil {
		return
	}
	polled := false
	// The descriptor becomes readable when the process ends; Close ends the wait.
	err = raw.Read(func(uintptr) bool {
		defer func() { polled = true }()
		return polled
	})
	if p.containerEnded = err == nil; p.containerEnded {
		_ = p.cmd.Process.Kill() // it may have ended, too
	}
}

func (p *stressProcess) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// failure says why the process has ended.
func (p *stressProcess) failure() error {
	select {
	case <-p.done:
	case <-time.After(time.Second):
		return errors.New("it says nothing")
	}
	if text := strings.TrimSpace(p.stderr.String()); text != "" {
		return fmt.Errorf("%w: %s", p.err, text)
	}
	if p.err == nil {
		return errors.New("its time was over")
	}
	return fmt.Errorf("%w (the pod's limit of memory may have been reached)", p.err)
}

// end kills the process and waits for it.
func (p *stressProcess) end() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
	p.stdin.Close()
	p.anchor.Close()
	<-p.watched
}

// isStress tells whether a process is one of ours.
func (m *machine) isStress(pid int) bool {
	text, err := os.ReadFile(filepath.Join(m.finder.Proc, strconv.Itoa(pid), "cmdline"))
	return err == nil && strings.HasPrefix(string(text), stressName+"\x00stress\x00")
}

// killStresses ends what helpers before this one have left in pods. The kernel
// has ended it with them, so this finds something only where it could not.
func killStresses(m *machine) error {
	processes, err := m.table.since(time.Now())
	if err != nil {
		return err
	}
	for _, p := range processes {
		world, err := worldOf(m.finder.Proc, p.PID)
		if err != nil || world != m.world || !m.isStress(p.PID) {
			continue
		}
		m.log.Info("ends a stress that was left", "pid", p.PID)
		if err := m.signal(p, unix.SIGKILL); err != nil {
			return fmt.Errorf("ending the stress %d that was left: %w", p.PID, err)
		}
	}
	return nil
}
