//go:build root && linux

package emulate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// helperEnv names the namespace in which the test binary, run again, emulates
// what it reads from its standard input.
const helperEnv = "EMULATE_HELPER_NAMESPACE"

// helperMain applies each state of its input, answers with a line, and at the
// end of the input prints its statistics and clears.
func helperMain() int {
	err := func() error {
		ns, err := netns.GetFromPath(os.Getenv(helperEnv))
		if err != nil {
			return err
		}
		b := New(ns)
		for in := json.NewDecoder(os.Stdin); ; {
			var s netfault.State
			if err := in.Decode(&s); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if _, err := b.Apply(context.Background(), s); err != nil {
				return err
			}
			fmt.Println("applied")
		}
		if err := json.NewEncoder(os.Stdout).Encode(b.Stats()); err != nil {
			return err
		}
		return b.Close()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// helper is another process that emulates.
type helper struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startHelper(t testing.TB, n *netfaulttest.Node) *helper {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{t: t, cmd: exec.Command(exe)}
	h.cmd.Env = append(os.Environ(), helperEnv+"="+n.Path())
	h.cmd.Stderr = os.Stderr
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if h.cmd.ProcessState == nil {
			h.kill()
		}
	})
	return h
}

func (h *helper) apply(s netfault.State) {
	h.t.Helper()
	if err := json.NewEncoder(h.in).Encode(s); err != nil {
		h.t.Fatal(err)
	}
	if line, err := h.out.ReadString('\n'); line != "applied\n" {
		h.t.Fatalf("the helper said %q, %v", line, err)
	}
}

// stop lets the process clear and end.
func (h *helper) stop() Stats {
	h.t.Helper()
	if err := h.in.Close(); err != nil {
		h.t.Fatal(err)
	}
	var s Stats
	if err := json.NewDecoder(h.out).Decode(&s); err != nil {
		h.t.Fatal(err)
	}
	if err := h.cmd.Wait(); err != nil {
		h.t.Fatalf("the helper ended with %v", err)
	}
	return s
}

// kill is kill -9.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait() // the error says that it was killed
}
