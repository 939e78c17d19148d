// Package runnertest is the suite that every implementation of a Deployer and
// its Deployment passes.
package runnertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// patience bounds every wait of the suite; a wait ends as soon as it can.
const patience = 60 * time.Second

// Deployer checks an implementation of runner.Deployer. Each call of newDeployer
// returns a fresh one; URLs of replicas must be reachable from the test.
func Deployer(t *testing.T, newDeployer func(t *testing.T) runner.Deployer) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, runner.Deployer)
	}{
		{"every replica is ready and answers", testReady},
		{"the end of the context does not end the deployment", testContextEnds},
		{"a fault acts until it is cleared", testInjectAndClear},
		{"what is prepared acts when it is injected, not before", testPrepare},
		{"a fault ends at its deadline", testDeadline},
		{"a fault on one replica leaves the others alone", testOneReplica},
		{"faults that are not possible are refused", testRefused},
		{"a killed replica comes back with its faults", testKill},
		{"a paused replica goes on when cleared", testPause},
		{"a paused replica goes on at the deadline", testPauseDeadline},
		{"nothing is left after close", testClose},
		{"close with a context that has ended leaves nothing", testCloseLate},
		{"close during a pause leaves nothing", testClosePaused},
		{"a start that is cancelled leaves nothing", testCancelled},
		{"two systems live side by side", testTwoSystems},
		{"methods may be called at the same time", testAtTheSameTime},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newDeployer(t)) })
	}
}

