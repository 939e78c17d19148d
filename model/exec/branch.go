package exec

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// A Branch is the machine of a program: of a request's own, or of one of the
// branches of a parallel step. What it finds out stays with it until it is
// joined, so that branches need no lock.
type Branch struct {
	request *Request
	ops     []behave.Op
	// next is the place of the next operation; op is the one under way.
	next int
	op   *behave.Op
	// cut says that the sleep under way is ended by the deadline.
	cut bool
	// left says that the client left while a call or a parallel step was under
	// way, and that the service stops such work.
	left bool
	// err is why the operation under way did not even begin.
	err error

	children []Branch
	ending   Ending
	corrupt  bool
	// held is the memory that the branch has reserved until the request's end.
	held      int64
	answers   behave.Values
	fallbacks []Fallback
	// missed are the indexes of the look-ups that found nothing.
	missed []int
	// degraded counts the parts of the answer that are not what they should be.
	degraded int
}

// A Fallback is an answer that took the place of a call's.
type Fallback struct {
	To   string
	Kind policy.FallbackKind
	// Age is that of an answer that was kept; 0 for others.
	Age time.Duration
}

func (b *Branch) begin(r *Request, ops []behave.Op) {
	b.request, b.ops = r, ops
}

// buffers takes over the buffers of a branch that has ended.
func (b *Branch) buffers(of *Branch) {
	b.children, b.fallbacks, b.missed = of.children[:0], of.fallbacks[:0], of.missed[:0]
	clear(of.children)
}

// Next takes an event and returns the branch's next action.
func (b *Branch) Next(e Event) Action {
	if e.Kind == Left {
		return b.leave()
	}
	if b.after(&e) {
		return Action{Kind: End, Op: b.op}
	}
	return b.step(e.Now)
}

// leave interrupts what is under way because the client is gone: where the
// service stops such work, and for a request that hangs and has nothing else to
// wait for.
func (b *Branch) leave() Action {
	switch {
	case b.op == nil || !b.request.replica.StopsAbandoned && b.op.Kind != behave.OpHang:
		return Action{Kind: Wait}
	case b.op.Kind == behave.OpCall, b.op.Kind == behave.OpParallel:
		b.left = true
		return Action{Kind: BreakOff, Op: b.op}
	}
	b.abandon()
	return Action{Kind: End}
}

// step goes on with the program, up to an action that takes time or to its end.
func (b *Branch) step(now time.Duration) Action {
	b.op = nil
	for b.next < len(b.ops) && !b.wants(&b.ops[b.next]) {
		b.next++
	}
	if b.next == len(b.ops) {
		return Action{Kind: End}
	}
	op := &b.ops[b.next]
	b.next++
	b.op, b.err = op, nil
	switch op.Kind {
	case behave.OpSleep:
		wait := op.For
		if left := b.request.deadline - now; left < wait {
			wait, b.cut = left, true
		}
		return Action{Kind: Sleep, Op: op, For: max(wait, 0)}
	case behave.OpCPU, behave.OpUnits, behave.OpIO:
		return Action{Kind: Work, Op: op}
	case behave.OpAllocate:
		if err := b.request.replica.Memory.Reserve(op.Bytes); err != nil {
			b.fail(Failure{Cause: NoMemory, Status: 503, Op: op, Err: err})
			return Action{Kind: End, Op: op}
		}
		b.held += op.Bytes
		return Action{Kind: Hold, Op: op}
	case behave.OpLeak:
		if b.err = b.request.replica.Memory.Reserve(op.Bytes); b.err != nil {
			return Action{Kind: Mark, Op: op}
		}
		return Action{Kind: Leak, Op: op}
	case behave.OpCall:
		return Action{Kind: MakeCall, Op: op}
	case behave.OpParallel:
		b.fork(op.Branches)
		return Action{Kind: Fork, Op: op}
	case behave.OpHang:
		return Action{Kind: Hang, Op: op}
	case behave.OpCorrupt:
		b.corrupt = true
		return Action{Kind: Mark, Op: op}
	case behave.OpFail:
		cause := ErrorRate
		if op.Fault > 0 {
			cause = FaultActed
		} else if b.request.arrival.Chain {
			cause = ChainFault
		}
		b.fail(Failure{Cause: cause, Status: op.Status, Op: op})
	default: // OpAbort, OpPanic, OpRespond
		b.ending = Ending{Kind: op.Kind}
	}
	return Action{Kind: End, Op: op}
}

// wants reports whether an operation is to be done: one that follows a miss is not,
// unless there was one.
func (b *Branch) wants(op *behave.Op) bool {
	return op.Kind != behave.OpCall || op.Call == nil || op.Call.OnMiss == nil || slices.Contains(b.missed, op.Call.OnMiss.Index)
}

// noteMiss keeps whether the item of a call is missing for those that follow it. A
// call that another request has made for this one has filled it in.
func (b *Branch) noteMiss(op *behave.Op, e *Event) {
	switch {
	case e.Shared && e.Class == outcome.OK:
		b.missed = slices.DeleteFunc(b.missed, func(i int) bool { return i == op.Call.OnMiss.Index })
	case op.Call.ToStore() && op.Call.OnMiss == nil && (e.Missed || e.Class != outcome.OK):
		b.missed = append(b.missed, op.Index)
	}
}

