package measure

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Segmenter cuts a run that has ended into segments.
type Segmenter struct {
	System   *topology.System
	Schedule *Schedule
	Clients  *Clients
	Services *Services
	// LoadStarted is the zero of the schedule.
	LoadStarted time.Time
	Recoveries  []result.Recovery
	// Tail is nil if the system was not watched after the load.
	Tail *result.Tail

	// end is the end of the load, until the end of its last request.
	end, until time.Duration
}

// Segments returns the segments: the whole run, its phases and, if faults acted,
// the parts before, during and after them. It leaves out those that the run did not
// reach. end is the end of the load; the whole run, the last phase and the last
// part last until the last request has ended.
func (s *Segmenter) Segments(end time.Duration) []result.Segment {
	s.end, s.until = end, s.Clients.Until(end)
	phases := len(s.Schedule.phases)
	all := []result.Segment{s.segment(result.WholeRun, "", 0, s.until, func(slot, _ int) bool { return slot <= phases })}
	for i := range s.Schedule.phases {
		from, to, last := s.Schedule.start(i), s.until, phases
		if i+1 < phases && s.Schedule.start(i+1) < end {
			to, last = s.Schedule.start(i+1), i
		}
		if from < end && from < to {
			all = append(all, s.segment(result.LoadPhase, s.Schedule.phases[i].name, from, to, func(slot, _ int) bool { return slot >= i && slot <= last }))
		}
	}
	all = append(all, s.faultParts()...)
	if s.Tail == nil {
		return all
	}
	to := end + time.Duration(s.Tail.Length*1e9)
	return append(all, s.segment(result.TailPart, experiment.AfterLoad, end, to, func(slot, _ int) bool { return slot >= phases }))
}

// momentary is the length below which a part without requests is left out.
const momentary = 10 * time.Millisecond

// faultParts returns the segments before, during and after the faults.
func (s *Segmenter) faultParts() (list []result.Segment) {
	faults := s.Schedule.faultSpan()
	if faults.Asked >= s.end {
		return nil
	}
	windows := []struct {
		part     int
		name     string
		from, to time.Duration
	}{
		{beforeFaults, experiment.Before, 0, faults.Asked},
		{duringFaults, experiment.During, faults.From, min(faults.ClearAsked, s.until)},
		{afterFaults, experiment.After, faults.To, s.until},
	}
	phases := len(s.Schedule.phases)
	for _, w := range windows {
		if w.from >= w.to || w.from >= s.end {
			continue
		}
		seg := s.segment(result.FaultPart, w.name, w.from, w.to, func(slot, part int) bool { return slot <= phases && part == w.part })
		// A fault at the start of the load is asked for a moment later; leave out
		// the empty part before it.
		if w.to-w.from >= momentary || seg.Clients.Requests+seg.Clients.Ended > 0 {
			list = append(list, seg)
		}
	}
	return list
}

// segment returns the figures of the cells whose slot and part belong to it.
func (s *Segmenter) segment(kind result.SegmentKind, name string, from, to time.Duration, belongs func(slot, part int) bool) result.Segment {
	seg := result.Segment{Kind: kind, Name: name, From: from.Seconds(), To: to.Seconds()}
	var t Tally
	var ended, good int64
	if kind != result.TailPart { // requests of clients belong to the last phase
		for i := range s.Clients.cells {
			if belongs(i/parts, i%parts) {
				t.add(&s.Clients.cells[i])
			}
		}
		for i := range s.Clients.ends {
			if belongs(i/parts, i%parts) {
				ended, good = ended+s.Clients.ends[i].all.Load(), good+s.Clients.ends[i].good.Load()
			}
		}
	}
	seg.Clients = t.stats((min(to, s.end) - from).Seconds(), (to - from).Seconds(), ended, good)
	seg.Services, seg.Edges = s.Services.stats(ServiceNames(s.System), belongs)
	began := s.LoadStarted
	for i := range seg.Services {
		x := &seg.Services[i]
		x.Availability = availability(s.Recoveries, x.Service, s.System.Service(x.Service).Replicas, began.Add(from), began.Add(to))
	}
	return seg
}

// ServiceNames lists the services in the order of their file.
func ServiceNames(system *topology.System) (names []string) {
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
	}
	return names
}

// availability returns the share, from 0 to 1, of a time in which at least one
// replica of a service was up.
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
