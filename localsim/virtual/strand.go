package virtual

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// A strand drives one branch of a request: its root, or a branch of a parallel
// step.
type strand struct {
	live    bool
	serving int32
	branch  *exec.Branch
	// parent is the strand that waits for this one; -1 for a root.
	parent int32
	// running counts the branches that are under way; kids are their strands.
	running int
	kids    []int32
	call    int32 // calling, -1 if none
	timer   des.Timer
	onCPU   bool
	// paid is the call that begins when the job on a processor is done; nil if the job
	// is work.
	paid *behave.Op
	// work is the processor time that the job needs; left is what comes after it, if the
	// work takes turns. inTurn says that the job is a turn. ticket is the strand's place
	// in the line for a thread, and keeps its value during the turn; else it is 0.
	work, left time.Duration
	inTurn     bool
	ticket     uint64
	// burden is how many processors its work with other than one core keeps busy.
	burden float64
	// hanging is the fault that makes it hang.
	hanging *acting
	// blocked says that it hangs by a fault of a chain, which is never cleared.
	blocked bool
}

func (s *strand) reset(serving int32, branch *exec.Branch, parent int32) {
	*s = strand{live: true, serving: serving, branch: branch, parent: parent, call: -1, kids: s.kids[:0]}
}

// run does the actions of a branch up to one that takes time, or to its end.
func (w *world) run(i int32, a exec.Action) {
	s := w.strands.at(i)
	for {
		sv := w.servings.at(s.serving)
		if a.Op != nil && a.Op.Fault > 0 {
			w.hitFault(sv, a.Op.Fault)
		}
		e := exec.Event{Kind: exec.Done}
		switch a.Kind {
		case exec.End:
			w.endStrand(i)
			return
		case exec.Sleep:
			if a.For > 0 {
				s.timer = w.sleep(sv, a.For, event{stepDone, i, w.strands.gens[i]})
				return
			}
		case exec.Work:
			if w.work(i, a.Op) {
				return
			}
		case exec.Hold:
			w.holdFor(s, a.Op.Bytes)
			if !s.live {
				return // its process was killed
			}
		case exec.Leak:
			w.leak(s, a.Op)
			if !s.live {
				return
			}
		case exec.Hang:
			if !w.hang(i, a.Op) {
				return
			}
			e.Gone = true
		case exec.Fork:
			w.fork(i)
			return
		case exec.MakeCall:
			if !w.payForCall(i, a.Op) {
				w.makeCall(i, a.Op)
			}
			return
		default: // Mark, Wait, BreakOff
			if a.Kind != exec.Mark {
				return
			}
		}
		e.Now, e.Gone = w.now(), e.Gone || w.gone(sv)
		a = s.branch.Next(e)
	}
}

// gone reports whether work must be broken off.
func (w *world) gone(sv *serving) bool { return sv.left && w.stops(sv) }

// next tells a branch what has happened.
func (w *world) next(i int32, e exec.Event) {
	s := w.strands.at(i)
	e.Now, e.Gone = w.now(), e.Gone || w.gone(w.servings.at(s.serving))
	w.run(i, s.branch.Next(e))
}

// stepDone handles the end of an action that took time.
func (w *world) stepDone(e event) {
	if !w.strands.is(e.a, e.gen) {
		return
	}
	if s := w.strands.at(e.a); !w.parks(w.servings.at(s.serving).replica, e) {
		w.finishStep(e.a)
	}
}

func (w *world) finishStep(i int32) {
	s := w.strands.at(i)
	if op := s.paid; op != nil {
		s.paid = nil
		w.makeCall(i, op)
		return
	}
	w.unburden(s)
	w.next(i, exec.Event{Kind: exec.Done})
}

// payForCall begins the processor time of a call at its caller. It returns false if
// a call costs nothing there.
func (w *world) payForCall(i int32, op *behave.Op) bool {
	s := w.strands.at(i)
	r := w.replicas[w.servings.at(s.serving).replica]
	if s.work = w.services[r.service].callCPU; s.work <= 0 {
		return false
	}
	s.paid, s.onCPU = op, true
	w.cpu.Add(int(r.group), w.now(), s.work, i)
	return true
}