// System is the system that the suite deploys: front calls back, which has two
// replicas; aside is called by nobody.
func System(name string) *topology.System {
	s := &topology.System{Name: name, Services: []topology.Service{
		topology.NewService("front", topology.CallTo("back")), topology.NewService("back"), topology.NewService("aside"),
	}}
	s.Services[1].Replicas = 2
	return s
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func deploy(t *testing.T, d runner.Deployer, system *topology.System) runner.Deployment {
	t.Helper()
	deployment, err := d.Deploy(bounded(t), system, 1)
	if err != nil {
		t.Fatalf("Deploy: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := deployment.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return deployment
}

func replicas(t *testing.T, d runner.Deployment) []runner.Replica {
	t.Helper()
	list, err := d.Replicas(bounded(t))
	if err != nil {
		t.Fatalf("Replicas: %v", err)
	}
	return list
}

// replica returns one replica of a service.
func replica(t *testing.T, d runner.Deployment, service string, index int) runner.Replica {
	t.Helper()
	for _, r := range replicas(t, d) {
		if r.Service == service && r.Index == index {
			return r
		}
	}
	t.Fatalf("there is no replica %s/%d", service, index)
	return runner.Replica{}
}

// get asks a replica and returns the status, or 0 and the error.
func get(url string, timeout time.Duration) (int, error) {
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func expectStatus(t *testing.T, url string, want int) {
	t.Helper()
	if got, err := get(url, patience); got != want {
		t.Fatalf("GET %s/ = %d, %v; want %d", url, got, err, want)
	}
}

// eventually waits until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v it is still not so that %s", patience, what)
		}
	}
}

// expectGone checks that nobody listens where the replicas did.
func expectGone(t *testing.T, gone []runner.Replica) {
	t.Helper()
	for _, r := range gone {
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			continue
		}
		conn.Close()
		// If addresses exist only as long as their system, packets to a removed one leave
		// this machine, and a gateway may accept any connection.
		ip := net.ParseIP(u.Hostname())
		if status, err := get(r.URL+control.HealthPath, patience); ip.IsLoopback() || err == nil && status == http.StatusOK || isTimeout(err) {
			t.Errorf("%s/%d still listens at %s", r.Service, r.Index, r.URL)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func errorFault(service string) fault.Fault {
	return fault.Fault{Type: fault.Error, Target: fault.Target{Service: service}, Probability: 1, Args: fault.Args{Status: 503}}
}

func inject(t *testing.T, d runner.Deployment, id string, f fault.Fault, deadline time.Time) {
	t.Helper()
	if err := d.Inject(bounded(t), id, f, deadline); err != nil {
		t.Fatalf("Inject(%q): %v", id, err)
	}
}

func clearFault(t *testing.T, d runner.Deployment, id string) {
	t.Helper()
	if err := d.Clear(bounded(t), id); err != nil {
		t.Fatalf("Clear(%q): %v", id, err)
	}
}

func active(t *testing.T, d runner.Deployment) []runner.Injection {
	t.Helper()
	list, err := d.Active(bounded(t))
	if err != nil {
		t.Fatalf("Active: %v", err)
	}
	return list
}

func testReady(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("ready"))
	var got []string
	urls := map[string]bool{}
	for _, r := range replicas(t, d) {
		got = append(got, fmt.Sprintf("%s/%d %s %d", r.Service, r.Index, r.State, r.Restarts))
		urls[r.URL] = true
		if r.Since.IsZero() || r.Since.After(time.Now()) {
			t.Errorf("%s/%d is ready since %v", r.Service, r.Index, r.Since)
		}
		expectStatus(t, r.URL, http.StatusOK)
	}
	want := []string{"front/1 ready 0", "back/1 ready 0", "back/2 ready 0", "aside/1 ready 0"}
	if !slices.Equal(got, want) {
		t.Errorf("replicas are %q, want %q", got, want)
	}
	if len(urls) != len(want) {
		t.Errorf("%d replicas share %d URLs", len(want), len(urls))
	}
	if list := active(t, d); len(list) != 0 {
		t.Errorf("faults %v act though none was injected", list)
	}
}

func testContextEnds(t *testing.T, deployer runner.Deployer) {
	ctx, cancel := context.WithCancel(t.Context())
	d, err := deployer.Deploy(ctx, System("outlives"), 1)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close(bounded(t)) }()
	expectStatus(t, replica(t, d, "front", 1).URL, http.StatusOK)
}

func testInjectAndClear(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("faulty"))
	front, back := replica(t, d, "front", 1).URL, replica(t, d, "back", 2).URL
	inject(t, d, "one", errorFault("back"), time.Time{})
	expectStatus(t, back, http.StatusServiceUnavailable)
	if status, err := get(front, patience); status < 500 {
		t.Errorf("the caller of a broken service answers %d, %v; want an error", status, err)
	}
	expectStatus(t, replica(t, d, "aside", 1).URL, http.StatusOK)
	list := active(t, d)
	if len(list) != 1 || list[0].ID != "one" || list[0].Fault.Type != fault.Error || !slices.Equal(list[0].Replicas, []string{"back/1", "back/2"}) {
		t.Errorf("active are %+v, want fault one on back/1 and back/2", list)
	}
	if len(list) == 1 && list[0].Hits != 2 && list[0].Hits != -1 {
		t.Errorf("the fault has acted %d times, want 2", list[0].Hits)
	}
	if err := d.Inject(bounded(t), "one", errorFault("aside"), time.Time{}); err == nil {
		t.Error("a second fault with the same id was accepted")
	}
	clearFault(t, d, "one")
	expectStatus(t, back, http.StatusOK)
	expectStatus(t, front, http.StatusOK)
	if list := active(t, d); len(list) != 0 {
		t.Errorf("faults %v act after all were cleared", list)
	}
	clearFault(t, d, "one")
	clearFault(t, d, "never there")
	inject(t, d, "one", errorFault("aside"), time.Time{})
	expectStatus(t, replica(t, d, "aside", 1).URL, http.StatusServiceUnavailable)
}

// testPrepare checks that what faults need is made ready without acting. All
// targets that run this suite have something to prepare.
func testPrepare(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("prepared"))
	preparer, ok := d.(runner.Preparer)
	if !ok {
		t.Fatalf("%T is not a runner.Preparer", d)
	}
	faults := []fault.Fault{errorFault("aside")}
	partition := fault.Fault{Type: fault.NetPartition, Target: fault.Target{From: "front", Service: "back"}, Probability: 1}
	partitions := d.CanInject(&partition) == nil
	if partitions {
		faults = append(faults, partition, partition)
	}
	if err := preparer.Prepare(bounded(t), faults); err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	if list := active(t, d); len(list) != 0 {
		t.Errorf("faults %v act though they were only prepared", list)
	}
	for _, r := range replicas(t, d) {
		expectStatus(t, r.URL, http.StatusOK)
	}
	inject(t, d, "broken", faults[0], time.Time{})
	expectStatus(t, replica(t, d, "aside", 1).URL, http.StatusServiceUnavailable)
	clearFault(t, d, "broken")
	front := replica(t, d, "front", 1).URL
	for round := range 2 {
		if !partitions {
			break
		}
		id := fmt.Sprintf("partition-%d", round)
		inject(t, d, id, partition, time.Time{})
		if status, err := get(front, 300*time.Millisecond); status == http.StatusOK {
			t.Errorf("across a partition the caller answers %d, %v", status, err)
		}
		clearFault(t, d, id)
		expectStatus(t, front, http.StatusOK)
	}
	unknown := errorFault("nowhere")
	if err := preparer.Prepare(bounded(t), []fault.Fault{unknown}); err == nil {
		t.Error("Prepare accepts an unknown service")
	}
}

