package run

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// The same experiments are run for real, on this machine, and in virtual time.
// MICROSIM_AGREEMENT=full, which `make agreement` sets, plays all of them for long
// enough and prints the error of each figure; without it, a few short ones are
// held to what does not hang on how busy the machine is.

// An agreeing is an experiment that is played both ways.
type agreeing struct {
	name string
	experiment.Experiment
	// small says that it is also played without MICROSIM_AGREEMENT.
	small bool
	// sure says that every request is served, whatever the machine does meanwhile,
	// so that the decisions of all requests can be compared.
	sure bool
}

func agreeings(t *testing.T, length time.Duration) []agreeing {
	sleep := func(d time.Duration) topology.Step { return topology.Step{Work: &topology.Work{Sleep: dist.Fixed(d)}} }
	spread := topology.Step{Work: &topology.Work{Sleep: dist.Delay{LogNormal: &dist.LogNormal{P50: unit.Duration(5 * time.Millisecond), P99: unit.Duration(20 * time.Millisecond)}}}}
	at := func(rate float64) load.Profile {
		return load.Profile{Phases: []load.Phase{{Rate: rate, Arrivals: load.Poisson, Duration: unit.Duration(length)}}}
	}
	leaf := topology.NewService("leaf", sleep(5*time.Millisecond))
	leaf.Endpoints[0].ErrorRate = 0.05
	var chain []topology.Service
	for i := range 5 {
		s := topology.NewService(fmt.Sprint("s", i), sleep(4*time.Millisecond))
		if i < 4 {
			s.Endpoints[0].Steps = append(s.Endpoints[0].Steps, topology.CallTo(fmt.Sprint("s", i+1)))
		}
		chain = append(chain, s)
	}
	front := topology.NewService("front")
	fan := []topology.Service{}
	parallel := topology.Step{}
	for i := range 10 {
		fan = append(fan, topology.NewService(fmt.Sprint("b", i), spread))
		call := topology.CallTo(fmt.Sprint("b", i))
		call.Call.Probability = 0.9
		parallel.Parallel = append(parallel.Parallel, call)
	}
	front.Endpoints[0].Steps = []topology.Step{parallel}
	queue := topology.NewService("queue", sleep(20*time.Millisecond))
	queue.Workers, queue.Backlog = 4, 64
	top := 80.0
	shapes := load.Profile{
		Requests: []load.Request{
			{Name: "leaf", Service: "leaf", Weight: 2},
			{Name: "chain", Weight: 1, Chain: `{"designation": "b0", "probability": 100, "faults": {"before": [{"type": "error", "args": {"rate": 20, "status": 503}}], "after": []},
				"routes": [{"designation": "b1", "probability": 50, "faults": {"before": [{"type": "latency", "args": {"delay": 5}}], "after": []}, "routes": []}]}`},
		},
		Phases: []load.Phase{
			{Name: "ramp", Rate: 10, RateTo: &top, Arrivals: load.Poisson, Duration: unit.Duration(time.Second)},
			{Name: "bursts", Rate: 20, Burst: 3, Count: 15},
			{Name: "all", Rate: 20, Each: true, Duration: unit.Duration(500 * time.Millisecond)},
		},
	}
	shop := readExample(t, "shop")
	retries := readExample(t, "lesson-13-metastable")
	v, _ := retries.Variant("retries")
	retries, _ = retries.Apply(v)
	flaky := topology.NewService("flaky", sleep(time.Millisecond))
	flaky.Endpoints[0].ErrorRate = 0.3
	instead, without := topology.CallTo("flaky"), topology.CallTo("flaky")
	instead.Call.Fallback = &policy.Fallback{Kind: policy.FixedFallback, Value: `{"items": []}`}
	without.Call.OnError = topology.Ignore
	parts := []topology.Service{
		topology.NewService("page", topology.CallTo("list"), without), topology.NewService("list", instead), flaky,
	}
	list := []agreeing{
		{"leaf", experiment.Experiment{System: topology.System{Services: []topology.Service{leaf}}, Load: at(100)}, true, true},
		{"chain of 5", experiment.Experiment{System: topology.System{Services: chain}, Load: at(40)}, false, true},
		{"fan-out of 10", experiment.Experiment{System: topology.System{Services: append([]topology.Service{front}, fan...)}, Load: at(40)}, true, true},
		{"fallbacks", experiment.Experiment{System: topology.System{Services: parts}, Load: at(60)}, true, true},
		{"shapes of load, chains", experiment.Experiment{System: topology.System{Services: append([]topology.Service{leaf}, fan...)}, Load: shapes}, true, true},
		{"queue at 80 %", experiment.Experiment{System: topology.System{Services: []topology.Service{queue}}, Load: at(160)}, false, false},
		{"queue at 130 %", experiment.Experiment{System: topology.System{Services: []topology.Service{queue}}, Load: at(260)}, false, false},
		{"shop", shop, false, false},
		{"retry storm", retries, false, false},
	}
	lab := readExample(t, outageLab)
	for _, name := range []string{"3-slow", "5-timeouts", "8-timeouts-retries", "9-timeouts-breakers"} {
		v, _ := lab.Variant(name)
		e, _ := lab.Apply(v)
		e.AppliedVariant = ""
		list = append(list, agreeing{"outage " + name + ", x 1/10", experiment.Scale(e, 0.1), false, false})
	}
	for i := range list {
		e := &list[i].Experiment
		e.Name, e.Seed, e.Checks, e.Variants = "agreement", 11, nil, nil
		if e.System.Name == "" {
			e.System.Name = "agreement"
		}
	}
	return list
}