// work begins work. It returns false if there is nothing to do.
func (w *world) work(i int32, op *behave.Op) bool {
	s := w.strands.at(i)
	sv := w.servings.at(s.serving)
	r := w.replicas[sv.replica]
	switch {
	case op.Kind == behave.OpIO:
		s.timer = w.k.At(w.write(op.Bytes), event{stepDone, i, w.strands.gens[i]})
		return true
	case op.Kind == behave.OpUnits:
		s.work = time.Duration(op.Units * float64(w.machine.CPUUnit))
	case op.Cores == 1 && w.services[r.service].takesTurns:
		if s.left = op.For; s.left <= 0 {
			return false
		}
		w.lineUp(i)
		return true
	case op.Cores == 1:
		s.work = op.For
	default:
		// This work takes its time on the clock, whatever else runs.
		if op.For <= 0 {
			return false
		}
		s.burden = op.Cores
		w.cpu.Burden(int(r.group), w.now(), w.cpu.Burdened(int(r.group))+s.burden)
		w.services[r.service].counts.cpu += time.Duration(op.Cores * float64(op.For))
		s.timer = w.k.After(op.For, event{stepDone, i, w.strands.gens[i]})
		return true
	}
	if s.work <= 0 {
		return false
	}
	s.onCPU = true
	w.cpu.Add(int(r.group), w.now(), s.work, i)
	return true
}

func (w *world) unburden(s *strand) {
	if s.burden > 0 {
		g := w.groupOf(s)
		w.cpu.Burden(g, w.now(), w.cpu.Burdened(g)-s.burden)
		s.burden = 0
	}
}

// ioUnit is how many bytes are written between two syncs, as in real services.
const ioUnit = 512 << 10

// diskIdleAfter is the idle time after which the next sync of a disk is slower: on a
// virtual disk, syncs after pauses of 2 to 20 ms took 1.7 to 2.3 times as long as syncs
// after less than 1 ms.
const diskIdleAfter = 2 * time.Millisecond

// write queues a file at the disk, and returns when it will be written and synced.
func (w *world) write(bytes int64) time.Duration {
	syncs := (bytes + ioUnit - 1) / ioUnit
	took := time.Duration(syncs)*w.machine.DiskSync + time.Duration(float64(bytes)/w.machine.DiskRate*1e9)
	if w.now()-w.disk.Free() >= diskIdleAfter {
		took += w.machine.DiskIdle
	}
	if w.ioStress > 0 { // each stress takes as large a share as each writer
		took *= time.Duration(1 + w.ioStress)
	}
	return w.disk.Take(w.now(), took)
}

// holdFor holds memory until the request ends.
func (w *world) holdFor(s *strand, size int64) {
	sv := w.servings.at(s.serving)
	sv.held += size
	w.hold(sv.replica, size)
}

// A leak is memory that is held independently of requests.
type leak struct {
	replica     int32
	incarnation int
	size        int64
}

func (w *world) leak(s *strand, op *behave.Op) {
	sv := w.servings.at(s.serving)
	i, l := w.leaks.take()
	*l = leak{sv.replica, w.replicas[sv.replica].incarnation, op.Bytes}
	w.k.After(op.For, event{leakOver, i, 0})
	w.hold(sv.replica, op.Bytes)
}

func (w *world) leakOver(e event) {
	l := w.leaks.at(e.a)
	if r := w.replicas[l.replica]; r.incarnation == l.incarnation {
		r.held -= l.size
		r.machine.Memory.Release(l.size)
	}
	w.leaks.release(e.a)
}

