// Package behave decides what a service does for one request: which faults act, how
// long it works, which services it calls, what it answers. It has no clock, no
// goroutine and no network; executors in real and in virtual time carry out its
// decisions. Every random decision is drawn from a key of seed, service, request
// and hop, so that the order of events never changes it.
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
	// OpLeak holds memory independently of the request: Bytes, For.
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
	// OpPanic breaks the handler; clients see the same as with OpAbort.
	OpPanic
	// OpRespond ends the request with its answer: Status, Bytes.
	OpRespond
)

// An Op is one thing that an executor does. Its kind says which fields it uses.
type Op struct {
	Kind OpKind
	// Fault is the fault that acts: its place in the FaultSet, counted from 1; 0
	// means none.
	Fault  int
	Status int
	For    time.Duration
	Bytes  int64
	Units  float64
	Cores  float64
	Call   *Call
	// Route is the route that is called, if the request is a chain.
	Route *chain.Chain
	// Index identifies a call of one request: it is the last part of the callee's
	// hop, and part of the key that chooses its replica.
	Index    int
	Branches [][]Op
}

// A Call is a call of the file, compiled for its caller.
type Call struct {
	To, Method, Path string
	// From is the endpoint that makes the call.
	From *Endpoint
	// Site numbers the calls in a service's description from 0. All requests that
	// make the call share it, and executors keep the state of policies by it.
	Site         int
	RequestBytes int64
	// Policy is what the caller does about failure. Its timeout bounds an attempt;
	// 0 means that only the request's deadline does.
	Policy  policy.Call
	OnError topology.OnError
	Answers map[string]topology.Answer
	// Kept says that the request's own answer contains the answer of the call.
	Kept bool
	// Names are the names in braces in the path, which FillPath replaces.
	Names []string
	// Operations are the operations of a data store, one after another; none if the
	// callee is a service. With operations, Path describes them, and RequestBytes
	// is the length of each written value.
	Operations []topology.Operation
	// OnMiss is the look-up that must have missed for the call to be made; nil if
	// the call does not depend on one.
	OnMiss *Lookup
	// Coalesce says that the requests of a replica that miss the same item at once
	// share the call.
	Coalesce bool
}

// A Lookup is a call that reads one item of a data store.
type Lookup struct {
	// Store is the name of the store, Index the Op.Index of the call.
	Store string
	Index int
}

// MethodStore is the method of calls of data stores, which have none.
const MethodStore = "STORE"

// ToStore reports whether the callee is a data store.
func (c *Call) ToStore() bool { return len(c.Operations) > 0 }

// SameAs reports whether a call of another description of the service is the same call
// with the same policies: from the same endpoint to the same endpoint of its callee.
func (c *Call) SameAs(other *Call) bool {
	return c.From.Method == other.From.Method && c.From.Path == other.From.Path &&
		c.To == other.To && c.Method == other.Method && c.Path == other.Path && reflect.DeepEqual(c.Policy, other.Policy)
}

// Managed reports whether the call has policies other than a timeout, so that an
// executor must ask a policy.Caller about it.
func (c *Call) Managed() bool {
	rest := c.Policy
	rest.Timeout = 0
	return !rest.IsZero()
}

// Hop returns the place of a call in the tree of calls of a request: the indexes of
// the calls that led there, such as 0.2.1. The request from outside has the empty
// hop.
func Hop(parent string, index int) string {
	if parent == "" {
		return strconv.Itoa(index)
	}
	return parent + "." + strconv.Itoa(index)
}

// AttemptHop returns the hop of the n-th request that is sent for one call, counted
// from 1. From the second request on it differs, so that the callee decides anew.
func AttemptHop(hop string, n int) string {
	if n <= 1 {
		return hop
	}
	return hop + "~" + strconv.Itoa(n)
}

// Consequence returns what a failed call does to the request that made it: the
// answer with which the request fails, or false if the request goes on. status is
// the status of the call's answer, or 0 if there was none. An answer without a body
// gets a text that says what failed.
//
// A failure that the call's Answers do not name propagates, unless OnError ignores
// it: as 504 for a timeout; as 503 if the call was not sent at all (breaker open,
// rejected, cancelled); and as 502 otherwise, as a gateway answers for an upstream
// that is missing, answers with an error, or gives an answer that cannot be read.
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

// StatusTimeout is the status of a request whose deadline has passed.
const StatusTimeout = 504