// after does what the end of the operation under way asks for, and reports
// whether it ends the branch.
func (b *Branch) after(e *Event) (ends bool) {
	op := b.op
	b.op = nil
	gone := e.Gone || b.left
	switch op.Kind {
	case behave.OpSleep:
		if b.cut && !gone {
			return b.timeIsOver()
		}
		return gone && b.abandon()
	case behave.OpIO:
		if e.Err != nil {
			return b.broke(Failure{Cause: WorkFailed, Op: op, Err: e.Err})
		}
	case behave.OpAllocate:
		if e.Err != nil {
			b.held -= op.Bytes
			b.request.replica.Memory.Release(op.Bytes)
			return b.fail(Failure{Cause: NoMemory, Status: 503, Op: op, Err: e.Err})
		}
	case behave.OpLeak:
		if b.err == nil && e.Err != nil {
			b.err = e.Err
			b.request.replica.Memory.Release(op.Bytes)
		}
		return b.err != nil && b.broke(Failure{Cause: LeakFailed, Op: op, Err: b.err})
	case behave.OpCorrupt:
		return false
	case behave.OpParallel:
		return b.join() || gone && b.abandon()
	case behave.OpCall:
		if gone {
			return b.abandon()
		}
		if op.Route != nil {
			// A chain's time is looked at where it works, and by each call.
			if e.Err != nil {
				return b.broke(Failure{Cause: RouteFailed, Op: op, Class: e.Class, Err: e.Err})
			}
			b.degraded += e.Degraded
			return false
		}
		b.degraded += e.parts()
		if e.Class != outcome.OK && e.Fallback == nil {
			if answer, fails := op.Call.Consequence(e.Class, e.Status); fails {
				return b.fail(Failure{Cause: CallFailed, Status: answer.Status, Body: answer.Body, Op: op, Class: e.Class, Err: e.Err})
			}
			b.noteMiss(op, e)
			break
		}
		if e.Fallback == nil {
			b.noteMiss(op, e)
		}
		if e.Fallback != nil {
			b.fallbacks = append(b.fallbacks, Fallback{To: op.Call.To, Kind: e.Fallback.Kind, Age: e.Age})
		}
		b.keep(op.Call, e.Body)
	default: // work and a hang; the others are ended by step
	}
	return b.goesOn(gone, e.Now)
}

// parts counts what a call adds to the parts of an answer that are not what they
// should be: those of its own answer or, where it failed, itself.
func (e *Event) parts() int {
	if e.Class == outcome.OK {
		return e.Degraded
	}
	return 1
}

// goesOn ends the branch if nobody waits for it, or its time is over.
func (b *Branch) goesOn(gone bool, now time.Duration) (ends bool) {
	switch {
	case gone:
		return b.abandon()
	case now >= b.request.deadline:
		return b.timeIsOver()
	}
	return false
}

func (b *Branch) timeIsOver() (ends bool) {
	return b.fail(Failure{Cause: TimeOver, Status: behave.StatusTimeout})
}

func (b *Branch) abandon() (ends bool) {
	b.ending = Ending{Kind: behave.OpAbort}
	return true
}

func (b *Branch) fail(f Failure) (ends bool) {
	b.ending = Ending{Kind: behave.OpFail, Failure: f}
	return true
}

// broke takes an operation that went wrong by itself. A chain notes it and goes
// on, which leaves a part of its answer out; an endpoint fails with 500, unless it
// was a fault that could not act.
func (b *Branch) broke(f Failure) (ends bool) {
	switch {
	case b.request.arrival.Chain:
		b.request.noted = append(b.request.noted, f)
		b.degraded++
		return false
	case f.Op.Fault > 0:
		return false
	}
	f.Status = 500
	return b.fail(f)
}

// keep notes the answer of a call, if the request's own tells it.
func (b *Branch) keep(call *behave.Call, body []byte) {
	if !call.Kept {
		return
	}
	if b.answers == nil {
		b.answers = behave.Values{}
	}
	b.answers[call.To] = behave.AnswerValue(body)
}

// fork makes a machine for each branch of a parallel step.
func (b *Branch) fork(programs [][]behave.Op) {
	b.children = b.children[:0]
	for _, ops := range programs {
		b.children = append(b.children, Branch{request: b.request, ops: ops})
	}
}

// Branches are the machines of the parallel step under way. Each begins with
// Start.
func (b *Branch) Branches() []Branch { return b.children }

// Start returns the first action of a branch that Branches has returned.
func (b *Branch) Start(now time.Duration) Action { return b.step(now) }

// Request is the request that the branch belongs to.
func (b *Branch) Request() *Request { return b.request }

// Ending is how the branch has ended.
func (b *Branch) Ending() *Ending { return &b.ending }

// join takes over what the branches have found out, in their order. The first
// that failed, in that order, decides.
func (b *Branch) join() (ends bool) {
	for i := range b.children {
		child := &b.children[i]
		b.corrupt = b.corrupt || child.corrupt
		b.held += child.held
		child.held = 0
		b.fallbacks = append(b.fallbacks, child.fallbacks...)
		b.degraded += child.degraded
		for to, answer := range child.answers {
			if b.answers == nil {
				b.answers = behave.Values{}
			}
			b.answers[to] = answer
		}
		if child.ending.Kind != 0 && !ends {
			b.ending, ends = child.ending, true
		}
	}
	return ends
}

// allHeld is what the branch and those below it hold, joined or not.
func (b *Branch) allHeld() int64 {
	held := b.held
	for i := range b.children {
		held += b.children[i].allHeld()
	}
	return held
}
