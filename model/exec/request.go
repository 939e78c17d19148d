package exec

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Request is the machine of one request: it is let in, its sender is
// identified, what it needs is checked, and its program is decided and run. It
// must not be copied while it runs.
type Request struct {
	replica  *Replica
	arrival  Arrival
	endpoint *behave.Endpoint
	faults   *behave.FaultSet
	who      behave.Request
	values   behave.Values
	start    time.Duration
	deadline time.Duration
	worker   int
	// queued says that the worker is to be given back to the queue.
	queued, entered bool
	root            Branch
	// noted are the mistakes of a chain that went on.
	noted []Failure
	// buffer is the program's, if it was made for this request.
	buffer []behave.Op
}

// An Arrival is what is known of a request when it comes.
type Arrival struct {
	// Endpoint answers the request; nil for a chain to a service that has no
	// endpoint at its path.
	Endpoint *behave.Endpoint
	// Chain says that the request carries its own route.
	Chain  bool
	Faults *behave.FaultSet
	// Left is the time that the caller says is left, or Never. Only a replica
	// with Workers.Inside looks at it here.
	Left time.Duration
	// Worker is that of the request's connection.
	Worker int
	// Identify asks for an identity even if nothing depends on it.
	Identify bool
}

// An Identity is what a request says of itself.
type Identity struct {
	behave.Request
	// Left is the time that the caller says is left, or Never.
	Left time.Duration
	// HasRequired says that the request has the header that the endpoint requires.
	HasRequired bool
	// Path and Body are looked at if the endpoint uses the request.
	Path string
	Body []byte
	// Chain is what a request with a route of its own carries.
	Chain *chain.Chain
}

// Begin starts the machine of a request that comes now, and returns its first
// action. Of the machine's former request nothing stays but its buffers.
func (r *Request) Begin(replica *Replica, a Arrival, now time.Duration) Action {
	r.replica, r.arrival, r.endpoint, r.faults = replica, a, a.Endpoint, a.Faults
	r.start, r.deadline, r.worker = now, Never, a.Worker
	if replica.Workers.Inside {
		r.entered = true
		until := Never
		if replica.Workers.Shed.Deadline {
			until = Deadline(now, a.Left, r.timeout())
		}
		return Action{Kind: Enter, Until: until}
	}
	return r.admitted()
}

// timeout is the request's own; 0 means without bound.
func (r *Request) timeout() time.Duration {
	if r.endpoint == nil {
		return topology.DefaultTimeout.Std()
	}
	return r.endpoint.Timeout
}

// admitted goes on with a request that has a worker. One that is always answered
// alike is answered at once: that no fault acts, nothing is required and nothing
// is random makes this the same as the long way, without an identity.
func (r *Request) admitted() Action {
	r.entered = false
	if !r.arrival.Chain && !r.arrival.Identify && r.faults == nil && r.endpoint.Plain() {
		r.root.ending = Ending{Kind: behave.OpRespond}
		return Action{Kind: End}
	}
	return Action{Kind: Identify}
}

// Identify takes the identity, and returns the first action of the request's
// program, or End if the request lacks what its endpoint needs.
func (r *Request) Identify(id *Identity, now time.Duration) Action {
	r.who = id.Request
	r.deadline = Deadline(r.start, id.Left, r.timeout())
	var program []behave.Op
	if r.arrival.Chain {
		program = r.replica.Plan.DecideChain(r.buffer[:0], id.Chain, r.who, r.faults)
		r.buffer = program
	} else {
		e := r.endpoint
		if e.Require != "" && !id.HasRequired {
			return r.refuse(Failure{Cause: HeaderMissing, Status: e.RequireStatus})
		}
		if e.UsesRequest() {
			var err error
			if r.values, err = e.Values(id.Path, id.Body); err != nil {
				return r.refuse(Failure{Cause: ValuesMissing, Status: 400, Err: err})
			}
		}
		program = e.Decide(r.buffer[:0], r.who, r.faults)
		if !r.faults.Empty() || !e.Certain() {
			r.buffer = program
		}
	}
	r.root.begin(r, program)
	return r.root.step(now)
}

func (r *Request) refuse(f Failure) Action {
	r.root.ending = Ending{Kind: behave.OpFail, Failure: f}
	return Action{Kind: End}
}

// Next takes an event and returns the next action of the request itself. The
// branches of a parallel step have a Next of their own.
func (r *Request) Next(e Event) Action {
	switch {
	case e.Kind == Admitted:
		r.worker, r.queued = e.Worker, true
		return r.admitted()
	case e.Kind == TurnedAway, r.entered && e.Kind == Left && r.replica.StopsAbandoned:
		r.entered = false
		return r.refuse(Failure{Cause: Overloaded, Status: 503})
	case r.entered:
		return Action{Kind: Wait}
	}
	return r.root.Next(e)
}

// Root is the branch that runs the request's own program.
func (r *Request) Root() *Branch { return &r.root }

// Who is the request's identity.
func (r *Request) Who() behave.Request { return r.who }

// Deadline is when the request must be answered, or Never.
func (r *Request) Deadline() time.Duration { return r.deadline }

// Values are what calls and the answer use of the request.
func (r *Request) Values() behave.Values { return r.values }

// An Ending is how a request, or a branch, has ended: Kind is OpRespond, OpFail
// with its Failure, OpAbort or OpPanic; 0 is a branch after which the request
// goes on.
type Ending struct {
	Kind    behave.OpKind
	Failure Failure
}

// Ending is how the request has ended.
func (r *Request) Ending() *Ending { return &r.root.ending }

// Corrupt reports whether the answer is damaged.
func (r *Request) Corrupt() bool { return r.root.corrupt }

// Answers are those of the calls that the request's own answer tells.
func (r *Request) Answers() behave.Values { return r.root.answers }

// Degraded counts the parts of a good answer that are not what they should be:
// calls that a fallback replaced or whose failure was ignored, and what the
// callees told of their own answers.
func (r *Request) Degraded() int { return r.root.degraded }

// Fallbacks are the answers that took the place of others.
func (r *Request) Fallbacks() []Fallback { return r.root.fallbacks }

// Noted are the mistakes of a chain that went on: its own faults that could not
// act, and its routes that were not answered well. The status stays 200.
func (r *Request) Noted() []Failure { return r.noted }

// RetryAfter is the number of seconds after which a request that was turned away
// may be sent again; 0 means that nothing is said.
func (r *Request) RetryAfter() int {
	if r.root.ending.Failure.Cause == Overloaded {
		return 1
	}
	return 0
}

// Release gives back what the request has held, and makes the machine ready for
// another. The worker goes back to the queue if ok.
func (r *Request) Release() (worker int, ok bool) {
	if r.root.request == nil && r.who.ID == "" {
		// It was answered, or turned away, unidentified: there is little to clear.
		ok, r.queued, r.root.ending = r.queued, false, Ending{}
		return r.worker, ok
	}
	if held := r.root.allHeld(); held > 0 {
		r.replica.Memory.Release(held)
	}
	worker, ok = r.worker, r.queued
	root, noted, buffer := r.root, r.noted, r.buffer
	*r = Request{noted: noted[:0], buffer: buffer[:0]}
	r.root.buffers(&root)
	return worker, ok
}
