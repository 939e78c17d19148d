package exec

import (
	"errors"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Cause is why a request fails, or what went wrong in a chain that goes on.
type Cause uint8

// The causes.
const (
	// Overloaded is a request that was turned away.
	Overloaded Cause = iota + 1
	// HeaderMissing is a request without the header that its endpoint requires.
	HeaderMissing
	// ValuesMissing is a request without what its endpoint uses of it.
	ValuesMissing
	// TimeOver is a request whose deadline has come.
	TimeOver
	// ErrorRate is the share of an endpoint's requests that fails.
	ErrorRate
	// FaultActed is an error by a fault that acts on the service.
	FaultActed
	// ChainFault is an error by a fault that the chain itself carries.
	ChainFault
	// WorkFailed is work that the system did not let be done.
	WorkFailed
	// NoMemory is memory over the limit, or that the system did not give.
	NoMemory
	// LeakFailed is a leak that could not be made.
	LeakFailed
	// CallFailed is a call that failed and had no fallback.
	CallFailed
	// RouteFailed is a route of a chain that was not answered well.
	RouteFailed
)

// A Failure is what a request is answered with that does not succeed. Its text is
// made when it is asked for, so that it costs nothing if it is not.
type Failure struct {
	Cause  Cause
	Status int
	// Body is answered as it is; empty means an answer with the text.
	Body string
	// Op is what failed, if an operation did.
	Op    *behave.Op
	Class outcome.Class
	Err   error
}

// Errors of calls that were not sent.
var (
	// ErrNotTold is that of a call that was left to another request, and whose end
	// did not come in time.
	ErrNotTold = errors.New("another request made the call, and it did not end in time")
	// ErrNotSent is that of a call that a policy has held back.
	ErrNotSent = errors.New("it was not sent")
	// ErrNoAddress is that of a call to a service without replicas.
	ErrNoAddress = errors.New("no address of it is known")
	// ErrUnreachable is that of a call which a fault lets fail.
	ErrUnreachable = errors.New("a fault lets nobody answer")
)

// maxWord bounds how much of a sender's word a text repeats.
const maxWord = 128

// Text says to the client what went wrong.
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
