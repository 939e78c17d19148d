//go:build root && linux

package agent

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Environment variables that make this test binary something else.
const (
	// beAgent makes it the agent, so that there are processes to kill.
	beAgent = "MICROSIM_TEST_BE_AGENT"
	// inWorld says that it runs in a world of processes of its own, so that no
	// test sees the pods of clusters that run on this machine.
	inWorld = "MICROSIM_TEST_IN_WORLD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(beAgent) != "":
		os.Exit(runAsAgent())
	case os.Getenv(inWorld) == "":
		os.Exit(runInWorld())
	}
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", 0, "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mounting /proc:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func runAsAgent() int {
	ctx, stop := UntilSignal(os.Stderr, func() { os.Exit(ExitInterrupted) })
	defer stop()
	if err := Run(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runInWorld runs the tests as the first process of a new namespace of processes.
func runInWorld() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inWorld+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "testing in a world of processes of its own (needs root):", err)
		return 1
	}
	return 0
}
