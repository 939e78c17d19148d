// Package exec is the step machine of one mock service. It makes every decision
// about a request that depends on time: whether the request is admitted, which step
// comes next, when a call is retried, when a deadline ends a step. It has no clock,
// no goroutine and no network. An executor tells a machine what happened and when,
// and does what the machine answers:
//
//	for action := request.Begin(...); action.Kind != exec.End; {
//		do the action, until one of the events that its kind names
//		action = request.Next(event)
//	}
//
// In real time a goroutine drives one machine and blocks; in virtual time an event
// kernel drives thousands. Both get the same decisions, because a decision depends
// only on the request, the key of its random draws and the times that the machine
// is told.
//
// # State
//
// The requests of one replica share a Replica and a Queue. A Request is the machine
// of one request; its Branch runs the program. Each branch of a parallel step is a
// machine of its own, and so is each Call with its attempts and hedges. Machines
// are plain values without channels, timers or functions. A machine takes one event
// at a time, but several machines of a replica may run at once: Replica guards its
// own state, and the executor must lock a Queue.
//
// # Time
//
// Times are durations since the replica's start and never decrease. Never stands
// for "no deadline".
package exec

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// Never is later than any time.
const Never = time.Duration(math.MaxInt64)

// ActionKind names what an executor does next.
type ActionKind uint8

// The kinds of actions, with the fields of Action that each uses and the events
// that end it.
const (
	// Wait says that the event has changed nothing: the executor goes on with the
	// action under way.
	Wait ActionKind = iota + 1
	// Enter gets a worker from the replica's Queue, and waits for it until Until at
	// most: Admitted or TurnedAway. Only a Request asks for it.
	Enter
	// Identify asks the executor to call Request.Identify, which returns the next
	// action.
	Identify
	// Sleep waits for the duration For: Done.
	Sleep
	// Work does the work of Op, whose kind is OpCPU, OpUnits or OpIO: Done, with
	// Err if the work failed. Turn says how work shares the processors.
	Work
	// Hold allocates the memory of Op until the request ends: Done, with Err if the
	// system has none.
	Hold
	// Leak allocates the memory of Op for as long as Op says, whether or not the
	// request ends, and then calls Memory.Release: Done as soon as the memory is
	// allocated. With Err it is not, and must not be released.
	Leak
	// Hang waits until the fault of Op is cleared: Done, with Gone if the client
	// leaves first.
	Hang
	// Mark only counts that the fault of Op has acted: Done.
	Mark
	// MakeCall runs a Call for Op to its end: Called, made by Call.Called.
	MakeCall
	// Fork runs the machines of Branch.Branches at once, to their ends: Joined.
	Fork
	// Send sends attempt Number of a call, as Call.Attempt says, and sets a timer
	// if For is not 0: Answered for each attempt that ends, Done when the timer
	// runs out.
	Send
	// Await goes on waiting for the attempts under way and for the timer, if it
	// still runs: Answered, Done.
	Await
	// BreakOff cancels the attempts under way with everything that they started:
	// Answered for each attempt.
	BreakOff
	// Coalesce asks the replica's Flights whether another request makes this call
	// already. If none does: Done; others may now wait for the end of this call, see
	// Call.Leads. Otherwise it waits for the end of the other call, until Until at
	// most: Told, with Class, Status, Body, Degraded and Err of that end, or
	// ErrNotTold.
	Coalesce
	// Pause waits for the duration For before another attempt: Done.
	Pause
	// End says that the machine has ended, and its results can be read.
	End
)

// An Action is what a machine asks its executor to do.
type Action struct {
	Kind ActionKind
	// Op is the operation of the program that the action is for. If it has a Fault,
	// the executor counts one hit of that fault.
	Op     *behave.Op
	For    time.Duration
	Until  time.Duration
	Number int
}

// EventKind names what happened.
type EventKind uint8

// The kinds of events, with the fields of Event that each uses.
const (
	// Done says that the action has ended: Err.
	Done EventKind = iota + 1
	// Admitted says that the request has a worker: Worker.
	Admitted
	// TurnedAway says that the queue was full, or that the request has waited in it
	// until Until.
	TurnedAway
	// Called says how a call ended; Call.Called makes it.
	Called
	// Joined says that all branches of a parallel step have ended.
	Joined
	// Answered says how an attempt ended: Class, Status, RetryAfter, Body,
	// Degraded, Err.
	Answered
	// Told says how the call of another request ended: Class, Status, Body,
	// Degraded, Err.
	Told
	// Left says that the client has left while an action is under way. Instead of
	// sending it, an executor that can interrupt the action may end the action with
	// Gone set.
	Left
)

// An Event is what an executor tells a machine.
type Event struct {
	Kind EventKind
	Now  time.Duration
	// Gone says that the request's answer is not needed any more: its client has
	// left and the service stops such work, or the service itself ends.
	Gone   bool
	Worker int
	Class  outcome.Class
	// Status is the status of the answer, or 0 if there was none.
	Status int
	// RetryAfter is how long the answer asks its caller to wait before another
	// attempt; 0 means that it does not ask.
	RetryAfter time.Duration
	// Body is the body of the answer, or nil if it is not kept.
	Body []byte
	// Err says why there was no good answer, or why the action failed.
	Err error
	// Fallback is the policy that replaced a call's answer, or nil, and Age is how
	// old its answer is.
	Fallback *policy.Fallback
	Age      time.Duration
	// Degraded is how many parts of a good answer are missing or replaced, as
	// control.DegradedHeader says.
	Degraded int
	// Missed says that a look-up found no item. Shared says that another request
	// made the call.
	Missed, Shared bool
}
