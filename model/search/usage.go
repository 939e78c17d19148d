package search

import (
	"cmp"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func didYouMean(name string, known []string) string {
	return problem.DidYouMean(name, known, "known are "+joinNames(known))
}

// A Sample is what one service used in one second of what is judged.
type Sample struct {
	// At is counted from the beginning of the load.
	At      time.Duration
	Elapsed time.Duration
	Service string
	// InWork and Queue count requests at the end of the second.
	InWork, Queue int64
	CPUSeconds    float64
	Memory        int64
}

// A Usage gathers the samples of one run. The zero value is empty.
type Usage struct {
	services map[string]*used
	// present are all requests in the system, by second.
	present []present
	// disk is for how long the disk was busy in diskSeconds.
	disk, diskSeconds float64
}

type present struct {
	at time.Duration
	n  int64
}

type used struct {
	seconds, samples, inWork, queue, cpu float64
	memory                               int64
}

// Add takes in a sample. Samples come in the order of time.
func (u *Usage) Add(s Sample) {
	if u.services == nil {
		u.services = map[string]*used{}
	}
	v := u.services[s.Service]
	if v == nil {
		v = &used{}
		u.services[s.Service] = v
	}
	v.seconds += s.Elapsed.Seconds()
	v.samples++
	v.inWork += float64(s.InWork)
	v.queue += float64(s.Queue)
	v.cpu += s.CPUSeconds
	v.memory = max(v.memory, s.Memory)
	if n := len(u.present); n == 0 || u.present[n-1].at != s.At {
		u.present = append(u.present, present{at: s.At})
	}
	u.present[len(u.present)-1].n += s.InWork + s.Queue
}

// AddDisk takes in for how long the disk of the machine was busy.
func (u *Usage) AddDisk(elapsed, busy time.Duration) {
	u.diskSeconds += elapsed.Seconds()
	u.disk += busy.Seconds()
}

// growth is by how many more requests there are in the second half than in the
// first, on average.
func (u *Usage) growth() (by, first float64) {
	half := len(u.present) / 2
	if half == 0 {
		return 0, 0
	}
	var sums [2]float64
	for i, p := range u.present {
		sums[min(i/half, 1)] += float64(p.n)
	}
	first = sums[0] / float64(half)
	return sums[1]/float64(len(u.present)-half) - first, first
}

// grows reports whether requests pile up: in all runs together there are more in
// the second half than in the first, by a tenth and by one at least, and not by
// chance.
func grows(runs []*Usage, confidence float64) bool {
	var by, first []float64
	for _, u := range runs {
		g, f := u.growth()
		by, first = append(by, g), append(first, f)
	}
	mean, interval := stats.MeanInterval(by, confidence)
	before, _ := stats.MeanInterval(first, confidence)
	return len(runs) > 1 && interval.Low > 0 && mean > 1 && mean > before/10
}

// The resources that a service can run out of.
const (
	Workers   = "workers"
	CPU       = "cpu"
	Machine   = "machine"
	Disk      = "disk"
	Memory    = "memory"
	Queue     = "queue"
	Policy    = "policy"
	InFlight  = "in-flight"
	fullShare = 0.9
)

// A Resource is something that a load fills, and how much of it.
type Resource struct {
	// What names the resource: workers, cpu, machine (the processors that all share), disk
	// (which all share, too), memory, queue, policy (calls that a breaker, a bulkhead or a rate
	// limit turned away) or in-flight (requests that the load's own maximum dropped).
	What string `json:"what"`
	// Service is whose it is, for a policy the caller; empty for what all share and
	// the load.
	Service string `json:"service,omitempty"`
	// Callee is set for a policy.
	Callee string `json:"callee,omitempty"`
	// AtHolds and AtBreaks are shares of 1 of what there is, or of the calls and
	// requests; at the highest load that holds and the lowest that breaks.
	AtHolds  *float64 `json:"atHolds,omitempty"`
	AtBreaks *float64 `json:"atBreaks,omitempty"`
}

// Name is the resource in words.
func (r *Resource) Name() string {
	switch {
	case r.What == Policy:
		return "calls " + r.Service + "->" + r.Callee + " turned away"
	case r.What == InFlight:
		return "requests dropped by the load's maxInFlight"
	case r.What == Disk:
		return "disk of the machine"
	case r.Service == "":
		return "processors of the machine"
	case r.What == CPU:
		return "CPU limit of " + r.Service
	case r.What == Memory:
		return "memory limit of " + r.Service
	}
	return r.What + " of " + r.Service
}

// shares says how full each resource of a system is, by the runs of one load.
func shares(e *experiment.Experiment, cores float64, runs []Run) map[Resource]float64 {
	all := map[Resource]float64{}
	add := func(r Resource, used, of float64) {
		if of > 0 {
			all[r] += used / of / float64(len(runs))
		}
	}
	for _, run := range runs {
		whole, seconds := 0.0, 0.0
		for i := range e.System.Services {
			s := &e.System.Services[i]
			u := run.Usage.services[s.Name]
			if u == nil || u.samples == 0 || u.seconds == 0 {
				continue
			}
			replicas := float64(s.Replicas)
			add(Resource{What: Workers, Service: s.Name}, u.inWork/u.samples, float64(s.Workers)*replicas)
			add(Resource{What: Queue, Service: s.Name}, u.queue/u.samples, queueLength(s)*replicas)
			if l := s.Resources; l != nil {
				add(Resource{What: CPU, Service: s.Name}, u.cpu/u.seconds, float64(l.CPULimit)*replicas)
				add(Resource{What: Memory, Service: s.Name}, float64(u.memory), float64(l.MemoryLimit)*replicas)
			}
			whole, seconds = whole+u.cpu, max(seconds, u.seconds)
		}
		if seconds > 0 {
			add(Resource{What: Machine}, whole/seconds, cores)
		}
		add(Resource{What: Disk}, run.Usage.disk, run.Usage.diskSeconds)
		if s := segment(run.Result, Measured); s != nil {
			policies(s, add)
		}
	}
	return all
}

// queueLength is how many requests wait for a worker of a replica at most; 0
// where that is left to the system.
func queueLength(s *topology.Service) float64 {
	switch {
	case s.Workers == 0:
		return 0
	case s.Shed != nil:
		return float64(s.Shed.Queue)
	}
	return float64(s.Backlog)
}

func policies(s *result.Segment, add func(r Resource, used, of float64)) {
	for i := range s.Edges {
		e := &s.Edges[i]
		add(Resource{What: Policy, Service: e.Caller, Callee: e.Callee}, float64(e.Outcomes[outcome.Rejected]), float64(e.Calls))
	}
	add(Resource{What: InFlight}, float64(s.Clients.Outcomes[outcome.Dropped]), float64(s.Clients.Requests))
}

// resources joins what is known at both ends of a bracket, the fullest first.
func resources(holds, breaks map[Resource]float64) []Resource {
	var list []Resource
	for _, side := range []map[Resource]float64{holds, breaks} {
		for r := range side {
			if !slices.Contains(list, r) {
				list = append(list, r)
			}
		}
	}
	for i := range list {
		key := list[i]
		if v, ok := holds[key]; ok {
			list[i].AtHolds = &v
		}
		if v, ok := breaks[key]; ok {
			list[i].AtBreaks = &v
		}
	}
	of := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	list = slices.DeleteFunc(list, func(r Resource) bool { return of(r.AtHolds) == 0 && of(r.AtBreaks) == 0 })
	slices.SortFunc(list, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(of(b.AtBreaks), of(a.AtBreaks)), cmp.Compare(of(b.AtHolds), of(a.AtHolds)),
			cmp.Compare(a.What, b.What), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Callee, b.Callee))
	})
	return list
}

