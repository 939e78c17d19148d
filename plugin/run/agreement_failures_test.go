package run

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// TestFailuresHaveTheSameReasons lets requests fail in all ways that a load tells
// apart. The reasons must be the same for real and in virtual time.
func TestFailuresHaveTheSameReasons(t *testing.T) {
	const second = unit.Duration(time.Second)
	onWeb := func(typ fault.Type, a fault.Args) experiment.Experiment {
		return experiment.Experiment{Faults: []fault.Fault{{Type: typ, Target: fault.Target{Service: "web"}, Probability: 1, Args: a}}}
	}
	onBack := func(typ fault.Type, a fault.Args) experiment.Experiment {
		e := onWeb(typ, a)
		e.Faults[0].Target.Service = "back"
		return e
	}
	send := func(e experiment.Experiment, chain string) experiment.Experiment {
		e.Load.Requests = []load.Request{{Name: "chain", Chain: strings.ReplaceAll(chain, `"faults":0`, `"probability": 100, "faults": {"before": [], "after": []}`)}}
		return e
	}
	const through = `{"designation": "web", "faults":0, "routes": [{"designation": "web", "faults":0, "routes": [{"designation": "back", "faults":0, "routes": []}]}]}`
	crowded := experiment.Experiment{Load: load.Profile{MaxInFlight: 1}}
	crowded.Faults = onWeb(fault.Latency, fault.Args{Delay: dist.Fixed(time.Second)}).Faults
	for name, e := range map[string]experiment.Experiment{
		"error":          onWeb(fault.Error, fault.Args{Status: 503}),
		"error below":    onBack(fault.Error, fault.Args{Status: 503}),
		"abort":          onWeb(fault.Abort, fault.Args{}),
		"panic":          onWeb(fault.Panic, fault.Args{}),
		"hang":           onWeb(fault.Hang, fault.Args{}),
		"corrupt below":  onBack(fault.Corrupt, fault.Args{}),
		"unreachable":    onBack(fault.Unreachable, fault.Args{}),
		"refuse":         onWeb(fault.Refuse, fault.Args{}),
		"refuse below":   onBack(fault.Refuse, fault.Args{}),
		"close":          onWeb(fault.Close, fault.Args{}),
		"close-on-data":  onWeb(fault.CloseOnData, fault.Args{}),
		"reset":          onWeb(fault.Reset, fault.Args{}),
		"stop-answering": onWeb(fault.StopAnswering, fault.Args{}),
		"stop-reading":   onWeb(fault.StopReading, fault.Args{}),
		"net-partition":  onWeb(fault.NetPartition, fault.Args{}),
		"corrupt-data":   onWeb(fault.CorruptData, fault.Args{}),
		"dropped":        crowded,

		"chain to nobody":              send(experiment.Experiment{}, `{"designation": "web", "faults":0, "routes": [{"designation": "ghost", "faults":0, "routes": []}, {"designation": "ghost", "faults":0, "routes": []}]}`),
		"chain to an error":            send(onBack(fault.Error, fault.Args{Status: 503}), through),
		"chain to corrupt":             send(onBack(fault.Corrupt, fault.Args{}), through),
		"corrupt chain":                send(onWeb(fault.Corrupt, fault.Args{}), `{"designation": "web", "faults":0, "routes": []}`),
		"chain to refuse":              send(onBack(fault.Refuse, fault.Args{}), through),
		"chain to close":               send(onBack(fault.Close, fault.Args{}), through),
		"chain with faults of its own": send(experiment.Experiment{}, `{"designation": "web", "probability": 100, "faults": {"before": [], "after": [{"type": "memory-leak", "args": {"size": 10, "duration": 0.1}}]}, "routes": [{"designation": "back", "probability": 100, "faults": {"before": [{"type": "error", "args": {"rate": 40, "status": 503}}], "after": []}, "routes": []}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web := topology.NewService("web", topology.CallTo("back"))
			e.System = topology.System{Name: "failing", Services: []topology.Service{web, topology.NewService("back")}}
			e.Name, e.Seed = "failing", 5
			e.Load.Timeout = second / 2
			e.Load.Phases = []load.Phase{{Rate: 20, Duration: second}}
			if len(e.Load.Requests) == 0 {
				e.Load.Requests = []load.Request{{Name: "page", Service: "web"}}
			}
			actual, _ := playReal(t, e)
			played, err := virtual.Run(context.Background(), e, virtual.Options{})
			if err != nil {
				t.Fatal(err)
			}
			compareFailures(t, played.Load.Failures, actual.Load.Failures)
		})
	}
}

// A chain from outside goes to a service that has an entrance for a fault, also while
// the fault does not act.
func TestChainsPassEntrancesWithoutAFault(t *testing.T) {
	const second = unit.Duration(time.Second)
	e := experiment.Experiment{
		Name: "entrance", Seed: 5, System: topology.System{Name: "entrance", Services: []topology.Service{topology.NewService("web", topology.CallTo("back")), topology.NewService("back")}},
		Faults: []fault.Fault{{Type: fault.NetDelay, Target: fault.Target{Service: "back"}, Probability: 1, Start: second * 4 / 5, Args: fault.Args{Delay: dist.Fixed(time.Millisecond)}}},
		Load: load.Profile{
			Requests: []load.Request{{Chain: `{"designation": "web", "probability": 100, "faults": {"before": [], "after": []}, "routes": [{"designation": "back", "probability": 100, "faults": {"before": [], "after": []}, "routes": []}]}`}},
			Phases:   []load.Phase{{Rate: 20, Duration: second}},
		},
	}
	if r, _ := playReal(t, e); len(r.Load.Failures) > 0 || r.Load.Total.Good == 0 {
		t.Errorf("%d ended well; failures: %+v", r.Load.Total.Good, r.Load.Failures)
	}
}

// compareFailures wants the same kinds of failure, with alike examples. It does not
// compare their counts, because these depend on how soon a fault acts on a busy
// machine. For the same reason, two requests at the beginning of the fault may fail
// in another way.
func compareFailures(t *testing.T, played, actual []result.Failure) {
	t.Helper()
	actual = slices.DeleteFunc(actual, func(f result.Failure) bool { return f.Count <= 2 && len(actual) > len(played) })
	if len(played) != len(actual) || len(actual) == 0 {
		t.Fatalf("failures of the virtual run: %+v, of the real run: %+v", played, actual)
	}
	for i := range actual {
		p, a := &played[i], &actual[i]
		if p.FailureKind != a.FailureKind {
			t.Errorf("virtual %+v, real %+v", p, a)
		}
		if p.Example.Request != a.Example.Request || (p.Example.ID == "") != (a.Example.ID == "") {
			t.Errorf("the example is %+v, want one as %+v", p.Example, a.Example)
		}
		if got, want := p.Example.Text, plain(a.Example.Text); got != want && !ofConnection(want) {
			t.Errorf("the example tells %q, want %q", got, want)
		}
	}
}

// ofConnection reports whether a text tells what the operating system, or the
// library that reads answers, has said.
func ofConnection(text string) bool {
	return slices.ContainsFunc([]string{"tcp 127.0.0.1", "waiting for the answer", "malformed", "invalid character"}, func(words string) bool { return strings.Contains(text, words) })
}

// plain takes the text of an error out of the JSON of an answer.
func plain(text string) string {
	before, body, found := strings.Cut(text, `{"error":"`)
	if !found {
		return text
	}
	return before + strings.TrimSuffix(body, `"}`)
}