func testDeadline(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("deadline"))
	url := replica(t, d, "aside", 1).URL
	deadline := time.Now().Add(time.Second)
	inject(t, d, "short", errorFault("aside"), deadline)
	if status, _ := get(url, patience); status != http.StatusServiceUnavailable && time.Now().Before(deadline) {
		t.Errorf("before the deadline the service answers %d, want 503", status)
	}
	eventually(t, "the fault has ended", func() bool { status, _ := get(url, patience); return status == http.StatusOK })
	if early := time.Until(deadline); early > 0 {
		t.Errorf("the fault ended %v before its deadline", early)
	}
	eventually(t, "no fault is listed", func() bool { return len(active(t, d)) == 0 })
	clearFault(t, d, "short")
	if err := d.Inject(bounded(t), "late", errorFault("aside"), time.Now().Add(-time.Second)); err == nil {
		t.Error("a fault was accepted whose deadline was over")
	}
}

func testOneReplica(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("single"))
	f := errorFault("back")
	f.Target.Replica = 2
	inject(t, d, "second", f, time.Time{})
	expectStatus(t, replica(t, d, "back", 1).URL, http.StatusOK)
	expectStatus(t, replica(t, d, "back", 2).URL, http.StatusServiceUnavailable)
}

func testRefused(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("refused"))
	unknown := errorFault("back")
	unknown.Type = "meteor"
	missing := errorFault("back")
	missing.Target.Replica = 3
	for name, f := range map[string]fault.Fault{"service": errorFault("nowhere"), "type": unknown, "replica": missing} {
		if err := d.CanInject(&f); err == nil {
			t.Errorf("CanInject accepts an unknown %s", name)
		}
		if err := d.Inject(bounded(t), "wrong", f, time.Time{}); err == nil {
			t.Errorf("Inject accepts an unknown %s", name)
		}
	}
	if list := active(t, d); len(list) != 0 {
		t.Errorf("after refusals, %v act", list)
	}
	for _, r := range replicas(t, d) {
		expectStatus(t, r.URL, http.StatusOK)
	}
}

// onProcess returns a fault on the process, or skips the test where there are
// none.
func onProcess(t *testing.T, d runner.Deployment, f fault.Fault) fault.Fault {
	t.Helper()
	f.Probability = 1
	if err := d.CanInject(&f); err != nil {
		t.Skipf("not possible here: %v", err)
	}
	return f
}

func testKill(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("killed"))
	kill := onProcess(t, d, fault.Fault{Type: fault.Kill, Target: fault.Target{Service: "back", Replica: 1}})
	inject(t, d, "broken", errorFault("back"), time.Time{})
	before := replica(t, d, "back", 1)
	inject(t, d, "kill", kill, time.Time{})
	eventually(t, "the replica has been started again", func() bool {
		r := replica(t, d, "back", 1)
		return r.State == runner.Ready && r.Restarts > before.Restarts
	})
	after := replica(t, d, "back", 1)
	if after.PID == before.PID && after.PID != 0 {
		t.Errorf("process %d was not killed", after.PID)
	}
	expectStatus(t, after.URL, http.StatusServiceUnavailable)
	clearFault(t, d, "kill")
	clearFault(t, d, "broken")
	expectStatus(t, after.URL, http.StatusOK)
	expectStatus(t, replica(t, d, "front", 1).URL, http.StatusOK)
}

func pauseAside() fault.Fault {
	return fault.Fault{Type: fault.Pause, Target: fault.Target{Service: "aside"}}
}

