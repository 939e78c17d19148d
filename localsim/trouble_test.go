//go:build unix

package localsim_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

// startHolder starts a program that holds the system "held", and waits until it
// is ready.
func startHolder(t *testing.T, stateDir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=holder", "LOCALSIM_TEST_STATE="+stateDir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	return cmd
}

func connect(t *testing.T, stateDir string) *control.Client {
	t.Helper()
	c, err := control.Connect(stateDir, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func children(t *testing.T, stateDir string) []registry.Child {
	t.Helper()
	reg, err := registry.Open(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := reg.Find("held")
	if err != nil {
		t.Fatal(err)
	}
	if left := s.Leftover(); len(left) != 4 {
		t.Fatalf("%d processes run, want 4: %v", len(left), left)
	}
	return s.Children
}

// expectNothing checks that neither processes nor state are there.
func expectNothing(t *testing.T, stateDir string, were []registry.Child) {
	t.Helper()
	for _, c := range were {
		if c.Alive() {
			t.Errorf("process %d of %s still runs", c.PID, c.Replica)
		}
	}
	var missing *registry.NotFoundError
	if err := localsim.Down(t.Context(), stateDir, "held", nil); !errors.As(err, &missing) {
		t.Errorf("a second Down says %v, want that there is no such system", err)
	}
}

func TestDownEndsTheSystemOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	holder := startHolder(t, dir)
	were := children(t, dir)
	if err := localsim.Down(t.Context(), dir, "held", nil); err != nil {
		t.Fatal(err)
	}
	expectNothing(t, dir, were)
	if err := holder.Wait(); err != nil {
		t.Errorf("the holder ended with %v", err)
	}
}

func TestDownAfterTheHolderWasKilled(t *testing.T) {
	dir := t.TempDir()
	holder := startHolder(t, dir)
	were := children(t, dir)
	if err := connect(t, dir).Order(t.Context(), "aside", 1, "pause"); err != nil {
		t.Fatal(err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if _, err := control.Connect(dir, "held"); err == nil || !strings.Contains(err.Error(), "down held") {
		t.Errorf("Connect says %v, want how to remove the rest", err)
	}
	if err := localsim.Down(t.Context(), dir, "held", nil); err != nil {
		t.Fatal(err)
	}
	expectNothing(t, dir, were)
}

func TestDownKillsAHolderThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	holder := startHolder(t, dir)
	were := children(t, dir)
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- holder.Wait() }()
	if err := localsim.Down(t.Context(), dir, "held", nil); err != nil {
		t.Fatal(err)
	}
	<-ended
	expectNothing(t, dir, were)
}

// startStray starts a process that has no parent's care.
func startStray(t *testing.T) (*exec.Cmd, chan struct{}) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=deaf", "LOCALSIM_TEST_ADDR=127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return cmd, ended
}

func TestDownKillsLeftChildrenButNoStranger(t *testing.T) {
	dir := t.TempDir()
	child, childEnded := startStray(t)
	stranger, strangerEnded := startStray(t)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := reg.Create("held")
	if err != nil {
		t.Fatal(err)
	}
	own, err := registry.Identify(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// The stranger has the number of a child that ended long ago.
	recycled, err := registry.Identify(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	recycled.Start += "0"
	for _, c := range []registry.Child{{Process: own, Replica: "cart/1"}, {Process: recycled, Replica: "cart/2"}} {
		if err := entry.AddChild(c); err != nil {
			t.Fatal(err)
		}
	}
	forgeHolder(t, dir)
	var taken *registry.ExistsError
	if _, err := reg.Create("held"); !errors.As(err, &taken) || taken.System.Alive {
		t.Errorf("Create beside left processes says %v, want that there is a rest", err)
	}
	if err := localsim.Down(t.Context(), dir, "held", nil); err != nil {
		t.Fatal(err)
	}
	<-childEnded
	select {
	case <-strangerEnded:
		t.Error("a stranger was killed")
	default:
	}
}

// forgeHolder makes the entry one of a process that has ended.
func forgeHolder(t *testing.T, dir string) {
	t.Helper()
	path := dir + "/held/system.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	self := strconv.Itoa(os.Getpid())
	forged := strings.Replace(string(text), `"pid": `+self, `"pid": 4194305`, 1)
	if forged == string(text) {
		t.Fatalf("the entry %s does not name process %s", text, self)
	}
	if err := os.WriteFile(path, []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASecondSystemOfTheSameNameIsRefused(t *testing.T) {
	for name, config := range map[string]func(string) localsim.Config{
		"inprocess": inProcess,
		"process":   func(dir string) localsim.Config { return processes("agent", dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			up(t, config(dir), runnertest.System("held"))
			_, err := newDeployer(t, config(dir)).Up(t.Context(), runnertest.System("held"), 1)
			var exists *registry.ExistsError
			if !errors.As(err, &exists) {
				t.Fatalf("a second Up says %v", err)
			}
			for _, word := range []string{`"held"`, strconv.Itoa(os.Getpid()), "down held --on local"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %s", err, word)
				}
			}
		})
	}
}

func TestAPortThatIsTakenLeavesNothing(t *testing.T) {
	for name, config := range map[string]localsim.Config{"inprocess": inProcess(t.TempDir()), "process": processes("agent", t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			expectNoLeaks(t)
			base := freePorts(t, 6)
			taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+3)))
			if err != nil {
				t.Skipf("the port was taken in the meantime: %v", err)
			}
			config.PortBase = base
			_, err = newDeployer(t, config).Up(t.Context(), runnertest.System("held"), 1)
			taken.Close()
			if err == nil || !strings.Contains(err.Error(), strconv.Itoa(base+3)) || !strings.Contains(err.Error(), "--port-base") || !strings.Contains(err.Error(), "back/2") {
				t.Errorf("Up says %v, want service, port and remedy", err)
			}
			d := up(t, config, runnertest.System("held"))
			for i, r := range must(d.Replicas(t.Context())) {
				if want := "http://127.0.0.1:" + strconv.Itoa(base+1+i); r.URL != want {
					t.Errorf("%s/%d is at %s, want %s", r.Service, r.Index, r.URL, want)
				}
			}
			if want := "http://127.0.0.1:" + strconv.Itoa(base); d.ControlURL() != want {
				t.Errorf("the control plane is at %s, want %s", d.ControlURL(), want)
			}
		})
	}
}

