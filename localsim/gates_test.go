package localsim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault/edge"
)

const ms = time.Millisecond

// openGates counts the gates that have been started and not closed, and those
// that have been started.
type openGates struct{ n, started atomic.Int64 }

type countedGate struct {
	*edge.Edge
	open *openGates
}

func (g countedGate) Close() error {
	g.open.n.Add(-1)
	return g.Edge.Close()
}

// applyGates lets the systems of a configuration have gates.
func (o *openGates) applyGates(c localsim.Config) localsim.Config {
	c.CanGate = edge.Can
	c.NewGate = func(upstream string, seed uint64) (localsim.Gate, error) {
		e, err := edge.Start("127.0.0.1", upstream, seed)
		if err != nil {
			return nil, err
		}
		o.n.Add(1)
		o.started.Add(1)
		return countedGate{e, o}, nil
	}
	return c
}

// shop is a system in which web and api call cart, which has two replicas. A
// call gives up after half a second.
func shop() *topology.System {
	step := topology.CallTo("cart")
	step.Call.Timeout = unit.Duration(500 * ms)
	s := &topology.System{Name: "shop", Services: []topology.Service{
		topology.NewService("web", step), topology.NewService("api", step), topology.NewService("cart"),
	}}
	s.Services[2].Replicas = 2
	return s
}

// eachIsolation runs a test on systems with gates in both isolations.
func eachIsolation(t *testing.T, run func(t *testing.T, d *localsim.Deployment)) {
	for name, config := range map[string]localsim.Config{"inprocess": inProcess(""), "process": processes("agent", "")} {
		t.Run(name, func(t *testing.T) {
			expectNoLeaks(t)
			open := &openGates{}
			d := up(t, open.applyGates(config), shop())
			run(t, d)
			if err := d.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if n := open.n.Load(); n != 0 {
				t.Errorf("%d gates are left", n)
			}
		})
	}
}

func urlOf(t *testing.T, d *localsim.Deployment, service string) string {
	t.Helper()
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	urls := status.URLs()[service]
	if len(urls) == 0 {
		t.Fatalf("service %q has no URL", service)
	}
	return urls[0]
}

// ask sends a request and returns the status and how long it took.
func ask(t *testing.T, url string) (int, time.Duration) {
	t.Helper()
	began := time.Now()
	resp, err := http.Get(url + "/")
	if err != nil {
		return 0, time.Since(began)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, time.Since(began)
	}
	return resp.StatusCode, time.Since(began)
}

// fastest sends several requests, which must all get the status, and returns the
// shortest time. A fault delays each of them; a busy machine delays only some.
func fastest(t *testing.T, url string, want int) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 5 {
		status, d := ask(t, url)
		if status != want {
			t.Errorf("GET %s answers %d after %v, want %d", url, status, d, want)
		}
		took = append(took, d)
	}
	return slices.Min(took)
}

func inject(t *testing.T, d *localsim.Deployment, id string, f fault.Fault) {
	t.Helper()
	if f.Probability == 0 {
		f.Probability = 1
	}
	if err := d.Inject(t.Context(), id, f, time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func clearFault(t *testing.T, d *localsim.Deployment, id string) {
	t.Helper()
	if err := d.Clear(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func hitsOf(t *testing.T, d *localsim.Deployment, id string) int64 {
	t.Helper()
	active, err := d.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range active {
		if in.ID == id {
			return in.Hits
		}
	}
	t.Fatalf("fault %q does not act", id)
	return 0
}

// A delay on an edge is measured before, during and after, and spares others.
func TestDelayOnAnEdge(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		web, api := urlOf(t, d, "web"), urlOf(t, d, "api")
		before := fastest(t, web, 200)
		inject(t, d, "slow", fault.Fault{
			Type: fault.NetDelay, Target: fault.Target{Service: "cart", From: "web"}, Args: fault.Args{Delay: dist.Fixed(100 * ms)},
		})
		during, other := fastest(t, web, 200), fastest(t, api, 200)
		if n := hitsOf(t, d, "slow"); n < 5 {
			t.Errorf("%d hits are counted of 5 requests", n)
		}
		clearFault(t, d, "slow")
		after := fastest(t, web, 200)
		t.Logf("before %v, during %v (other caller %v), after %v", before, during, other, after)
		if during < 100*ms || before > 80*ms || after > 80*ms || other > 80*ms {
			t.Errorf("a delay of 100 ms: before %v, during %v (other caller %v), after %v", before, during, other, after)
		}
	})
}

// A partition lets calls time out; afterwards all is as it was.
func TestPartition(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		web, api := urlOf(t, d, "web"), urlOf(t, d, "api")
		fastest(t, web, 200)
		inject(t, d, "gone", fault.Fault{Type: fault.NetPartition, Target: fault.Target{Service: "cart"}})
		for _, url := range []string{web, api} {
			if status, took := ask(t, url); status != 504 || took < 500*ms {
				t.Errorf("during the partition %s answers %d after %v", url, status, took)
			}
		}
		if n := hitsOf(t, d, "gone"); n < 2 {
			t.Errorf("%d hits are counted of 2 requests", n)
		}
		clearFault(t, d, "gone")
		fastest(t, web, 200)
		fastest(t, api, 200)
	})
}