func testPause(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("paused"))
	pause := onProcess(t, d, pauseAside())
	inject(t, d, "pause", pause, time.Time{})
	paused := replica(t, d, "aside", 1)
	if paused.State != runner.Paused {
		t.Errorf("a paused replica is %q", paused.State)
	}
	if status, err := get(paused.URL, 300*time.Millisecond); err == nil {
		t.Errorf("a paused replica answers %d", status)
	}
	// A fault that is injected during the pause acts after it.
	inject(t, d, "broken", errorFault("aside"), time.Time{})
	clearFault(t, d, "pause")
	expectStatus(t, paused.URL, http.StatusServiceUnavailable)
	clearFault(t, d, "broken")
	expectStatus(t, paused.URL, http.StatusOK)
	if r := replica(t, d, "aside", 1); r.State != runner.Ready || r.Restarts != 0 || r.PID != paused.PID {
		t.Errorf("after the pause there is %+v, want the same process, ready", r)
	}
}

func testPauseDeadline(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("pausing"))
	pause := onProcess(t, d, pauseAside())
	inject(t, d, "pause", pause, time.Now().Add(300*time.Millisecond))
	eventually(t, "the replica is ready again", func() bool { return replica(t, d, "aside", 1).State == runner.Ready })
	expectStatus(t, replica(t, d, "aside", 1).URL, http.StatusOK)
}

func testClose(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("closed"))
	there := replicas(t, d)
	inject(t, d, "broken", errorFault("back"), time.Time{})
	for range 2 {
		if err := d.Close(bounded(t)); err != nil {
			t.Fatalf("Close: %v", err)
		}
		expectGone(t, there)
	}
	if err := d.Inject(bounded(t), "late", errorFault("back"), time.Time{}); err == nil {
		t.Error("a fault was injected after Close")
	}
	// The name is free again.
	again := deploy(t, deployer, System("closed"))
	expectStatus(t, replica(t, again, "front", 1).URL, http.StatusOK)
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func testCloseLate(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("late"))
	there := replicas(t, d)
	first := d.Close(ended())
	second := d.Close(bounded(t))
	var left *runner.CleanupError
	if errors.As(second, &left) {
		t.Errorf("Close, called again with time, says %v; before that %v", second, first)
	}
	expectGone(t, there)
}

func testClosePaused(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("asleep"))
	pause := onProcess(t, d, pauseAside())
	there := replicas(t, d)
	inject(t, d, "pause", pause, time.Time{})
	if err := d.Close(bounded(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	expectGone(t, there)
}

func testCancelled(t *testing.T, deployer runner.Deployer) {
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		d, err := deployer.Deploy(ctx, System("cancelled"), 1)
		cancel()
		if err == nil {
			there := replicas(t, d)
			if err := d.Close(bounded(t)); err != nil {
				t.Errorf("Close: %v", err)
			}
			expectGone(t, there)
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %v, Deploy says %v, which does not name the cause", after, err)
		}
	}
	// The next deployment finds nothing in its way.
	d := deploy(t, deployer, System("cancelled"))
	expectStatus(t, replica(t, d, "front", 1).URL, http.StatusOK)
}

func testTwoSystems(t *testing.T, deployer runner.Deployer) {
	one, two := deploy(t, deployer, System("left")), deploy(t, deployer, System("right"))
	inject(t, one, "same", errorFault("back"), time.Time{})
	expectStatus(t, replica(t, two, "back", 1).URL, http.StatusOK)
	inject(t, two, "same", errorFault("aside"), time.Time{})
	if err := one.Close(bounded(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	expectStatus(t, replica(t, two, "front", 1).URL, http.StatusOK)
	expectStatus(t, replica(t, two, "aside", 1).URL, http.StatusServiceUnavailable)
}

func testAtTheSameTime(t *testing.T, deployer runner.Deployer) {
	d := deploy(t, deployer, System("busy"))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			id := fmt.Sprintf("fault-%d", i)
			f := fault.Fault{
				Type: fault.Latency, Target: fault.Target{Service: "back"}, Probability: 1,
				Args: fault.Args{Delay: dist.Delay{Fixed: 1e6}},
			}
			if err := d.Inject(t.Context(), id, f, time.Now().Add(patience)); err != nil {
				t.Errorf("Inject: %v", err)
			}
			if _, err := d.Active(t.Context()); err != nil {
				t.Errorf("Active: %v", err)
			}
			if _, err := d.Replicas(t.Context()); err != nil {
				t.Errorf("Replicas: %v", err)
			}
			if err := d.Clear(t.Context(), id); err != nil {
				t.Errorf("Clear: %v", err)
			}
		})
	}
	wait.Wait()
	if list := active(t, d); len(list) != 0 {
		t.Errorf("faults %v act after all were cleared", list)
	}
	expectStatus(t, replica(t, d, "front", 1).URL, http.StatusOK)
}
