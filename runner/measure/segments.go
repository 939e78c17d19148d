package measure

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Segmenter cuts a run that is over into segments.
type Segmenter struct {
	System   *topology.System
	Schedule *Schedule
	Clients  *Clients
	Services *Services
	// loadStarted is the zero of the schedule.
	LoadStarted time.Time
	Recoveries  []result.Recovery
	// tail is nil where the system was not watched after the load.
	Tail *result.Tail
}

// Segments cuts the run: the whole, its phases, and where faults acted the
// parts before, during and after them. What was never reached is left out.
func (s *Segmenter) Segments(end time.Duration) []result.Segment {
	phases := len(s.Schedule.phases)
	all := []result.Segment{s.segment(result.WholeRun, "", 0, end, func(phase, _ int) bool { return phase < phases })}
	for i := range s.Schedule.phases {
		from, to := s.Schedule.start(i), end
		if i+1 < len(s.Schedule.phases) {
			to = min(to, s.Schedule.start(i+1))
		}
		if from < to {
			all = append(all, s.segment(result.LoadPhase, s.Schedule.phases[i].name, from, to, func(phase, _ int) bool { return phase == i }))
		}
	}
	faults := s.Schedule.faultSpan()
	if faults.Asked >= end {
		return s.withTail(all, end)
	}
	windows := []struct {
		part     int
		name     string
		from, to time.Duration
	}{
		{beforeFaults, experiment.Before, 0, faults.Asked},
		{duringFaults, experiment.During, faults.From, min(faults.ClearAsked, end)},
		{afterFaults, experiment.After, faults.To, end},
	}
	for _, w := range windows {
		if w.from < w.to {
			all = append(all, s.segment(result.FaultPart, w.name, w.from, w.to, func(phase, p int) bool { return phase < phases && p == w.part }))
		}
	}
	return s.withTail(all, end)
}

// withTail adds what was seen after the load, where the system was watched.
func (s *Segmenter) withTail(all []result.Segment, end time.Duration) []result.Segment {
	if s.Tail == nil {
		return all
	}
	to := end + time.Duration(s.Tail.Length*1e9)
	return append(all, s.segment(result.TailPart, experiment.AfterLoad, end, to, func(phase, _ int) bool { return phase == len(s.Schedule.phases) }))
}

// segment sums the cells that belong.
func (s *Segmenter) segment(kind result.SegmentKind, name string, from, to time.Duration, belongs func(phase, part int) bool) result.Segment {
	seg := result.Segment{Kind: kind, Name: name, From: from.Seconds(), To: to.Seconds()}
	var t Tally
	for i := range s.Clients.cells {
		if belongs(i/parts, i%parts) {
			t.add(&s.Clients.cells[i])
		}
	}
	seg.Clients = t.stats((to - from).Seconds())
	seg.Services, seg.Edges = s.Services.stats(ServiceNames(s.System), belongs)
	began := s.LoadStarted
	for i := range seg.Services {
		x := &seg.Services[i]
		x.Availability = availability(s.Recoveries, x.Service, s.System.Service(x.Service).Replicas, began.Add(from), began.Add(to))
	}
	return seg
}

// ServiceNames lists the services as their file does.
func ServiceNames(system *topology.System) (names []string) {
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
	}
	return names
}

// availability is the share of a stretch of time in which not all of a service's
// replicas were down.
func availability(recoveries []result.Recovery, service string, replicas int, from, to time.Time) float64 {
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
