package exec

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// A Branch is the machine of a program: that of a request, or that of one branch of
// a parallel step. It keeps its results to itself until it is joined, so that
// branches need no lock.
type Branch struct {
	request *Request
	ops     []behave.Op
	// next is the index of the next operation; op is the one under way.
	next int
	op   *behave.Op
	// cut says that the deadline ends the sleep under way.
	cut bool
	// left says that the client left during a call or a parallel step, and that the
	// service stops such work.
	left bool
	// err is why the operation under way could not begin.
	err error

	children []Branch
	ending   Ending
	corrupt  bool
	// held is the memory that the branch has reserved until the request's end.
	held      int64
	answers   behave.Values
	fallbacks []Fallback
	// missed holds the indexes of the look-ups that found nothing.
	missed []int
	// degraded counts the parts of the answer that are missing or replaced.
	degraded int
}

// A Fallback is an answer that replaced the answer of a call.
type Fallback struct {
	To   string
	Kind policy.FallbackKind
	// Age is how old a remembered answer is; 0 for others.
	Age time.Duration
}

func (b *Branch) begin(r *Request, ops []behave.Op) {
	b.request, b.ops = r, ops
}

// buffers takes over the buffers of a branch that has ended, to save allocations.
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

// leave is told that the client has left. It interrupts the operation under way if
// the service stops such work. It always interrupts a hang, which has nothing else
// to wait for.
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

// step goes on with the program until an action takes time or the program ends.
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

// wants reports whether to do an operation. It skips an operation that follows a
// miss if there was no miss.
func (b *Branch) wants(op *behave.Op) bool {
	return op.Kind != behave.OpCall || op.Call == nil || op.Call.OnMiss == nil || slices.Contains(b.missed, op.Call.OnMiss.Index)
}

// noteMiss notes whether a call has found its item, for the operations that follow
// a miss. If the call was shared with another request, that request has filled the
// item in.
func (b *Branch) noteMiss(op *behave.Op, e *Event) {
	switch {
	case e.Shared && e.Class == outcome.OK:
		b.missed = slices.DeleteFunc(b.missed, func(i int) bool { return i == op.Call.OnMiss.Index })
	case op.Call.ToStore() && op.Call.OnMiss == nil && (e.Missed || e.Class != outcome.OK):
		b.missed = append(b.missed, op.Index)
	}
}

// after handles the end of the operation under way, and reports whether it ends the
// branch.
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
		switch {
		case gone:
			return b.abandon()
		case op.Route != nil:
			return b.routed(op, e)
		}
		if ends = b.called(op, e); ends {
			return true
		}
	default: // work and a hang; step itself handles the other kinds
	}
	return b.goesOn(gone, e.Now)
}

// routed takes the end of a route of a chain. It does not look at the deadline, which a
// chain checks where it works, and in each call.
func (b *Branch) routed(op *behave.Op, e *Event) (ends bool) {
	if e.Err != nil {
		return b.broke(Failure{Cause: RouteFailed, Op: op, Class: e.Class, Err: e.Err})
	}
	b.degraded += e.Degraded
	return false
}

// called takes the end of a call of an endpoint, and reports whether its failure ends the
// branch.
func (b *Branch) called(op *behave.Op, e *Event) (ends bool) {
	b.degraded += e.parts()
	switch {
	case e.Fallback != nil:
		b.fallbacks = append(b.fallbacks, Fallback{To: op.Call.To, Kind: e.Fallback.Kind, Age: e.Age})
		b.keep(op.Call, e.Body)
		return false
	case e.Class == outcome.OK:
		b.keep(op.Call, e.Body)
	default:
		if answer, fails := op.Call.Consequence(e.Class, e.Status); fails {
			return b.fail(Failure{Cause: CallFailed, Status: answer.Status, Body: answer.Body, Op: op, Class: e.Class, Err: e.Err})
		}
	}
	b.noteMiss(op, e)
	return false
}

// parts returns how many parts of the request's answer a call makes missing or
// replaced: those that the call's answer reports or, if the call failed, one.
func (e *Event) parts() int {
	if e.Class == outcome.OK {
		return e.Degraded
	}
	return 1
}

// goesOn ends the branch if the client is gone or the deadline has passed.
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

// broke handles an operation that failed. A chain notes the failure and goes on, so
// its answer lacks a part. An endpoint fails with 500, except that it ignores a
// fault that could not act.
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

// keep keeps the answer of a call, if the request's own answer contains it.
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

// Branches returns the machines of the parallel step under way. Begin each with
// Start.
func (b *Branch) Branches() []Branch { return b.children }

// Start returns the first action of a branch that Branches has returned.
func (b *Branch) Start(now time.Duration) Action { return b.step(now) }

// Request returns the request to which the branch belongs.
func (b *Branch) Request() *Request { return b.request }

// Ending returns how the branch ended.
func (b *Branch) Ending() *Ending { return &b.ending }

// join takes over the results of the branches, in their order. If some failed, the
// first of them decides how the request ends.
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

// allHeld returns how much memory the branch and its children hold, joined or not.
func (b *Branch) allHeld() int64 {
	held := b.held
	for i := range b.children {
		held += b.children[i].allHeld()
	}
	return held
}
