package localsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// roleVariable tells the test binary, which is also the program of replicas and
// of holders, what to be.
const roleVariable = "LOCALSIM_TEST_ROLE"

// patience bounds every wait of the tests; a wait ends as soon as it can.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	run := map[string]func() error{"agent": agent, "holder": holder, "deaf": deaf, "broken": broken, "stress": idleStress,
		"mute": mute, "babbler": babbler, "liar": liar, "stray": stray, "fleeting": fleeting}[os.Getenv(roleVariable)]
	if run == nil {
		os.Exit(m.Run())
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// agent serves one replica, as microsim-agent does.
func agent() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	spec, err := service.ParseSpec([]byte(os.Getenv("MICROSIM_SERVICE")))
	if err != nil {
		return err
	}
	s, err := service.New(spec.Config(nil))
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", os.Getenv("LOCALSIM_TEST_ADDR"))
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	orders := &http.Server{Handler: s.ControlHandler()}
	go orders.Serve(control)
	defer orders.Close()
	fmt.Printf(`{"addr":%q,"control":%q}`+"\n", ln.Addr(), control.Addr())
	return s.Serve(ctx, ln)
}

// deaf tells its address and then heeds no order to end.
func deaf() error {
	signal.Ignore(syscall.SIGTERM)
	ln, err := net.Listen("tcp", os.Getenv("LOCALSIM_TEST_ADDR"))
	if err != nil {
		return err
	}
	fmt.Printf(`{"addr":%q}`+"\n", ln.Addr())
	return http.Serve(ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// broken ends before it listens.
func broken() error { return fmt.Errorf("no luck today") }

// holder holds a system until it is told to end, as `up` does.
func holder() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	d, err := localsim.New(processes("agent", os.Getenv("LOCALSIM_TEST_STATE")))
	if err != nil {
		return err
	}
	deployment, err := d.Up(ctx, runnertest.System("held"), 1)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	select {
	case <-ctx.Done():
	case <-deployment.ShutdownRequested():
	}
	return deployment.Close(context.Background())
}

func newServer(s localsim.Spec) (supervise.Server, error) {
	return service.New(service.Config{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers,
		AllowHosts: s.AllowHosts, Token: s.Token,
	})
}

func inProcess(stateDir string) localsim.Config {
	return localsim.Config{NewServer: newServer, StateDir: stateDir}
}

func processes(role, stateDir string) localsim.Config {
	return localsim.Config{Isolation: localsim.Process, StateDir: stateDir, Command: func(s localsim.Spec) (*exec.Cmd, error) {
		return command(role, s)
	}}
}

func command(role string, s localsim.Spec) (*exec.Cmd, error) {
	spec, err := json.Marshal(service.Spec{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, AllowHosts: s.AllowHosts, Token: s.Token,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "LOCALSIM_TEST_ADDR="+s.Addr, "MICROSIM_SERVICE="+string(spec))
	return cmd, nil
}

func newDeployer(t testing.TB, c localsim.Config) *localsim.Deployer {
	t.Helper()
	d, err := localsim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func up(t testing.TB, c localsim.Config, system *topology.System) *localsim.Deployment {
	t.Helper()
	d, err := newDeployer(t, c).Up(t.Context(), system, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// expectNoLeaks checks at the end of the test that there are no more
// goroutines and descriptors than now.
func expectNoLeaks(t testing.TB) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	t.Cleanup(func() {
		// Goroutines of net/http end a moment after their connections are closed.
		end := time.Now().Add(20 * time.Second)
		for runtime.NumGoroutine() > goroutines || openDescriptors() > descriptors {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Errorf("left are %d goroutines of %d and %d descriptors of %d\n%s",
					runtime.NumGoroutine(), goroutines, openDescriptors(), descriptors, stacks)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// openDescriptors returns the number of open descriptors, or 0 if the system does
// not tell. It leaves out those that the runtime itself keeps open.
func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.Contains(to, "anon_inode") {
			n++
		}
	}
	return n
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
