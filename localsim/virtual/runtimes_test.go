package virtual

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A service takes what was measured of its runtime: for a request, for each call at
// its own processor, and no more processors than it can use.
func TestRuntimesTakeWhatWasMeasured(t *testing.T) {
	const work, request, call = time.Millisecond, 300 * time.Microsecond, 200 * time.Microsecond
	machine := Machine{Cores: 4, Runtimes: map[topology.RuntimeName]RuntimeCosts{
		"express": {Request: request, Call: call, Start: time.Second}, "gin": {Request: request, Call: call, Start: time.Second},
	}}
	play := func(runtime topology.RuntimeName, m Machine) (*result.Result, error) {
		front := topology.NewService("front", topology.Step{Work: &topology.Work{CPU: dist.Fixed(work)}}, topology.CallTo("leaf"), topology.CallTo("leaf"))
		front.Runtime = runtime
		return Run(context.Background(), experiment.Experiment{
			Name: "runtimes", System: topology.System{Name: "runtimes", Services: []topology.Service{front, topology.NewService("leaf")}},
			Load: load.Profile{Phases: []load.Phase{{Users: 16, Duration: unit.Duration(3 * time.Second)}}, Requests: []load.Request{{Name: "front", Service: "front", Weight: 1}}},
		}, Options{Machine: m})
	}
	takes := (work + request + 2*call).Seconds()
	for _, tt := range []struct {
		runtime topology.RuntimeName
		// least and most are how many processors front keeps busy.
		least, most float64
	}{{"express", 0.95, 1.001}, {"gin", 2, 4.001}} {
		r, err := play(tt.runtime, machine)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Segments[0].Services[0]
		if s.CPUCores == nil {
			t.Fatalf("%s: its processor time is not known", tt.runtime)
		}
		if *s.CPUCores < tt.least || *s.CPUCores > tt.most {
			t.Errorf("%s keeps %v processors busy, want %g to %g", tt.runtime, *s.CPUCores, tt.least, tt.most)
			continue
		}
		if got := *s.CPUCores / s.Rate; math.Abs(got-takes) > 0.03*takes {
			t.Errorf("a request in %s takes %.6f s of a processor, want %.6f", tt.runtime, got, takes)
		}
	}
	if _, err := play("fastify", machine); err == nil || !strings.Contains(err.Error(), "calibrate --runtime fastify") {
		t.Errorf("of a runtime that was not measured it says %v, want how to measure it", err)
	}
	// The agent's costs are the machine's.
	plain, err := play("", Machine{Cores: 4})
	if err != nil {
		t.Fatal(err)
	}
	other, err := play("", machine)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Segments[0].Clients.Rate != other.Segments[0].Clients.Rate {
		t.Errorf("costs of other runtimes change the agent's rate from %g to %g", plain.Segments[0].Clients.Rate, other.Segments[0].Clients.Rate)
	}
}
