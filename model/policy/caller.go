package policy

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exact"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A Caller holds the state of the policies of one call, which all requests of a
// replica share. An executor asks it before each call and after each attempt, and
// does what it says:
//
//	t, class := caller.Begin(worker, now)
//	if class != outcome.OK { the call is over with that class }
//	for {
//		send, bounded by caller.Policy().Timeout
//		v := caller.After(&t, policy.End{Class: class, Status: status}, now, key)
//		if !v.Retry { the call is over with v.Class }
//		wait v.Wait, and note the new time; where there is no time to wait, the
//		call is over with caller.Stop(&t, class, status, now)
//	}
//
// Several goroutines may use it at once. Times count from any fixed point and never
// decrease.
type Caller struct {
	policy   Call
	limit    *bucket
	budget   *bucket
	shared   state
	mu       sync.Mutex
	byWorker map[int]*state
	last     lastGood
}

// state is the state that the calls of one scope share.
type state struct {
	breaker  *breaker
	bulkhead *semaphore
}

// NewCaller returns the fresh state of a call. Its policies must be valid.
func NewCaller(policy Call) *Caller {
	policy = policy.WithDefaults()
	c := &Caller{policy: policy, byWorker: map[int]*state{}}
	c.shared = c.newState(PerReplica)
	if l := policy.RateLimit; l != nil {
		c.limit = newBucket(l.Burst, l.Rate)
	}
	if policy.Retry != nil && policy.Retry.Budget != nil {
		c.budget = newBucket(policy.Retry.Budget.Burst, 0)
	}
	return c
}

// newState makes the breaker and the bulkhead, if their scope is this one.
func (c *Caller) newState(scope Scope) (s state) {
	if b := c.policy.Breaker; b != nil && b.Scope == scope {
		s.breaker = newBreaker(*b)
	}
	if b := c.policy.Bulkhead; b != nil && b.Scope == scope {
		s.bulkhead = &semaphore{most: b.MaxConcurrent}
	}
	return s
}

// Policy returns the policies with their defaults filled in.
func (c *Caller) Policy() Call { return c.policy }

