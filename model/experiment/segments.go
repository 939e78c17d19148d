package experiment

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// segmenter cuts a run that is over into segments.
type segmenter struct {
	system   *topology.System
	schedule *runClock
	clients  *clients
	services *services
	// loadStarted is the zero of the schedule.
	loadStarted time.Time
	recoveries  []Recovery
	// tail is nil where the system was not watched after the load.
	tail *Tail
}

// segments cuts the run: the whole, its phases, and where faults acted the
// parts before, during and after them. What was never reached is left out.
func (s *segmenter) segments(end time.Duration) []Segment {
	phases := len(s.schedule.phases)
	all := []Segment{s.segment(WholeRun, "", 0, end, func(phase, _ int) bool { return phase < phases })}
	for i := range s.schedule.phases {
		from, to := s.schedule.start(i), end
		if i+1 < len(s.schedule.phases) {
			to = min(to, s.schedule.start(i+1))
		}
		if from < to {
			all = append(all, s.segment(LoadPhase, s.schedule.phases[i].name, from, to, func(phase, _ int) bool { return phase == i }))
		}
	}
	first := s.schedule.firstFault
	last := time.Duration(s.schedule.lastClear.Load())
	if first >= end {
		return s.withTail(all, end)
	}
	windows := []struct {
		name     string
		from, to time.Duration
	}{{Before, 0, first}, {During, first, min(last, end)}, {After, last, end}}
	for part, w := range windows {
		if w.from < w.to {
			all = append(all, s.segment(FaultPart, w.name, w.from, w.to, func(phase, p int) bool { return phase < phases && p == part }))
		}
	}
	return s.withTail(all, end)
}

// withTail adds what was seen after the load, where the system was watched.
func (s *segmenter) withTail(all []Segment, end time.Duration) []Segment {
	if s.tail == nil {
		return all
	}
	to := end + time.Duration(s.tail.Length*1e9)
	return append(all, s.segment(TailPart, AfterLoad, end, to, func(phase, _ int) bool { return phase == len(s.schedule.phases) }))
}

// segment sums the cells that belong.
func (s *segmenter) segment(kind SegmentKind, name string, from, to time.Duration, belongs func(phase, part int) bool) Segment {
	seg := Segment{Kind: kind, Name: name, From: from.Seconds(), To: to.Seconds()}
	var t tally
	for i := range s.clients.cells {
		if belongs(i/3, i%3) {
			t.add(&s.clients.cells[i])
		}
	}
	seg.Clients = t.stats((to - from).Seconds())
	seg.Services, seg.Edges = s.services.stats(serviceNames(s.system), belongs)
	began := s.loadStarted
	for i := range seg.Services {
		x := &seg.Services[i]
		x.Availability = availability(s.recoveries, x.Service, s.system.Service(x.Service).Replicas, began.Add(from), began.Add(to))
	}
	return seg
}

// serviceNames lists the services as their file does.
func serviceNames(system *topology.System) (names []string) {
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
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
