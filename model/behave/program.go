// Package behave decides what a service does for one request: which faults act,
// how long it works, whom it calls, what it answers. It knows no clock, no
// goroutine and no network; executors in real and in virtual time do what it
// has decided. Every random decision is drawn from a key of seed, service,
// request and hop, so that the order of events never changes it.
package behave

import (
	"reflect"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// OpKind names what an executor does for an Op.
type OpKind uint8

// The kinds of operations, with the fields of Op that each uses.
const (
	// OpSleep waits, using nothing: For.
	OpSleep OpKind = iota + 1
	// OpCPU keeps processors busy, and the request waiting: For, Cores. For
	// Cores of 1 it takes For of processor time; else Cores processors for as
	// long as For on the clock.
	OpCPU
	// OpUnits does a fixed amount of arithmetic: Units.
	OpUnits
	// OpIO writes and syncs a temporary file: Bytes.
	OpIO
	// OpAllocate holds memory until the request ends: Bytes.
	OpAllocate
	// OpLeak holds memory beside the request: Bytes, For.
	OpLeak
	// OpCall calls another service: Call and Index, or Route and Index.
	OpCall
	// OpParallel does its Branches at once and goes on when all have ended. If
	// branches fail, the first in order decides.
	OpParallel
	// OpFail ends the request with an error: Status.
	OpFail
	// OpAbort ends the request by closing the connection without an answer.
	OpAbort
	// OpHang waits until the client leaves or the fault is cleared.
	OpHang
	// OpCorrupt damages the body of the answer that will be given.
	OpCorrupt
	// OpPanic breaks the handler; clients see what they see of OpAbort.
	OpPanic
	// OpRespond ends the request with its answer: Status, Bytes.
	OpRespond
)

// An Op is one thing that an executor does. Its kind says which fields it uses.
type Op struct {
	Kind OpKind
	// Fault is set where a fault acts: its place in the FaultSet, from 1.
	Fault  int
	Status int
	For    time.Duration
	Bytes  int64
	Units  float64
	Cores  float64
	Call   *Call
	// Route is what is called where a chain is executed.
	Route *chain.Chain
	// Index tells the calls of one request apart: it is the callee's part of
	// the hop, and of the key that chooses its replica.
	Index    int
	Branches [][]Op
}

// A Call is what a caller knows of a call, compiled once.
type Call struct {
	To, Method, Path string
	// From is the endpoint that makes the call.
	From *Endpoint
	// Site numbers the calls that a service's file has, from 0; it is the same
	// for all the requests that make the call. Executors keep the state of the
	// policies by it.
	Site         int
	RequestBytes int64
	// Policy is what the caller does about failure. Its timeout bounds an
	// attempt; 0 means that the request's time does.
	Policy  policy.Call
	OnError topology.OnError
	Answers map[string]topology.Answer
	// Kept says that the request's own answer tells the call's.
	Kept bool
	// Names are those in braces in the path, which FillPath fills in.
	Names []string
	// Operations are what the call asks a data store for, one after another; none
	// if the callee is a service. Path then describes them, and RequestBytes is the
	// length of each value that is written.
	Operations []topology.Operation
	// OnMiss is the look-up that must have missed for the call to be made; nil if
	// the call depends on none.
	OnMiss *Lookup
	// Coalesce says that the requests of a replica that miss the same item at once
	// share the call.
	Coalesce bool
}

// A Lookup is a call that reads one item of a data store.
type Lookup struct {
	// Store is the name of the store, Index that of the call.
	Store string
	Index int
}

// MethodStore is the method of calls of data stores, which have none.
const MethodStore = "STORE"

// ToStore reports whether the callee is a data store.
func (c *Call) ToStore() bool { return len(c.Operations) > 0 }

// SameAs reports whether a call of another description of the service makes requests that
// the same policies bound: those of the same endpoint to the same endpoint of its callee.
func (c *Call) SameAs(other *Call) bool {
	return c.From.Method == other.From.Method && c.From.Path == other.From.Path &&
		c.To == other.To && c.Method == other.Method && c.Path == other.Path && reflect.DeepEqual(c.Policy, other.Policy)
}

// Managed reports whether the call has policies other than a timeout, so that an
// executor has to ask a policy.Caller about it.
func (c *Call) Managed() bool {
	rest := c.Policy
	rest.Timeout = 0
	return !rest.IsZero()
}

// Hop is the place of a call in the tree of calls that a request makes: the
// indexes of the calls that led there, such as 0.2.1. The request from outside
// has the empty hop.
func Hop(parent string, index int) string {
	if parent == "" {
		return strconv.Itoa(index)
	}
	return parent + "." + strconv.Itoa(index)
}

// AttemptHop is the hop of the n-th request that is sent for one call, counted
// from 1: a further one makes its callee decide anew.
func AttemptHop(hop string, n int) string {
	if n <= 1 {
		return hop
	}
	return hop + "~" + strconv.Itoa(n)
}

// Consequence is what a failed call, which was answered with a status or with
// none (0), does to the request that made it: the answer that the request fails
// with, or false where it goes on. An answer without a body says what failed.
//
// A failure that the call's Answers do not name propagates, if it does, as 504
// for a timeout; 503 where the call was not sent at all (breaker open, rejected,
// cancelled); 502 for the rest, as a gateway answers for an upstream that is not
// there, answers with an error, or answers what cannot be read.
func (c *Call) Consequence(class outcome.Class, status int) (answer topology.Answer, fails bool) {
	if class == outcome.OK {
		return answer, false
	}
	if c.Answers != nil {
		keys := [...]string{strconv.Itoa(status), string(class), topology.Other}
		for _, key := range keys {
			if answer, ok := c.Answers[key]; ok {
				return answer, true
			}
		}
	}
	switch {
	case c.OnError == topology.Ignore:
		return answer, false
	case class == outcome.Timeout:
		answer.Status = StatusTimeout
	case class == outcome.BreakerOpen, class == outcome.Rejected, class == outcome.Cancelled:
		answer.Status = 503
	default:
		answer.Status = 502
	}
	return answer, true
}

// StatusTimeout is what a request is answered with whose own time is over.
const StatusTimeout = 504
