package search

import (
	"math"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func usageOf(present ...int64) *Usage {
	u := &Usage{}
	for i, n := range present {
		u.Add(Sample{At: time.Duration(i+1) * time.Second, Elapsed: time.Second, Service: "a", InWork: n})
	}
	return u
}

func TestGrowthIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		runs []*Usage
		want bool
	}{
		"steady":         {[]*Usage{usageOf(5, 6, 5, 6), usageOf(6, 5, 6, 5), usageOf(5, 5, 6, 6)}, false},
		"rising":         {[]*Usage{usageOf(5, 25, 45, 65), usageOf(6, 26, 44, 66), usageOf(5, 24, 46, 64)}, true},
		"by chance":      {[]*Usage{usageOf(5, 25, 45, 65), usageOf(65, 45, 25, 5), usageOf(5, 5, 5, 5)}, false},
		"by half of one": {[]*Usage{usageOf(1, 1, 1, 2), usageOf(1, 1, 2, 1), usageOf(1, 1, 1, 2)}, false},
		"nothing":        {nil, false},
		"one run":        {[]*Usage{usageOf(5, 25, 45, 65)}, false},
	} {
		if got := grows(tt.runs, 0.95); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestSharesOfWhatThereIs(t *testing.T) {
	e := readVaried(t)
	e.System.Services[1].Replicas, e.System.Services[1].Resources = 2, &topology.Resources{CPULimit: 0.5, MemoryLimit: unit.Size(1000)}
	u := &Usage{}
	for i := range 4 {
		at := time.Duration(i+1) * time.Second
		u.Add(Sample{At: at, Elapsed: time.Second, Service: "cart", InWork: 4, CPUSeconds: 0.5, Memory: 500})
		u.Add(Sample{At: at, Elapsed: time.Second, Service: "db", InWork: 2, Queue: 4, CPUSeconds: 1.5})
		u.AddDisk(time.Second, 250*time.Millisecond)
	}
	r := &result.Result{Segments: []result.Segment{{
		Name: Measured, Clients: result.ClientStats{Requests: 100, Outcomes: map[outcome.Class]int64{outcome.Dropped: 10}},
		Edges: []result.EdgeStats{{Caller: "web", Callee: "cart", Calls: 50, Outcomes: map[outcome.Class]int64{outcome.Rejected: 20}}},
	}}}
	got := shares(&e, 8, []Run{{r, u}, {r, u}})
	for key, want := range map[Resource]float64{
		{What: Workers, Service: "cart"}:               4.0 / 8,
		{What: CPU, Service: "cart"}:                   0.5,
		{What: Memory, Service: "cart"}:                0.25,
		{What: Workers, Service: "db"}:                 1,
		{What: Queue, Service: "db"}:                   4.0 / 5,
		{What: Machine}:                                2.0 / 8,
		{What: Disk}:                                   0.25,
		{What: InFlight}:                               0.1,
		{What: Policy, Service: "web", Callee: "cart"}: 0.4,
	} {
		if math.Abs(got[key]-want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", key.Name(), got[key], want)
		}
	}
}

// Callers wait for whom they call, workers for processors, and all for what is
// shared: what they wait for is named.
func TestFirstIsWhatTheOthersWaitFor(t *testing.T) {
	system := readVaried(t).System // web calls cart and db, cart calls db
	full := func(what, service string, before float64) Resource {
		one := 1.0
		return Resource{What: what, Service: service, AtHolds: &before, AtBreaks: &one}
	}
	half := 0.5
	for name, tt := range map[string]struct {
		list []Resource
		want string
	}{
		"nothing full":          {[]Resource{{What: Workers, Service: "db", AtBreaks: &half}}, ""},
		"workers below":         {[]Resource{full(Workers, "cart", 0.9), full(Workers, "db", 0.8)}, "workers of db"},
		"a queue of workers":    {[]Resource{full(Queue, "db", 0.1), full(Workers, "db", 0.8)}, "workers of db"},
		"workers of processors": {[]Resource{full(Workers, "db", 0.9), full(CPU, "db", 0.8)}, "CPU limit of db"},
		"what is shared":        {[]Resource{full(Workers, "db", 0.9), full(Machine, "", 0.8)}, "processors of the machine"},
		"a policy above":        {[]Resource{{What: Policy, Service: "web", Callee: "cart", AtBreaks: &half}, full(Workers, "db", 0.9)}, "workers of db"},
		"a policy alone":        {[]Resource{{What: Policy, Service: "web", Callee: "cart", AtBreaks: &half}}, "calls web->cart turned away"},
		"the load's own":        {[]Resource{{What: InFlight, AtBreaks: &half}, full(Workers, "db", 0.9)}, "workers of db"},
		"the fuller before":     {[]Resource{full(Disk, "", 0.2), full(Machine, "", 0.8)}, "processors of the machine"},
	} {
		got := first(&system, tt.list)
		switch {
		case got == nil && tt.want != "":
			t.Errorf("%s: got nothing, want %s", name, tt.want)
		case got != nil && got.Name() != tt.want:
			t.Errorf("%s: got %s, want %s", name, got.Name(), tt.want)
		}
	}
}

func TestTriggerComesAfterTheWarmUp(t *testing.T) {
	e := readVaried(t)
	s := Steady{Phase: e.Load.Phases[0], WarmUp: 3 * time.Second, Duration: 10 * time.Second, Recovery: 4 * time.Second}
	got := s.Experiment(e, 20, e.Faults) // from 1 s to 3 s of the file
	if got.Faults[0].Start.Std() != 3*time.Second || e.Faults[0].Start.Std() != time.Second {
		t.Errorf("the fault begins at %s", got.Faults[0].Start)
	}
	var phases []string
	for _, p := range got.Load.Phases {
		phases = append(phases, p.Name+" "+p.Duration.String())
	}
	if got, want := joinNames(phases), "warm-up 3s, trigger 2s, recovery 4s, measured 10s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := got.Validate().Err(); err != nil {
		t.Error(err)
	}
}
