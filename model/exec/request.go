package exec

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Request is the machine of one request. It admits the request, identifies it,
// checks that it has what its endpoint needs, and decides and runs its program. It
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
	// queued says that the worker came from the queue and must go back there;
	// entered says that the request waits for one.
	queued, entered bool
	root            Branch
	// noted are the failures of parts of a chain that went on.
	noted []Failure
	// buffer is the memory of the program, if the program was made for this request
	// alone.
	buffer []behave.Op
}

// An Arrival is what an executor knows of a request when it comes.
type Arrival struct {
	// Endpoint answers the request. It is nil for a chain if the service has no
	// endpoint at the path.
	Endpoint *behave.Endpoint
	// Chain says that the request is a chain.
	Chain  bool
	Faults *behave.FaultSet
	// Left is the time that the caller says is left, or Never. Only a replica with
	// Workers.Inside needs it at arrival.
	Left time.Duration
	// Worker is the worker of the request's connection.
	Worker int
	// Identify asks for an identity even if no decision depends on it.
	Identify bool
}

// An Identity is what the headers and the body of a request say.
type Identity struct {
	behave.Request
	// Left is the time that the caller says is left, or Never.
	Left time.Duration
	// HasRequired says that the request has the header that the endpoint requires.
	HasRequired bool
	// Path and Body are needed if the endpoint uses the request.
	Path string
	Body []byte
	// Chain is the chain that the request carries, or nil.
	Chain *chain.Chain
}

// Begin starts the machine of a request that comes now, and returns its first
// action. A released machine can be begun again; it keeps only buffers.
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

// timeout returns the timeout of the request's endpoint; 0 means none.
func (r *Request) timeout() time.Duration {
	if r.endpoint == nil {
		return topology.DefaultTimeout.Std()
	}
	return r.endpoint.Timeout
}

// admitted goes on with a request that has a worker. As a short cut, it answers a
// request at once if all such requests get the same answer: if no fault acts, the
// endpoint requires nothing, and nothing in it is random.
func (r *Request) admitted() Action {
	r.entered = false
	if !r.arrival.Chain && !r.arrival.Identify && r.faults == nil && r.endpoint.Plain() {
		r.root.ending = Ending{Kind: behave.OpRespond}
		return Action{Kind: End}
	}
	return Action{Kind: Identify}
}

// Identify takes the identity, decides the program, and returns its first action.
// It returns End if the request lacks something that its endpoint needs.
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

// Next takes an event of the request itself and returns its next action. Events of
// the branches of a parallel step go to their own Next.
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

// Root returns the branch that runs the request's own program.
func (r *Request) Root() *Branch { return &r.root }

// Who returns the identity by which random decisions are keyed.
func (r *Request) Who() behave.Request { return r.who }

// Deadline returns when the request must be answered, or Never.
func (r *Request) Deadline() time.Duration { return r.deadline }

// Values returns the parts of the request that calls and the answer use.
func (r *Request) Values() behave.Values { return r.values }

// An Ending is how a request, or a branch, ended. Kind is OpRespond, OpFail (with
// Failure), OpAbort, OpPanic or, if the request goes on after a branch, 0.
type Ending struct {
	Kind    behave.OpKind
	Failure Failure
}

// Ending returns how the request ended.
func (r *Request) Ending() *Ending { return &r.root.ending }

// Corrupt reports whether a fault corrupts the answer.
func (r *Request) Corrupt() bool { return r.root.corrupt }

// Answers returns the answers of calls that the request's own answer contains.
func (r *Request) Answers() behave.Values { return r.root.answers }

// Degraded returns how many parts of a good answer are missing or replaced: calls
// that a fallback replaced or whose failure was ignored, failed parts of a chain,
// and the parts that callees report of their own answers.
func (r *Request) Degraded() int { return r.root.degraded }

// Fallbacks returns the answers that replaced those of calls.
func (r *Request) Fallbacks() []Fallback { return r.root.fallbacks }

// Noted returns the failures of parts of a chain that went on: faults of the chain
// that could not act, and routes that were not answered well. The status stays 200.
func (r *Request) Noted() []Failure { return r.noted }

// RetryAfter returns the value of the header Retry-After in seconds, for a request
// that was turned away; 0 means no header.
func (r *Request) RetryAfter() int {
	if r.root.ending.Failure.Cause == Overloaded {
		return 1
	}
	return 0
}

// Release gives back the memory that the request held, and makes the machine ready
// for another request. If ok, the worker must go back to the queue.
func (r *Request) Release() (worker int, ok bool) {
	if r.root.request == nil && r.who.ID == "" {
		// The request ended before it was identified, so there is little to clear.
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