// hang makes a branch wait for the end of a fault. It returns true, and does not
// wait, if the client has left.
func (w *world) hang(i int32, op *behave.Op) bool {
	s := w.strands.at(i)
	sv := w.servings.at(s.serving)
	if sv.left {
		return true
	}
	if f := sv.faults.acting(op.Fault); f != nil {
		if f.over {
			w.k.After(0, event{stepDone, i, w.strands.gens[i]})
			return false
		}
		s.hanging = f
		f.hanging = append(f.hanging, handle{i, w.strands.gens[i]})
		return false
	}
	s.blocked = true
	return false
}

// A handle names one use of a record in a pool.
type handle struct {
	i   int32
	gen uint32
}

// fork runs the branches of a parallel step.
func (w *world) fork(i int32) {
	s := w.strands.at(i)
	branches := s.branch.Branches()
	if len(branches) == 0 {
		w.next(i, exec.Event{Kind: exec.Joined})
		return
	}
	s.running, s.kids = len(branches), s.kids[:0]
	for b := range branches {
		k, kid := w.strands.take()
		kid.reset(s.serving, &branches[b], i)
		s.kids = append(s.kids, k)
	}
	kids := s.kids
	for b := range branches {
		w.run(kids[b], branches[b].Start(w.now()))
		if !s.live || s.serving < 0 {
			return
		}
	}
}

// endStrand handles the end of a branch.
func (w *world) endStrand(i int32) {
	s := w.strands.at(i)
	parent, serving := s.parent, s.serving
	w.freeStrand(i)
	if parent < 0 {
		w.finish(serving)
		return
	}
	p := w.strands.at(parent)
	for k := range p.kids {
		if p.kids[k] == i {
			p.kids[k] = -1
		}
	}
	if p.running--; p.running == 0 {
		w.next(parent, exec.Event{Kind: exec.Joined})
	}
}

func (w *world) freeStrand(i int32) {
	s := w.strands.at(i)
	s.live, s.branch, s.hanging, s.blocked = false, nil, nil, false
	w.strands.release(i)
}

// leave interrupts a branch because the client has left and the service stops such
// work.
func (w *world) leave(i int32) {
	s := w.strands.at(i)
	gen := w.strands.gens[i]
	a := s.branch.Next(exec.Event{Kind: exec.Left, Now: w.now()})
	switch a.Kind {
	case exec.End:
		w.stopAction(i)
		w.run(i, a)
	case exec.BreakOff:
		if s.call >= 0 {
			w.leaveCall(s.call)
			return
		}
		for _, k := range append([]int32(nil), s.kids...) {
			if k >= 0 && w.strands.is(i, gen) && w.strands.at(k).live {
				w.leave(k)
			}
		}
	default: // Wait: the action under way goes on
	}
}

// leaveHanging ends the hangs in a branch and below it, because the client has
// left.
func (w *world) leaveHanging(i int32) {
	s := w.strands.at(i)
	if s.hanging != nil || s.blocked {
		w.stopAction(i)
		w.next(i, exec.Event{Kind: exec.Done, Gone: true})
		return
	}
	gen := w.strands.gens[i]
	for _, k := range append([]int32(nil), s.kids...) {
		if k >= 0 && w.strands.is(i, gen) && s.running > 0 && w.strands.at(k).live && w.strands.at(k).parent == i {
			w.leaveHanging(k)
		}
	}
}

// stopAction cancels the action for which a branch waits.
func (w *world) stopAction(i int32) {
	s := w.strands.at(i)
	w.k.Cancel(s.timer)
	if s.onCPU {
		w.cpu.Remove(w.groupOf(s), w.now(), i)
		s.onCPU = false
	}
	w.stopTurns(s)
	w.unburden(s)
	s.hanging, s.blocked = nil, false
}

// dropStrand ends a branch, and all below it, because its process ends.
func (w *world) dropStrand(i int32) {
	s := w.strands.at(i)
	w.stopAction(i)
	if s.call >= 0 {
		w.dropCall(s.call)
	}
	for _, k := range s.kids {
		if k >= 0 && s.running > 0 && w.strands.at(k).live && w.strands.at(k).parent == i {
			w.dropStrand(k)
		}
	}
	w.freeStrand(i)
}