// freePorts returns the first of n ports in a row that are free.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for base := 20000 + os.Getpid()%500*20; base < 32000; base += n {
		var open []net.Listener
		for i := range n {
			ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+i)))
			if err != nil {
				break
			}
			open = append(open, ln)
		}
		for _, ln := range open {
			ln.Close()
		}
		if len(open) == n {
			return base
		}
	}
	t.Skip("there are no free ports in a row")
	return 0
}

func TestAProcessThatDoesNotStartIsExplained(t *testing.T) {
	expectNoLeaks(t)
	_, err := newDeployer(t, processes("broken", t.TempDir())).Up(t.Context(), runnertest.System("held"), 1)
	if err == nil || !strings.Contains(err.Error(), "no luck today") || !strings.Contains(err.Error(), "service ") {
		t.Errorf("Up says %v, want the service and its last words", err)
	}
}

func TestAProcessThatDoesNotHeedIsKilled(t *testing.T) {
	expectNoLeaks(t)
	config := processes("deaf", t.TempDir())
	config.Grace = 50 * time.Millisecond
	d := up(t, config, runnertest.System("held"))
	there := must(d.Replicas(t.Context()))
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range there {
		if p, err := registry.Identify(r.PID); err == nil && p.Alive() {
			t.Errorf("process %d still runs", r.PID)
		}
	}
}

func TestAStartThatIsCancelledAtAnyStageLeavesNothing(t *testing.T) {
	for stage := range 4 {
		expectNoLeaks(t)
		ctx, cancel := context.WithCancel(t.Context())
		dir := t.TempDir()
		config := processes("agent", dir)
		config.Command = func(s localsim.Spec) (*exec.Cmd, error) {
			// The supervisors of replicas call at the same time.
			if s.Service.Name+strconv.Itoa(s.Replica) == []string{"front1", "back1", "back2", "aside1"}[stage] {
				cancel()
			}
			return command("agent", s)
		}
		_, err := newDeployer(t, config).Up(ctx, runnertest.System("held"), 1)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at stage %d, Up says %v", stage, err)
		}
		reg := must(registry.Open(dir))
		if left := must(reg.List()); len(left) > 0 {
			t.Errorf("left is %+v", left)
		}
	}
}

func TestTheEndOfAProcessIsRecorded(t *testing.T) {
	d := up(t, processes("agent", ""), runnertest.System("held"))
	victim := must(d.Replicas(t.Context()))[3]
	process, err := os.FindProcess(victim.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(d.Outages()) == 0 || d.Outages()[0].Ready.IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("outages are %+v", d.Outages())
		}
	}
	r := d.Outages()[0]
	if r.Service != "aside" || !strings.Contains(r.Cause, "killed") || r.Detected.Before(r.Down) || !r.Ready.After(r.Detected) {
		t.Errorf("the outages is %+v", r)
	}
	if now := must(d.Replicas(t.Context()))[3]; now.URL != victim.URL || now.Restarts != 1 || now.PID == victim.PID {
		t.Errorf("the replica is %+v, want another process at %s", now, victim.URL)
	}
}

func TestKillIsActiveUntilTheVictimIsBack(t *testing.T) {
	d := up(t, processes("agent", ""), runnertest.System("held"))
	kill := fault.Fault{Type: fault.Kill, Probability: 1, Target: fault.Target{Service: "back"}}
	if err := d.Inject(t.Context(), "round-1", kill, time.Time{}); err != nil {
		t.Fatal(err)
	}
	active := must(d.Active(t.Context()))
	if len(active) != 1 || len(active[0].Replicas) != 2 {
		t.Errorf("active are %+v, want the kill of two replicas", active)
	}
	for end := time.Now().Add(patience); len(must(d.Active(t.Context()))) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the kill does not end")
		}
	}
	if n := len(d.Outages()); n != 2 {
		t.Errorf("%d outages, want 2", n)
	}
	for _, r := range must(d.Replicas(t.Context())) {
		if r.State != runner.Ready {
			t.Errorf("%s/%d is %s", r.Service, r.Index, r.State)
		}
	}
}

// A deployer that is given no stores has none.
func TestDataStoresAreRefused(t *testing.T) {
	system := runnertest.System("stores")
	system.Services[1].Kind = topology.Redis
	_, err := newDeployer(t, inProcess(t.TempDir())).Up(t.Context(), system, 1)
	if err == nil || !strings.Contains(err.Error(), "kind redis") || !strings.Contains(err.Error(), `"back"`) {
		t.Errorf("Up says %v", err)
	}
}
