package localsim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// idleStress is ready, begins at a line, and ends with standard input.
func idleStress() error {
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// stressing configures processes whose stress faults start idle processes, and
// lists those.
func stressing(t *testing.T, role string) (c localsim.Config, started func() []*exec.Cmd) {
	var mu sync.Mutex
	var commands []*exec.Cmd
	c = processes("agent", t.TempDir())
	c.CanStress = func(*fault.Fault) error { return nil }
	c.Stress = func(fault.Fault, time.Duration) (*exec.Cmd, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
		mu.Lock()
		defer mu.Unlock()
		commands = append(commands, cmd)
		return cmd, nil
	}
	return c, func() []*exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(commands)
	}
}

func cartTwice() *topology.System {
	cart := topology.NewService("cart")
	cart.Replicas = 2
	return &topology.System{Name: "stressed", Services: []topology.Service{cart, topology.NewService("other")}}
}

func takeCPU() fault.Fault {
	return fault.Fault{Type: fault.CPUStress, Probability: 1, Target: fault.Target{Service: "cart"}}
}

// awaitStressed waits until exactly these replicas are listed as stressed.
func awaitStressed(t *testing.T, d *localsim.Deployment, want ...string) {
	t.Helper()
	var active []runner.Injection
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		active = must(d.Active(t.Context()))
		if len(active) == 1 && slices.Equal(active[0].Replicas, want) || len(active) == 0 && len(want) == 0 {
			return
		}
	}
	t.Fatalf("stressed are %+v, want %q", active, want)
}

func awaitGone(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if cmd.Process.Signal(syscall.Signal(0)) != nil {
			return
		}
	}
	t.Errorf("process %d still runs", cmd.Process.Pid)
}

func TestAStressRunsForEachReplicaUntilItIsCleared(t *testing.T) {
	expectNoLeaks(t)
	c, started := stressing(t, "stress")
	d := up(t, c, cartTwice())
	if err := d.Inject(t.Context(), "busy", takeCPU(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	awaitStressed(t, d, "cart/1", "cart/2")
	// A process that somebody kills acts no longer, and is not said to.
	if err := started()[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, started()[0])
	for end := time.Now().Add(patience); len(must(d.Active(t.Context()))[0].Replicas) != 1; {
		if time.Now().After(end) {
			t.Fatal("a stress that ended is still listed")
		}
	}
	if err := d.Clear(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	awaitStressed(t, d)
	for _, cmd := range started() {
		awaitGone(t, cmd)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

func TestAStressEndsWithItsDeadlineAndItsSystem(t *testing.T) {
	c, started := stressing(t, "stress")
	d := up(t, c, cartTwice())
	if err := d.Inject(t.Context(), "brief", takeCPU(), time.Now().Add(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range started() {
		awaitGone(t, cmd)
	}
	if err := d.Inject(t.Context(), "long", takeCPU(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	awaitStressed(t, d, "cart/1", "cart/2")
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(started()); n != 4 {
		t.Errorf("%d processes were started, want 4", n)
	}
	for _, cmd := range started() {
		awaitGone(t, cmd)
	}
}

func TestAReplicaThatComesLaterIsStressedToo(t *testing.T) {
	c, _ := stressing(t, "stress")
	d := up(t, c, cartTwice())
	if err := d.Inject(t.Context(), "busy", takeCPU(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	more := cartTwice()
	more.Services[0].Replicas = 3
	if err := d.Update(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	awaitStressed(t, d, "cart/1", "cart/2", "cart/3")
	fewer := cartTwice()
	fewer.Services[0].Replicas = 1
	if err := d.Update(t.Context(), fewer); err != nil {
		t.Fatal(err)
	}
	awaitStressed(t, d, "cart/1")
}

func TestAStressThatCannotBeginIsRefused(t *testing.T) {
	c, started := stressing(t, "broken")
	d := up(t, c, cartTwice())
	err := d.Inject(t.Context(), "busy", takeCPU(), time.Time{})
	if err == nil || !strings.Contains(err.Error(), "no luck today") || !strings.Contains(err.Error(), "cart/1") {
		t.Errorf("Inject says %v", err)
	}
	awaitStressed(t, d)
	for _, cmd := range started() {
		awaitGone(t, cmd)
	}
	inside := up(t, inProcess(t.TempDir()), cartTwice())
	busy := takeCPU()
	if err := inside.CanInject(&busy); err == nil || !strings.Contains(err.Error(), "--isolation process") {
		t.Errorf("inprocess says %v", err)
	}
}
