package behave

import (
	"strconv"
	"time"

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

// An Op is one thing that an executor does. Which fields count is told by its
// kind.
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
	Route *Chain
	// Index tells the calls of one request apart: it is the callee's part of
	// the hop, and of the key that chooses its replica.
	Index    int
	Branches [][]Op
}

// A Call is what a caller knows of a call, compiled once. It is the place of
// what the caller does about failure.
type Call struct {
	To, Method, Path string
	RequestBytes     int64
	// Timeout bounds the call; 0 means that the request's time does.
	Timeout time.Duration
	OnError topology.OnError
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

// Class is what became of a call. Its words are those of experiment.Class.
type Class string

// The classes of outcomes.
const (
	OK              Class = "ok"
	HTTPError       Class = "http_error"
	ConnectionError Class = "connection_error"
	Timeout         Class = "timeout"
	BreakerOpen     Class = "breaker_open"
	Rejected        Class = "rejected"
	Cancelled       Class = "cancelled"
	Malformed       Class = "malformed"
)

// Classes lists the classes in the order of reports.
func Classes() []Class {
	return []Class{OK, HTTPError, ConnectionError, Timeout, BreakerOpen, Rejected, Cancelled, Malformed}
}

// ClassOf is the class of an answer with a status: from 400 up it is an error.
func ClassOf(status int) Class {
	if status >= 400 {
		return HTTPError
	}
	return OK
}

// Consequence is what the outcome of a call does to the request that made it:
// the status the request fails with, or 0 where it goes on.
//
// A failure that propagates becomes 504 for a timeout; 503 where the call was
// not sent at all (breaker open, rejected, cancelled); 502 for the rest, as a
// gateway answers for an upstream that is not there, answers with an error, or
// answers what cannot be read.
func Consequence(class Class, onError topology.OnError) int {
	switch {
	case class == OK || onError == topology.Ignore:
		return 0
	case class == Timeout:
		return 504
	case class == BreakerOpen, class == Rejected, class == Cancelled:
		return 503
	}
	return 502
}

// StatusTimeout is what a request is answered with whose own time is over.
const StatusTimeout = 504