func readExample(t *testing.T, name string) experiment.Experiment {
	t.Helper()
	e, err := readLab(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// playReal plays an experiment on this machine, in this process.
func playReal(t *testing.T, e experiment.Experiment) (*result.Result, *measure.Answers) {
	t.Helper()
	l := local.Flags{Isolation: string(localsim.InProcess), Entrances: local.EntrancesOf(e.Faults)}
	deployer, err := l.DeployerIn("", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	answers := &measure.Answers{}
	loader := &watchedLoader{&loadgen.Generator{}, answers.Observe}
	r, err := runner.Run(context.Background(), e, runner.Deps{Deployer: deployer, Loader: loader, Collector: collect.New(collect.Options{})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, answers
}

// decisionsOf are the counts that follow from the draws of each request: the
// statuses of the clients, what each service answered, and the calls of each edge.
func decisionsOf(r *result.Result) string {
	var lines []string
	for _, e := range r.Segments[0].Edges {
		lines = append(lines, fmt.Sprintf("%s->%s %d, %d errors, %d degraded, %d fallbacks", e.Caller, e.Callee, e.Calls, e.Errors, e.Degraded, e.Fallbacks))
	}
	for _, s := range r.Segments[0].Services {
		lines = append(lines, fmt.Sprintf("%s %d, %d errors, %d degraded", s.Service, s.Requests, s.Errors, s.Degraded))
	}
	slices.Sort(lines)
	for _, p := range r.Load.Phases {
		lines = append(lines, fmt.Sprintf("%s %d", p.Name, p.Stats.Arrivals))
	}
	for _, q := range r.Load.Requests {
		lines = append(lines, fmt.Sprintf("%s %d", q.Name, q.Stats.Arrivals))
	}
	lines = append(lines, fmt.Sprintf("%d degraded, %d good", r.Load.Total.Degraded, r.Load.Total.Good))
	return fmt.Sprint(r.Load.Total.Statuses, strings.Join(lines, ", "))
}

func TestRealAndVirtualAgree(t *testing.T) {
	full := os.Getenv("MICROSIM_AGREEMENT") == "full"
	length := 3 * time.Second
	if full {
		length = 20 * time.Second
	}
	machine := virtual.Machine{}
	if full {
		c, err := calibrate.Measure(context.Background(), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		machine = virtual.Calibrated(c)
		var figures strings.Builder
		if err := calibrate.Table(&figures, c); err != nil {
			t.Fatal(err)
		}
		t.Logf("calibrated at a load of %.0f %%:\n%s", 100*c.Load, figures.String())
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SYSTEM\tFIGURE\tREAL\tVIRTUAL\tERROR")
	for _, a := range agreeings(t, length) {
		if !full && !a.small {
			continue
		}
		actual, real := playReal(t, a.Experiment)
		virtually := &measure.Answers{}
		played, err := virtual.Run(context.Background(), a.Experiment, virtual.Options{Machine: machine, Outcome: virtually.Observe})
		if err != nil {
			t.Fatalf("%s: %v", a.name, err)
		}
		for _, f := range result.Predict(actual, played).Figures {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", a.name, f.Name, f.Format(f.Real), f.Format(f.Predicted), f.ErrorText())
			if full && f.Name == "goodput" && a.sure && math.Abs(*f.Error) > 0.02 {
				t.Errorf("%s: goodput %.2f/s in virtual time, %.2f/s on this machine", a.name, f.Predicted, f.Real)
			}
		}
		both, same := real.Alike(virtually)
		fmt.Fprintf(table, "%s\tanswered alike\t%d\t%d\t\n", a.name, both, same)
		if a.sure && (both < 30 || same < both) {
			t.Errorf("%s: %d of %d requests that both answered were answered alike", a.name, same, both)
		}
		if a.sure {
			if got, want := decisionsOf(played), decisionsOf(actual); got != want {
				t.Errorf("%s: other decisions in virtual time:\n%s\nthan on this machine:\n%s", a.name, got, want)
			}
		}
	}
	table.Flush()
	t.Logf("\n%s", text.String())
}
