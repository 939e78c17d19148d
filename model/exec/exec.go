// Package exec is the step machine of one mock service. It holds every decision
// about a request that takes time into account: who is let in, what is done
// next, when a call is sent again, when a deadline ends what is under way. It
// has no clock, no goroutine and no network. An executor tells a machine what
// happened and when, and does what the machine answers:
//
//	for action := request.Begin(...); action.Kind != exec.End; {
//		do the action, until one of the events that its kind names
//		action = request.Next(event)
//	}
//
// A goroutine that blocks drives one machine in real time; an event kernel drives
// thousands in virtual time. Both take the same decisions, because each follows
// from the request, the key of its random draws and the times it is told.
//
// # State
//
// A Replica and a Queue are what the requests of one replica share. A Request is
// the state of one request, with the Branch that runs its program; the branches
// of a parallel step are machines of their own, and so is each Call with its
// attempts and hedges. Machines are plain values that hold no channel, timer or
// function. A machine is told one event at a time. Several machines of a replica
// may be driven at once: what they share is guarded in Replica, and a Queue by
// its executor.
//
// # Time
//
// Times are durations since the replica's start and never go back. Never stands
// for a deadline that does not come.
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
	// Wait asks the executor to go on with what is under way: the event has
	// changed nothing.
	Wait ActionKind = iota + 1
	// Enter asks the replica's Queue for a worker, and waits for it at most until
	// Until: Admitted or TurnedAway. Only Request asks for it.
	Enter
	// Identify asks for Request.Identify, which returns the next action.
	Identify
	// Sleep waits For, using nothing: Done.
	Sleep
	// Work does Op, which is of kind OpCPU, OpUnits or OpIO: Done, with Err if the
	// work failed. Turn says how work shares the processors.
	Work
	// Hold makes the memory of Op real until the request ends: Done, with Err if
	// the system gives none.
	Hold
	// Leak makes the memory of Op real for as long as Op says, beside the request,
	// and gives it back with Memory.Release: Done as soon as that has begun. With
	// Err it has not, and nothing is to be released.
	Leak
	// Hang waits until the fault of Op is cleared: Done; with Gone if the client
	// leaves first.
	Hang
	// Mark does nothing but count that the fault of Op has acted: Done.
	Mark
	// MakeCall runs a Call for Op: Called, which Call.Called returns.
	MakeCall
	// Fork runs the machines that Branch.Branches returns at once: Joined when
	// all have ended.
	Fork
	// Send sends attempt Number of a call, as Call.Attempt says, and sets a timer
	// if For is not 0: Answered for each attempt under way, Done when the timer
	// has run out.
	Send
	// Await waits on for the attempts under way and for the timer, if it still
	// runs: Answered, Done.
	Await
	// BreakOff cancels the attempts under way, and everything below them:
	// Answered for each.
	BreakOff
	// Coalesce asks the replica's Flights whether another request makes this call
	// already. If none does: Done; the end of this call is then for those who wait,
	// see Call.Leads. Otherwise it waits for that one's end, at most until Until:
	// Told, with Class, Status, Body, Degraded and Err of that end, or of ErrNotTold.
	Coalesce
	// Pause waits For before another attempt: Done.
	Pause
	// End says that the machine has ended; its results can be read.
	End
)

// An Action is what an executor is to do.
type Action struct {
	Kind ActionKind
	// Op is the operation of the program that the action is for. If its Fault is
	// set, the action is one hit of that fault.
	Op     *behave.Op
	For    time.Duration
	Until  time.Duration
	Number int
}

// EventKind names what has happened.
type EventKind uint8

// The kinds of events, with the fields of Event that each uses.
const (
	// Done says that the action is done: Err.
	Done EventKind = iota + 1
	// Admitted says that the request has a worker: Worker.
	Admitted
	// TurnedAway says that the queue was full, or that the wait in it is over.
	TurnedAway
	// Called says how a call has ended; made by Call.Called.
	Called
	// Joined says that all branches of a parallel step have ended.
	Joined
	// Answered says how an attempt has ended: Class, Status, RetryAfter, Body,
	// Degraded, Err.
	Answered
	// Told says how a call has ended that another request made.
	Told
	// Left interrupts: the client is gone while the action is under way. An
	// executor whose waiting can be ended may, instead, end it and set Gone.
	Left
)

// An Event is what a machine is told.
type Event struct {
	Kind EventKind
	Now  time.Duration
	// Gone says that nobody waits for the request any longer: its client has left
	// and the service stops such work, or the service itself ends.
	Gone   bool
	Worker int
	Class  outcome.Class
	// Status is that of the answer; 0 means that there was none.
	Status int
	// RetryAfter is how long the answer asks its caller to wait before another
	// attempt; 0 means that it asks for nothing.
	RetryAfter time.Duration
	// Body is the answer's, or nil if it is not kept.
	Body []byte
	// Err says why there was no good answer, or why the action failed.
	Err error
	// Fallback is what took the place of a call's answer, if anything did, and Age
	// how old that is.
	Fallback *policy.Fallback
	Age      time.Duration
	// Degraded is how many parts of a good answer are not what they should be, as
	// control.DegradedHeader says.
	Degraded int
	// Missed says that a look-up found no item, Shared that another request made
	// the call.
	Missed, Shared bool
}