// machines returns the breaker and the bulkhead that a worker uses.
func (c *Caller) machines(worker int) (*breaker, *semaphore) {
	breaker, bulkhead := c.shared.breaker, c.shared.bulkhead
	own := c.policy.Breaker != nil && c.policy.Breaker.Scope == PerWorker ||
		c.policy.Bulkhead != nil && c.policy.Bulkhead.Scope == PerWorker
	if !own {
		return breaker, bulkhead
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byWorker[worker]
	if s == nil {
		made := c.newState(PerWorker)
		s = &made
		c.byWorker[worker] = s
	}
	return cmp.Or(breaker, s.breaker), cmp.Or(bulkhead, s.bulkhead)
}

// A Ticket is the state of one call under way. The executor keeps it from Begin on
// and passes it to After and Stop. It holds no pointers, so a simulation that
// copies a Caller can copy its tickets, too.
type Ticket struct {
	// Attempt counts the attempts from 1.
	Attempt int
	worker  int
	pass    pass
	waited  time.Duration
}

// Begin asks whether a call may go out. Any class but OK says that it was turned
// away: the call is over, and its ticket must not be used.
func (c *Caller) Begin(worker int, now time.Duration) (Ticket, outcome.Class) {
	t := Ticket{Attempt: 1, worker: worker}
	if c.limit != nil && !c.limit.take(now) {
		return t, outcome.Rejected
	}
	breaker, bulkhead := c.machines(worker)
	if bulkhead != nil && !bulkhead.enter() {
		return t, outcome.Rejected
	}
	if breaker != nil {
		var ok bool
		if t.pass, ok = breaker.allow(now); !ok {
			if bulkhead != nil {
				bulkhead.leave()
			}
			return t, outcome.BreakerOpen
		}
	}
	if c.budget != nil {
		c.budget.earn(c.policy.Retry.Budget.Ratio)
	}
	return t, outcome.OK
}

// A Verdict says how a call goes on after an attempt.
type Verdict struct {
	// Retry asks for another attempt after Wait. Otherwise the call has ended with
	// Class.
	Retry bool
	Wait  time.Duration
	Class outcome.Class
}

// An End is how an attempt ended.
type End struct {
	Class outcome.Class
	// Status is the status of the answer, or 0 if there was none.
	Status int
	// RetryAfter is how long the answer asks its caller to wait; 0 means that it does
	// not ask.
	RetryAfter time.Duration
}

// After takes the end of an attempt and says how the call goes on. It draws the wait
// from key, which must be the call's own.
func (c *Caller) After(t *Ticket, e End, now time.Duration, key dist.Key) Verdict {
	breaker, bulkhead := c.machines(t.worker)
	perAttempt := breaker != nil && c.policy.Breaker.PerAttempt
	if perAttempt && breaker.watch(t.pass, e.Class, e.Status, now) {
		return end(bulkhead, outcome.BreakerOpen)
	}
	if c.retries(t, e.Class, e.Status) && (c.budget == nil || c.budget.take(now)) {
		v := Verdict{Retry: true, Wait: c.wait(t, key)}
		if c.policy.Retry.RetryAfter {
			v.Wait = max(v.Wait, min(e.RetryAfter, c.policy.Retry.Cap.Std()))
		}
		if perAttempt {
			var ok bool
			if t.pass, ok = breaker.allow(now); !ok {
				return end(bulkhead, outcome.BreakerOpen)
			}
			t.pass.at += v.Wait
		}
		t.Attempt++
		return v
	}
	class := e.Class
	if breaker != nil && !perAttempt && breaker.watch(t.pass, class, e.Status, now) {
		class = outcome.BreakerOpen
	}
	return end(bulkhead, class)
}

// Stop ends a call if the executor has no time for the attempt that the last
// verdict asked for. It returns how the call ended.
func (c *Caller) Stop(t *Ticket, class outcome.Class, status int, now time.Duration) outcome.Class {
	if c.budget != nil {
		c.budget.earn(1)
	}
	breaker, bulkhead := c.machines(t.worker)
	switch {
	case breaker == nil:
	case c.policy.Breaker.PerAttempt:
		breaker.cancel(t.pass)
	case breaker.watch(t.pass, class, status, now):
		class = outcome.BreakerOpen
	}
	return end(bulkhead, class).Class
}

// watch takes a result, and reports whether it is a failure that opened the
// breaker. A good answer can open a breaker, too: by filling the window of a
// breaker by rate, or by being slow. It stays a good answer, so watch reports
// false.
func (b *breaker) watch(p pass, class outcome.Class, status int, now time.Duration) (opened bool) {
	if class == outcome.Cancelled {
		b.cancel(p)
		return false
	}
	fails := countsAsFailure(class, status)
	return b.record(p, now, fails) && fails
}

func end(bulkhead *semaphore, class outcome.Class) Verdict {
	if bulkhead != nil {
		bulkhead.leave()
	}
	return Verdict{Class: class}
}

// countsAsFailure reports whether a breaker counts a result as a failure: a status
// of 500 or more, or no answer. A 404 is a good answer for a breaker.
func countsAsFailure(class outcome.Class, status int) bool {
	return class != outcome.OK && (class != outcome.HTTPError || status >= 500)
}

func (c *Caller) retries(t *Ticket, class outcome.Class, status int) bool {
	r := c.policy.Retry
	if r == nil || t.Attempt >= r.Attempts || class == outcome.OK || class == outcome.Cancelled {
		return false
	}
	if len(r.On) > 0 {
		return slices.ContainsFunc(r.On, func(t Trigger) bool { return t.matches(class, status) })
	}
	switch class {
	case outcome.ConnectionError, outcome.Timeout, outcome.Malformed, outcome.StoreError:
		return true
	case outcome.HTTPError:
		return status >= 500
	default:
		return false
	}
}

// wait draws how long to wait before the next attempt.
func (c *Caller) wait(t *Ticket, key dist.Key) time.Duration {
	r := c.policy.Retry
	if r.Backoff == 0 {
		return 0
	}
	u := key.With("backoff").WithInt(t.Attempt).Float64()
	limit, base := float64(r.Cap), float64(r.Backoff)
	full := math.Min(limit, base*exact.PowInt(r.Factor, t.Attempt-1))
	var ns float64
	switch r.Jitter {
	case NoJitter:
		ns = full
	case EqualJitter:
		ns = exact.MulAdd(u, full/2, full/2)
	case Decorrelated:
		last := math.Max(base, float64(t.waited))
		ns = math.Min(limit, exact.MulAdd(u, float64(3*last)-base, base))
	default:
		ns = u * full
	}
	t.waited = time.Duration(ns)
	return t.waited
}

// Breaker returns the worst state among the call's breakers, or false if it has
// none.
func (c *Caller) Breaker(now time.Duration) (BreakerState, bool) {
	if c.policy.Breaker == nil {
		return Closed, false
	}
	worst := Closed
	if c.shared.breaker != nil {
		worst = c.shared.breaker.state(now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.byWorker {
		if s.breaker != nil {
			worst = max(worst, s.breaker.state(now))
		}
	}
	return worst, true
}