// Faults of one edge act together, a fault of one replica on it alone, and one
// that ends leaves the others.
func TestStackedFaults(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		web := urlOf(t, d, "web")
		slow := fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart"}, Args: fault.Args{Delay: dist.Fixed(60 * ms)}}
		inject(t, d, "all", slow)
		slow.Target.From = "web"
		inject(t, d, "web", slow)
		if took := fastest(t, web, 200); took < 120*ms {
			t.Errorf("two delays of 60 ms take %v together", took)
		}
		clearFault(t, d, "all")
		if took := fastest(t, web, 200); took < 60*ms || took > 115*ms {
			t.Errorf("the delay of 60 ms that is left takes %v", took)
		}
		clearFault(t, d, "web")
		inject(t, d, "one", fault.Fault{Type: fault.Refuse, Target: fault.Target{Service: "cart", Replica: 2}})
		statuses := map[int]int{}
		for range 40 {
			status, _ := ask(t, web)
			statuses[status]++
		}
		if statuses[200] == 0 || statuses[502] == 0 || len(statuses) != 2 {
			t.Errorf("with one of two replicas refusing, the answers are %v", statuses)
		}
	})
}

// Data that one fault holds back keeps its time when another fault ends, even if
// the caller then moves to another gate.
func TestEndOfAFaultLeavesOthersAlone(t *testing.T) {
	const delay = 200 * ms // a busy machine must answer before the timeout of 500 ms
	slow := fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart"}, Args: fault.Args{Delay: dist.Fixed(delay)}}
	for name, other := range map[string]fault.Fault{
		"of all callers": {Type: fault.Slice, Target: fault.Target{Service: "cart"}, Args: fault.Args{Size: 1000}},
		"of one caller":  {Type: fault.Slice, Target: fault.Target{Service: "cart", From: "web"}, Args: fault.Args{Size: 1000}},
		"of another one": {Type: fault.Slice, Target: fault.Target{Service: "cart", From: "api"}, Args: fault.Args{Size: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
				inject(t, d, "slow", slow)
				inject(t, d, "other", other)
				took := map[string]time.Duration{}
				var mu sync.Mutex
				var both sync.WaitGroup
				for _, caller := range []string{"web", "api"} {
					url := urlOf(t, d, caller)
					both.Go(func() {
						status, d := ask(t, url)
						mu.Lock()
						defer mu.Unlock()
						if took[caller] = d; status != 200 {
							t.Errorf("%s answers %d", caller, status)
						}
					})
				}
				time.Sleep(delay / 3)
				clearFault(t, d, "other")
				both.Wait()
				for caller, d := range took {
					if d < delay {
						t.Errorf("the answer of %s took %v, want %v", caller, d, delay)
					}
				}
				if hits := hitsOf(t, d, "slow"); hits < 2 {
					t.Errorf("%d hits are counted, want those of both callers", hits)
				}
			})
		})
	}
}

// anyError stands for an answer that tells of an error, whichever.
const anyError = -1

