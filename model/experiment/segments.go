package experiment

import (
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

func newRunClock(profile load.Profile) *runClock {
	c := &runClock{phases: make([]phaseWindow, len(profile.Phases))}
	var at time.Duration
	counted := false
	for i, p := range profile.Phases {
		c.phases[i].name, c.phases[i].planned, c.phases[i].counted = p.Name, at, counted
		c.phases[i].seen.Store(math.MaxInt64)
		at += p.Duration.Std()
		counted = counted || p.Count > 0
	}
	c.tail.Store(math.MaxInt64)
	c.firstFault = math.MaxInt64
	c.lastClear.Store(math.MaxInt64)
	return c
}

// segments cuts the run: the whole, its phases, and where faults acted the
// parts before, during and after them. What was never reached is left out.
func (r *run) segments(end time.Duration) []Segment {
	phases := len(r.clock.phases)
	all := []Segment{r.segment(WholeRun, "", 0, end, func(phase, _ int) bool { return phase < phases })}
	for i := range r.clock.phases {
		from, to := r.clock.start(i), end
		if i+1 < len(r.clock.phases) {
			to = min(to, r.clock.start(i+1))
		}
		if from < to {
			all = append(all, r.segment(LoadPhase, r.clock.phases[i].name, from, to, func(phase, _ int) bool { return phase == i }))
		}
	}
	first := r.clock.firstFault
	last := time.Duration(r.clock.lastClear.Load())
	if first >= end {
		return r.withTail(all, end)
	}
	windows := []struct {
		name     string
		from, to time.Duration
	}{{Before, 0, first}, {During, first, min(last, end)}, {After, last, end}}
	for part, w := range windows {
		if w.from < w.to {
			all = append(all, r.segment(FaultPart, w.name, w.from, w.to, func(phase, p int) bool { return phase < phases && p == part }))
		}
	}
	return r.withTail(all, end)
}

// withTail adds what was seen after the load, where the system was watched.
func (r *run) withTail(all []Segment, end time.Duration) []Segment {
	if r.result.Tail == nil {
		return all
	}
	to := end + time.Duration(r.result.Tail.Length*1e9)
	return append(all, r.segment(TailPart, AfterLoad, end, to, func(phase, _ int) bool { return phase == len(r.clock.phases) }))
}

// segment sums the cells that belong.
func (r *run) segment(kind SegmentKind, name string, from, to time.Duration, belongs func(phase, part int) bool) Segment {
	s := Segment{Kind: kind, Name: name, From: from.Seconds(), To: to.Seconds()}
	var t tally
	for i := range r.clients.cells {
		if belongs(i/3, i%3) {
			t.add(&r.clients.cells[i])
		}
	}
	s.Clients = t.stats((to - from).Seconds())
	s.Services, s.Edges = r.services.stats(r.order(), belongs)
	began := r.result.LoadStarted
	for i := range s.Services {
		x := &s.Services[i]
		x.Availability = availability(r.result.Recoveries, x.Service, r.System.Service(x.Service).Replicas, began.Add(from), began.Add(to))
	}
	return s
}

// order lists the services as their file does.
func (r *run) order() (names []string) {
	for i := range r.System.Services {
		names = append(names, r.System.Services[i].Name)
	}
	return names
}

// availability is the share of a stretch of time in which not all of a service's
// replicas were down.
func availability(recoveries []Recovery, service string, replicas int, from, to time.Time) float64 {
	type turn struct {
		at   time.Time
		down int
	}
	var turns []turn
	for _, r := range recoveries {
		if r.Service != service {
			continue
		}
		ready := r.ReadyAt
		if ready.IsZero() || ready.After(to) {
			ready = to
		}
		if r.DownAt.Before(ready) {
			turns = append(turns, turn{r.DownAt, 1}, turn{ready, -1})
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	var away time.Duration
	down := 0
	for i, t := range turns {
		if down += t.down; down < max(1, replicas) || i+1 == len(turns) {
			continue
		}
		begin, end := t.at, turns[i+1].at
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		away += max(0, end.Sub(begin))
	}
	return 1 - away.Seconds()/to.Sub(from).Seconds()
}
