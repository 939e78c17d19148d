package exec

import (
	"errors"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Cause is why a request fails, or why a part of a chain failed while the chain
// went on.
type Cause uint8

// The causes.
const (
	// Overloaded is a request that was turned away.
	Overloaded Cause = iota + 1
	// HeaderMissing is a request without the header that its endpoint requires.
	HeaderMissing
	// ValuesMissing is a request without a value that its endpoint uses.
	ValuesMissing
	// TimeOver is a request whose deadline has come.
	TimeOver
	// ErrorRate is a request that fails by the error rate of its endpoint.
	ErrorRate
	// FaultActed is an error by a fault that acts on the service.
	FaultActed
	// ChainFault is an error by a fault that the chain itself carries.
	ChainFault
	// WorkFailed is work that the operating system refused.
	WorkFailed
	// NoMemory is memory beyond the limit, or that the operating system refused.
	NoMemory
	// LeakFailed is a leak that could not be made.
	LeakFailed
	// CallFailed is a call that failed and had no fallback.
	CallFailed
	// RouteFailed is a route of a chain that was not answered well.
	RouteFailed
)

// A Failure is the answer of a request that does not succeed. Its text is made by
// Text, so that it costs nothing if it is not needed.
type Failure struct {
	Cause  Cause
	Status int
	// Body is the body of the answer; empty means Text.
	Body string
	// Op is the operation that failed, or nil.
	Op    *behave.Op
	Class outcome.Class
	Err   error
}

// Errors of calls that were not sent.
var (
	// ErrNotTold is the error of a call that waited for another request to make it,
	// which did not end in time.
	ErrNotTold = errors.New("another request made the call, and it did not end in time")
	// ErrNotSent is the error of a call that a policy turned away.
	ErrNotSent = errors.New("it was not sent")
	// ErrNoAddress is the error of a call to a service without replicas.
	ErrNoAddress = errors.New("no address of it is known")
	// ErrUnreachable is the error of a call that a fault makes fail.
	ErrUnreachable = errors.New("a fault lets nobody answer")
)

// maxWord bounds, in bytes, how much of a sender's text an error repeats.
const maxWord = 128

// Text returns what the client is told about the failure.
func (f *Failure) Text(r *Request) string {
	switch f.Cause {
	case Overloaded:
		return fmt.Sprintf("service %q has too much to do", r.replica.Plan.Name)
	case HeaderMissing:
		return fmt.Sprintf("the header %s is missing", r.endpoint.Require)
	case TimeOver:
		return "the time of the request is over"
	case ErrorRate:
		return fmt.Sprintf("%d by the service's error rate", f.Status)
	case FaultActed:
		return fmt.Sprintf("%d by fault %s", f.Status, r.faults.ID(f.Op.Fault))
	case ChainFault:
		return fmt.Sprintf("%d by the chain's fault", f.Status)
	case WorkFailed:
		return "io: " + f.Err.Error()
	case NoMemory:
		return "memory: " + f.Err.Error()
	case LeakFailed:
		return "memory-leak: " + f.Err.Error()
	case CallFailed:
		return fmt.Sprintf("calling %s: %s: %v", f.Op.Call.To, f.Class, f.Err)
	case RouteFailed:
		to := problem.CleanURL(f.Op.Route.Designation)
		if len(to) > maxWord {
			to = to[:maxWord] + "..."
		}
		return fmt.Sprintf("calling %s: %v", to, f.Err)
	default: // ValuesMissing
		return f.Err.Error()
	}
}