// first says what runs out first: what is full at the load that breaks. Where
// several are, callers wait for those whom they call, and workers for processors, so
// what is called, and the processor, comes first; of the rest what was fuller
// before. It is nil where nothing is full.
func first(system *topology.System, list []Resource) *Resource {
	var full []Resource
	for _, r := range list {
		least := fullShare
		if r.What == Policy || r.What == InFlight {
			least = 0.01 // a share of calls, not of something that is there
		}
		if r.AtBreaks != nil && *r.AtBreaks >= least {
			full = append(full, r)
		}
	}
	reach := reaches(system)
	var best *Resource
	for i := range full {
		if slices.ContainsFunc(full, func(other Resource) bool { return follows(full[i], other, reach) }) {
			continue
		}
		if best == nil || value(full[i].AtHolds) > value(best.AtHolds) {
			best = &full[i]
		}
	}
	return best
}

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

// follows reports whether one resource is full because another is.
func follows(r, other Resource, reach map[string]map[string]bool) bool {
	order := []string{Machine, Disk, CPU, Memory, Workers, Queue, Policy, InFlight}
	a, b := slices.Index(order, r.What), slices.Index(order, other.What)
	switch {
	case r == other:
		return false
	case r.What == InFlight:
		return true
	case other.What == InFlight:
		return false
	case other.Service == "" || r.Service == "":
		// All services wait for what they share.
		return other.Service == "" && r.Service != ""
	case r.Service == other.Service:
		return a > b
	}
	// A caller waits for what it calls; one that turns calls away does so because
	// of whom it calls.
	return other.What != Policy && reach[r.Service][other.Service] && !reach[other.Service][r.Service]
}

// reaches says which services a service calls, directly or not.
func reaches(system *topology.System) map[string]map[string]bool {
	reach := map[string]map[string]bool{}
	for i := range system.Services {
		name := system.Services[i].Name
		seen := map[string]bool{}
		todo := []string{name}
		for len(todo) > 0 {
			s := system.Service(todo[0])
			todo = todo[1:]
			if s == nil {
				continue
			}
			for _, callee := range s.Calls() {
				if !seen[callee] {
					seen[callee] = true
					todo = append(todo, callee)
				}
			}
		}
		reach[name] = seen
	}
	return reach
}
