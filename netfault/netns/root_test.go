//go:build root && linux

package netns_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

func TestOpen(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	n, err := netns.Open(netns.Target{Path: lab.Near.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	err = n.Do(func() error {
		if _, err := net.InterfaceByName(netfaulttest.Interface); err != nil {
			return fmt.Errorf("inside the namespace: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName("msim-none"); err == nil {
		t.Error("an interface that nobody made is there")
	}
}

// beChild makes this test binary a process that only waits until stdin ends.
const beChild = "MICROSIM_TEST_BE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(beChild) == "" {
		os.Exit(m.Run())
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func TestOpenByProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), beChild+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, err := netns.Open(netns.Target{PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Check(); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := n.Check(); err == nil {
		t.Error("the process is gone, and its namespace still passes")
	}
}

func TestTheHostIsRefused(t *testing.T) {
	for _, target := range []netns.Target{{PID: os.Getpid()}, {Path: "/proc/self/ns/net"}} {
		if _, err := netns.Open(target); !errors.Is(err, netns.ErrHost) {
			t.Errorf("%s gives %v, want ErrHost", target, err)
		}
	}
	file := filepath.Join(t.TempDir(), "no-namespace")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, "/proc/self/ns/mnt"} {
		if _, err := netns.Open(netns.Target{Path: path}); err == nil {
			t.Errorf("%q is opened as a network namespace", path)
		}
	}
}
