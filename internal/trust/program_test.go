//go:build linux

package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// enabled is the variable of the environment that asks for these tests. Without
// it they are skipped: they take minutes.
const enabled = "MICROSIM_TRUST"

// program is the path of the program, which is built once.
var program string

func TestMain(m *testing.M) {
	if os.Getenv(enabled) == "" {
		fmt.Println("skipped: `make trust` and `make interrupts` run these tests")
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "microsim-trust-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "kubectl-microsim")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../../cmd/kubectl-microsim")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A command is one start of the program.
type command struct {
	args []string
	// redirect is added to the command line by a shell: >/dev/full.
	redirect string
	stdin    io.Reader
	// stdout takes the output in place of the answer.
	stdout io.Writer
	env    []string
	// without names variables that are not set.
	without []string
	// nobody runs it as a user without rights if the tests run as root.
	nobody bool
	// signal is sent when the program waits for the other end of a named pipe.
	signal syscall.Signal
}

// An answer is what became of a command.
type answer struct {
	code           int // -1 after a signal
	signal         syscall.Signal
	stdout, stderr string
	memory         int64 // at most resident, in bytes
	took           time.Duration
	late           bool
}

// The bounds of every command, wide enough for a busy machine.
const (
	withinTime   = 90 * time.Second
	withinMemory = 512 << 20
	withinTalk   = 16 << 10
)

// nobody is the user id of nobody.
const nobody = 65534

func (c *command) prepare(b *box) *exec.Cmd {
	cmd := exec.Command(program, c.args...)
	if c.redirect != "" {
		cmd = exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@" ` + c.redirect, program}, c.args...)...)
	}
	cmd.Dir = b.path("work")
	cmd.Env = b.environment(c.env...)
	for _, name := range c.without {
		kept := cmd.Env[:0]
		for _, v := range cmd.Env {
			if !strings.HasPrefix(v, name+"=") {
				kept = append(kept, v)
			}
		}
		cmd.Env = kept
	}
	cmd.Stdin = c.stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.nobody && os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	// Processes in the background may hold the streams.
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// in runs the command in a box to its end.
func (c *command) in(t *testing.T, b *box) answer {
	t.Helper()
	cmd := c.prepare(b)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if f, ok := c.stdout.(*os.File); ok {
		f.Close() // the reader sees the end with the program's
	}
	var a answer
	overdue := time.AfterFunc(withinTime, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	if c.signal != 0 {
		awaitOpen(cmd.Process.Pid)
		_ = cmd.Process.Signal(c.signal)
	}
	err := cmd.Wait()
	a.late = !overdue.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%q: %v", c.args, err)
	}
	a.took = time.Since(start)
	a.code, a.stdout, a.stderr = cmd.ProcessState.ExitCode(), out.String(), talk.String()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		a.signal = status.Signal()
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		a.memory = usage.Maxrss << 10
	}
	return a
}

// awaitOpen waits until a process waits for the other end of a named pipe, or, if
// the kernel does not tell, until it has had the time to.
func awaitOpen(pid int) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
		for _, path := range threads {
			if place, _ := os.ReadFile(path); string(place) == "wait_for_partner" {
				return
			}
		}
	}
}