// Each condition of a gate shows in what the caller gets, and clearing it mends.
func TestConditionsOnAnEdge(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		web := urlOf(t, d, "web")
		for _, test := range []struct {
			fault fault.Fault
			want  int
			least time.Duration
		}{
			{fault.Fault{Type: fault.Refuse}, 502, 0},
			{fault.Fault{Type: fault.StopReading}, 504, 500 * ms},
			{fault.Fault{Type: fault.StopAnswering}, 504, 500 * ms},
			{fault.Fault{Type: fault.Close}, 502, 0},
			{fault.Fault{Type: fault.Reset}, 502, 0},
			{fault.Fault{Type: fault.CloseOnData}, 502, 0},
			{fault.Fault{Type: fault.CorruptData}, anyError, 0},
			{fault.Fault{Type: fault.Bandwidth, Args: fault.Args{Rate: 1 << 20}}, 200, 0},
			{fault.Fault{Type: fault.TimeLimit, Args: fault.Args{Delay: dist.Fixed(time.Hour)}}, 200, 0},
			{fault.Fault{Type: fault.ByteLimit, Args: fault.Args{Size: 10}}, 502, 0},
			{fault.Fault{Type: fault.Slice, Args: fault.Args{Size: 10, Delay: dist.Fixed(5 * ms)}}, 200, 50 * ms},
			{fault.Fault{Type: fault.Concatenate, Args: fault.Args{Size: 1 << 20, Hold: unit.Duration(100 * ms)}}, 200, 100 * ms},
			{fault.Fault{Type: fault.Substitute, Args: fault.Args{Pattern: "HTTP/1.1 200", With: "HTTP/1.1 503"}}, 502, 0},
			{fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: 1000}}, 200, 0},
			{fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 100}}, 504, 500 * ms},
		} {
			f := test.fault
			f.Target = fault.Target{Service: "cart", From: "web"}
			inject(t, d, "x", f)
			if status, took := ask(t, web); status != test.want && (test.want != anyError || status < 500) || took < test.least {
				t.Errorf("%s: the answer is %d after %v, want %d after %v", f.Type, status, took, test.want, test.least)
			}
			clearFault(t, d, "x")
			if status, _ := ask(t, web); status != 200 {
				t.Errorf("after %s the answer is %d", f.Type, status)
			}
		}
	})
}

// A fault ends at its deadline, and meets replicas that appear later.
func TestGatesFollowTheSystem(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		web := urlOf(t, d, "web")
		f := fault.Fault{Type: fault.NetDelay, Probability: 1, Target: fault.Target{Service: "cart", Replica: 3}, Args: fault.Args{Delay: dist.Fixed(100 * ms)}}
		f.Target.Replica = 0
		if err := d.Inject(t.Context(), "slow", f, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		next := shop()
		next.Services[2].Replicas = 3
		step := topology.CallTo("cart")
		next.Services = append(next.Services, topology.NewService("new", step))
		if err := d.Update(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{web, urlOf(t, d, "new")} {
			for range 12 {
				if status, took := ask(t, url); status != 200 || took < 100*ms {
					t.Errorf("after the update %s answers %d after %v", url, status, took)
				}
			}
		}
		clearFault(t, d, "slow")
		if err := d.Inject(t.Context(), "short", f, time.Now().Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, took := ask(t, web); took < 100*ms {
			t.Errorf("before the deadline an answer takes %v", took)
		}
		for end := time.Now().Add(patience); ; {
			if active, err := d.Active(t.Context()); err != nil || len(active) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the fault does not end")
			}
			time.Sleep(5 * ms)
		}
		if took := fastest(t, web, 200); took > 80*ms {
			t.Errorf("after the deadline an answer takes %v", took)
		}
	})
}

