package exec

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Replica is the state that the requests of one replica share, except its Queue.
// Several goroutines may use it at once.
type Replica struct {
	Plan    *behave.Service
	Workers Workers
	Memory  *Memory
	// StopsAbandoned says that a request ends when its client leaves. Otherwise it
	// is finished, as in most servers.
	StopsAbandoned bool
	// PerWorker says that a policy has a state for each worker, so that an Arrival
	// must have its Worker.
	PerWorker bool
	sites     []site
}

// A site is one call in the service's plan with the state of its policies.
type site struct {
	call *behave.Call
	// caller is nil if the call has no policy but a timeout.
	caller *policy.Caller
	hedge  *policy.Hedge
}

// NewReplica returns the state of a replica that has just started. limit bounds, in
// bytes, the memory that requests and leaks hold at once.
func NewReplica(plan *behave.Service, t *topology.Service, limit int64) *Replica {
	return newReplica(plan, t, &Memory{limit: limit}, func(*behave.Call) *policy.Caller { return nil })
}

// Next returns the state of a replica that goes on with another description of its
// service. Requests that have begun keep r and its plan. Both states share the memory,
// and the policies of each call that is the same in both, so that an open breaker stays
// open and a spent budget stays spent. A call is the same if its endpoint, callee and
// policies are the same.
func (r *Replica) Next(plan *behave.Service, t *topology.Service) *Replica {
	taken := make([]bool, len(r.sites))
	return newReplica(plan, t, r.Memory, func(call *behave.Call) *policy.Caller {
		for i := range r.sites {
			s := &r.sites[i]
			if !taken[i] && s.caller != nil && s.call.SameAs(call) {
				taken[i] = true
				return s.caller
			}
		}
		return nil
	})
}

// newReplica makes a replica. known returns the state that the policies of a call have
// already, or nil.
func newReplica(plan *behave.Service, t *topology.Service, memory *Memory, known func(*behave.Call) *policy.Caller) *Replica {
	r := &Replica{Plan: plan, Workers: workersOf(t), Memory: memory, StopsAbandoned: t.OnCancel == topology.Stop, sites: make([]site, len(plan.Sites))}
	for i, call := range plan.Sites {
		r.sites[i].call = call
		if call.Managed() {
			r.sites[i].caller, r.sites[i].hedge = known(call), call.Policy.Hedge
			if r.sites[i].caller == nil {
				r.sites[i].caller = policy.NewCaller(call.Policy)
			}
		}
		breaker, bulkhead := call.Policy.Breaker, call.Policy.Bulkhead
		if breaker != nil && breaker.Scope == policy.PerWorker || bulkhead != nil && bulkhead.Scope == policy.PerWorker {
			r.PerWorker = true
		}
	}
	return r
}

// Breaker returns the worst state of the breakers of the calls to a callee.
func (r *Replica) Breaker(callee string, now time.Duration) policy.BreakerState {
	worst := policy.Closed
	for i := range r.sites {
		if s := &r.sites[i]; s.call.To == callee && s.caller != nil {
			state, _ := s.caller.Breaker(now)
			worst = max(worst, state)
		}
	}
	return worst
}

// BreakerCallees lists the callees whose calls have a breaker.
func (r *Replica) BreakerCallees() (callees []string) {
	for _, call := range r.Plan.Sites {
		if call.Policy.Breaker != nil && !slices.Contains(callees, call.To) {
			callees = append(callees, call.To)
		}
	}
	return callees
}

// Workers says how a service bounds its workers.
type Workers struct {
	// Count is the number of workers; 0 means no bound.
	Count int
	// Inside says that requests wait for a worker inside the service, which can
	// turn them away as Shed says. Otherwise each connection holds a worker from
	// its beginning to its end, and further connections wait in the accept queue.
	Inside bool
	Shed   topology.Shed
	// Backlog is the length of the accept queue; 0 means the default of the
	// operating system.
	Backlog int
}

func workersOf(t *topology.Service) Workers {
	w := Workers{Count: t.Workers, Backlog: t.Backlog}
	if t.Shed != nil && t.Workers > 0 {
		w.Inside, w.Shed = true, *t.Shed
	}
	return w
}

// AtAccept returns how many connections are served at once because each holds a
// worker; 0 means no bound.
func (w Workers) AtAccept() int {
	if w.Inside {
		return 0
	}
	return w.Count
}

// KeepAlive reports whether a connection carries several requests. It does not if
// it holds a worker, because an idle connection would keep the worker from others.
func (w Workers) KeepAlive() bool { return w.AtAccept() == 0 }

// HeaderPatience returns how long a connection may take to send the header of its
// request; 0 means no bound. It is bounded only if the connection holds a worker.
// Otherwise a slow connection costs less than a timer for each request would.
func (w Workers) HeaderPatience() time.Duration {
	if w.AtAccept() > 0 {
		return 2 * time.Second
	}
	return 0
}

// AcceptQueue returns the rules for a Queue that models the accept queue; system is
// the default length. Linux accepts one connection more than the backlog. It does
// not refuse further connections: their clients retry until they give up.
func (w Workers) AcceptQueue(system int) topology.Shed {
	if w.Backlog > 0 {
		return topology.Shed{Queue: w.Backlog + 1}
	}
	return topology.Shed{Queue: system + 1}
}
