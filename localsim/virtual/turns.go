package virtual

import (
	"cmp"
	"math"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// Work on processors takes turns, as exec.Turn says. Services without a limit share the
// threads of the machine, as those of one process do. A replica with a limit is a process
// of its own.

// A place in the line for a thread is void if the strand has another ticket by now.
type place struct {
	strand int32
	ticket uint64
}

// newThreads returns the threads for work of a process that may use a quota of the
// machine's processors. Go's runtime rounds a quota up, and takes at least 2 processors if
// the machine has them (runtime/cgroup_linux.go).
func newThreads(quota, machine float64) *des.Servers[place] {
	return des.NewServers[place](int(math.Ceil(min(max(2, quota), machine))), -1)
}

// groupOf returns the group of processors of a strand's process.
func (w *world) groupOf(s *strand) int {
	return int(w.replicas[w.servings.at(s.serving).replica].group)
}

// threadsOf returns the threads on which a strand works.
func (w *world) threadsOf(s *strand) *des.Servers[place] { return w.threads[w.groupOf(s)] }

// lineUp makes a strand wait for a thread for the work that is left.
func (w *world) lineUp(i int32) {
	s := w.strands.at(i)
	w.tickets++
	s.ticket = w.tickets
	if served, _ := w.threadsOf(s).Enter(place{i, s.ticket}); served {
		w.startTurn(i)
	}
}

func (w *world) startTurn(i int32) {
	s := w.strands.at(i)
	s.work = exec.Slice(s.left)
	s.left -= s.work
	s.work += w.machine.TurnCPU
	s.onCPU, s.inTurn = true, true
	w.cpu.Add(w.groupOf(s), w.now(), s.work, i)
}

// turnOver handles the end of a turn. It returns true if the strand has more to do.
func (w *world) turnOver(i int32) (more bool) {
	s := w.strands.at(i)
	s.inTurn, s.ticket = false, 0
	if more = s.left > 0; more {
		w.lineUp(i)
	}
	w.passThread(s)
	return more
}

// passThread gives the thread of a strand to the next in the line.
func (w *world) passThread(s *strand) {
	for threads := w.threadsOf(s); ; {
		next, ok := threads.Leave()
		if !ok {
			return
		}
		if w.strands.at(next.strand).ticket == next.ticket {
			w.startTurn(next.strand)
			return
		}
	}
}

// stopTurns ends the work of a strand, which is no longer on a processor.
func (w *world) stopTurns(s *strand) {
	s.ticket, s.left = 0, 0
	if s.inTurn {
		s.inTurn = false
		w.passThread(s)
	}
}

// freezeTurns takes a strand of a paused process off its thread, or out of the line.
func (w *world) freezeTurns(r *replica, i int32) {
	s := w.strands.at(i)
	w.tickets++
	r.frozen = append(r.frozen, frozenJob{id: i, place: s.ticket, ticket: w.tickets})
	s.ticket = w.tickets // its place in the line is void
	if !s.inTurn {
		return
	}
	left, _ := w.cpu.Remove(int(r.group), w.now(), i)
	w.services[r.service].counts.cpu += s.work - left
	s.left += left
	s.onCPU, s.inTurn = false, false
	w.passThread(s)
}

// thaw lets the work of a process go on, in the order in which it stood.
func (w *world) thaw(r *replica) {
	slices.SortStableFunc(r.frozen, func(a, b frozenJob) int { return cmp.Compare(a.place, b.place) })
	for _, j := range r.frozen {
		switch {
		case j.ticket == 0:
			w.cpu.Add(int(r.group), w.now(), j.left, j.id)
		case w.strands.at(j.id).ticket == j.ticket:
			w.lineUp(j.id)
		}
	}
	r.frozen = nil
}