// Requests from outside meet a fault that names no caller: where they ask for the
// way while it acts, or where an entrance was wanted from the start.
func TestEntrances(t *testing.T) {
	expectNoLeaks(t)
	open := &openGates{}
	c := open.applyGates(inProcess(""))
	c.Entrances = []string{"cart"}
	d := up(t, c, shop())
	cart, web := urlOf(t, d, "cart"), urlOf(t, d, "web")
	delay := fault.Args{Delay: dist.Fixed(100 * ms)}
	fastest(t, cart, 200)
	inject(t, d, "slow", fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart"}, Args: delay})
	if took := fastest(t, cart, 200); took < 100*ms {
		t.Errorf("with an entrance a request takes %v", took)
	}
	inject(t, d, "narrow", fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart", From: "web"}, Args: delay})
	if took := fastest(t, cart, 200); took < 100*ms || took > 190*ms {
		t.Errorf("beside a fault of another caller a request takes %v", took)
	}
	clearFault(t, d, "slow")
	clearFault(t, d, "narrow")
	if took := fastest(t, cart, 200); took > 80*ms || urlOf(t, d, "cart") != cart {
		t.Errorf("afterwards a request takes %v", took)
	}
	inject(t, d, "web", fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "web"}, Args: delay})
	if now := urlOf(t, d, "web"); now == web {
		t.Error("there is no entrance while a fault acts")
	} else if took := fastest(t, now, 200); took < 100*ms {
		t.Errorf("through an entrance that was made for a fault a request takes %v", took)
	}
	clearFault(t, d, "web")
	if urlOf(t, d, "web") != web {
		t.Error("the entrance is left after its fault")
	}
}

// A chain that names its services, all resolved at the control plane, meets the
// faults between them.
func TestChainsGoThroughGates(t *testing.T) {
	for name, config := range map[string]localsim.Config{"inprocess": inProcess(t.TempDir()), "process": processes("agent", t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			open := &openGates{}
			d := up(t, open.applyGates(config), shop())
			client, err := control.Connect(config.StateDir, "shop")
			if err != nil {
				t.Fatal(err)
			}
			inject(t, d, "slow", fault.Fault{
				Type: fault.NetDelay, Target: fault.Target{Service: "cart", From: "api"}, Args: fault.Args{Delay: dist.Fixed(time.Second)},
			})
			call := func(first string) time.Duration {
				began := time.Now()
				answer, err := client.Call(t.Context(), fmt.Appendf(nil, `{"designation":%q,"routes":[{"designation":"cart"}]}`, first), nil)
				if err != nil || answer.Code != 200 || strings.Contains(string(answer.Body), "outside") {
					t.Errorf("%v, %v", answer, err)
				}
				return time.Since(began)
			}
			if slow, fast := call("api"), call("web"); slow < time.Second || fast >= time.Second {
				t.Errorf("the slow chain takes %v, the other %v", slow, fast)
			}
			if err := client.CanInject(&fault.Fault{Type: fault.NetReorder, Probability: 1, Target: fault.Target{Service: "cart"}, Args: fault.Args{Percent: 10, Delay: dist.Fixed(ms)}}); err == nil || !strings.Contains(err.Error(), "--isolation netns") {
				t.Errorf("reordering gives %v", err)
			}
		})
	}
}

// Gates that come and go under load cost no request.
func TestGatesComeAndGoUnderLoad(t *testing.T) {
	eachIsolation(t, func(t *testing.T, d *localsim.Deployment) {
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		var asked, failed atomic.Int64
		for _, service := range []string{"web", "api", "web", "api"} {
			url := urlOf(t, d, service)
			clients.Go(func() {
				for ctx.Err() == nil {
					asked.Add(1)
					if status, took := ask(t, url); status != 200 {
						failed.Add(1)
						t.Logf("%s answers %d after %v", url, status, took)
					}
				}
			})
		}
		for i := range 30 {
			f := fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart"}, Args: fault.Args{Delay: dist.Fixed(ms)}}
			inject(t, d, "all", f)
			f.Target.From = "web"
			inject(t, d, "web", f)
			f.Target.Replica = 1 + i%2
			inject(t, d, "one", f)
			for _, id := range []string{"all", "one", "web"} {
				time.Sleep(10 * ms)
				clearFault(t, d, id)
			}
		}
		stop()
		clients.Wait()
		t.Logf("%d requests", asked.Load())
		if n := failed.Load(); n > 0 {
			t.Errorf("%d of %d requests failed", n, asked.Load())
		}
	})
}
