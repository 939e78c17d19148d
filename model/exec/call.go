package exec

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// A Call is the machine of one call: it asks the policies, sends attempts and
// hedges, and says how the call ended. The zero value is ready for Begin. A try is
// an attempt together with its hedges.
type Call struct {
	request *Request
	op      *behave.Op
	site    *site
	began   time.Duration
	// tried is when the try under way began.
	tried  time.Duration
	ticket policy.Ticket
	// sent counts the attempts of the call, ofTry those of the try, and under those
	// under way.
	sent, ofTry, under int
	// pausing says that the call waits before another try, won that an answer was
	// good and the other attempts are broken off, and gone that the client has
	// left.
	pausing, won, gone bool
	// asking says that the call waits to learn whether another request makes it
	// already. leads says that other requests may wait for the end of this call.
	asking, leads bool
	// last is the end of the attempt that decides so far and, at the end, the end
	// of the call.
	last Event
	// now is when the last event came.
	now time.Duration
}

// Begin starts the call that an operation of a branch asks for.
func (c *Call) Begin(b *Branch, op *behave.Op, now time.Duration) Action {
	r := b.request
	*c = Call{request: r, op: op, began: now, now: now}
	if op.Call == nil {
		return c.try(now)
	}
	c.site = &r.replica.sites[op.Call.Site]
	if op.Call.Coalesce {
		return c.ask()
	}
	return c.start(now)
}

// ask asks whether another request makes the call already.
func (c *Call) ask() Action {
	c.asking = true
	until := c.request.deadline
	if timeout := c.op.Call.Policy.Timeout.Std(); timeout > 0 {
		until = min(until, c.began+timeout)
	}
	return Action{Kind: Coalesce, Op: c.op, Until: until}
}

// start begins the call, unless a policy turns it away.
func (c *Call) start(now time.Duration) Action {
	if c.site.caller == nil {
		return c.try(now)
	}
	var class outcome.Class
	if c.ticket, class = c.site.caller.Begin(c.request.worker, now); class != outcome.OK {
		c.last = Event{Class: class, Err: ErrNotSent, Now: now}
		return c.end()
	}
	return c.try(now)
}

// try sends the first attempt of a try. The timeout of the whole try counts from
// here.
func (c *Call) try(now time.Duration) Action {
	c.tried, c.ofTry, c.pausing, c.won = now, 0, false, false
	return c.send()
}

func (c *Call) send() Action {
	c.sent++
	c.ofTry++
	c.under++
	a := Action{Kind: Send, Op: c.op, Number: c.sent}
	if c.ofTry < c.most() {
		a.For = c.site.hedge.After.Std()
	}
	return a
}

// Hedged reports whether several attempts may be under way at once.
func (c *Call) Hedged() bool { return c.site != nil && c.site.hedge != nil }

// most returns how many attempts a try may have.
func (c *Call) most() int {
	if !c.Hedged() {
		return 1
	}
	return 1 + max(c.site.hedge.Max, 1)
}

// Next takes an event and returns the call's next action.
func (c *Call) Next(e Event) Action {
	c.now = e.Now
	c.gone = c.gone || e.Gone || e.Kind == Left
	switch {
	case c.asking:
		return c.coalesced(e)
	case c.pausing && (e.Kind == Done || e.Kind == Left):
		if c.gone {
			return c.stop()
		}
		return c.try(e.Now)
	case e.Kind == Answered:
		return c.answered(e)
	case e.Kind == Left:
		return Action{Kind: BreakOff, Op: c.op}
	case e.Kind == Done && !c.won && !c.gone && c.ofTry < c.most():
		return c.send()
	}
	return Action{Kind: Await, Op: c.op}
}

// coalesced goes on when it is known whether another request makes the call. If
// that request was broken off, because its own client left, this call asks again.
func (c *Call) coalesced(e Event) Action {
	c.asking, c.leads = false, e.Kind == Done
	switch {
	case c.gone:
		c.last = Event{Class: outcome.Cancelled, Err: ErrNotSent, Now: e.Now}
		return c.end()
	case e.Kind == Told && e.Class == outcome.Cancelled:
		return c.ask()
	case e.Kind == Told:
		c.last = e
		c.last.Shared = true
		return c.end()
	}
	return c.start(e.Now)
}

// Leads reports whether other requests may wait for the end of the call, so that
// the executor must tell them.
func (c *Call) Leads() bool { return c.leads }

// answered takes the end of an attempt. The first good answer wins. If none is
// good, the last attempt to end decides.
func (c *Call) answered(e Event) Action {
	c.under--
	if !c.won {
		c.last = e
		c.won = isGood(&e)
		if c.won && c.under > 0 {
			return Action{Kind: BreakOff, Op: c.op}
		}
	}
	if c.under > 0 {
		return Action{Kind: Await, Op: c.op}
	}
	return c.settle()
}

// isGood reports whether an answer is final: another attempt would not get a better
// one.
func isGood(e *Event) bool {
	return e.Class == outcome.OK || e.Class == outcome.HTTPError && e.Status < 500
}

// settle asks the policies whether the try that has ended ends the call.
func (c *Call) settle() Action {
	if c.site == nil || c.site.caller == nil {
		return c.end()
	}
	caller := c.site.caller
	var key dist.Key
	if c.last.Class != outcome.OK {
		key = c.request.replica.Plan.CallKey(c.request.who, c.op.Index)
	}
	v := caller.After(&c.ticket, policy.End{Class: c.last.Class, Status: c.last.Status, RetryAfter: c.last.RetryAfter}, c.last.Now, key)
	switch {
	case v.Retry && (c.gone || !c.hasTime(v.Wait)):
		return c.stop()
	case v.Retry && v.Wait <= 0:
		return c.try(c.now)
	case v.Retry:
		c.pausing = true
		return Action{Kind: Pause, Op: c.op, For: v.Wait}
	case c.last.Class == outcome.OK:
		caller.Remember(c.last.Body, c.last.Now)
	}
	c.last.Class = v.Class
	return c.end()
}

// hasTime reports whether an attempt after a wait would begin before the deadline.
func (c *Call) hasTime(wait time.Duration) bool { return wait < c.request.deadline-c.now }

// stop ends a call although its policies allow another attempt.
func (c *Call) stop() Action {
	c.last.Class = c.site.caller.Stop(&c.ticket, c.last.Class, c.last.Status, c.now)
	return c.end()
}

// end ends the call. A fallback replaces an answer that failed.
func (c *Call) end() Action {
	c.last.Kind = Called
	if c.last.Class != outcome.OK && c.site != nil && c.site.caller != nil {
		if answer, ok := c.site.caller.Fallback(c.now); ok {
			c.last.Fallback, c.last.Body, c.last.Age = c.site.call.Policy.Fallback, answer.Body, answer.Age
		}
	}
	return Action{Kind: End, Op: c.op}
}

// Called returns the event that tells the branch how the call ended. Its Class is
// that of the call itself, even if a fallback replaced the answer.
func (c *Call) Called() Event {
	e := c.last
	e.Now = c.now
	return e
}

// Took returns how long the call took, until the answer that decides.
func (c *Call) Took() time.Duration { return c.last.Now - c.began }

// Sent returns how many attempts were sent.
func (c *Call) Sent() int { return c.sent }

// An Attempt is one request that is sent for a call.
type Attempt struct {
	// Replica is the chosen replica of the callee, counted from 0.
	Replica int
	// Until is when the caller stops waiting, or Never. Told is the deadline that
	// the callee is told: that of the whole request, because a caller does not tell
	// its timeout for one attempt.
	Until, Told time.Duration
	// Err says why nothing is sent: the attempt then ends at once as a connection
	// error.
	Err error
	// Fault is the fault that makes the attempt fail, counted from 1 as in
	// Op.Fault; 0 means none.
	Fault int
}

// Attempt says how to send the n-th attempt to a callee with a number of replicas.
// Each attempt chooses a replica anew, by a key of its own.
func (c *Call) Attempt(n int, to, path string, replicas int) Attempt {
	r := c.request
	a := Attempt{Until: r.deadline, Told: r.deadline}
	if c.op.Call != nil && c.op.Call.Policy.Timeout > 0 {
		a.Until = min(a.Until, c.tried+c.op.Call.Policy.Timeout.Std())
	}
	if replicas == 0 {
		a.Err = ErrNoAddress
		return a
	}
	plan := r.replica.Plan
	if replicas > 1 {
		key := plan.ReplicaKey(r.who, c.op.Index)
		if n > 1 {
			key = key.WithInt(n)
		}
		a.Replica = key.IntN(replicas)
	}
	if r.faults != nil {
		if a.Fault = r.faults.Unreachable(plan.Key(r.who), plan.Name, to, path, a.Replica+1, c.op.Index, n); a.Fault != 0 {
			a.Err = ErrUnreachable
		}
	}
	return a
}

// Hop returns the place of the n-th attempt in the tree of calls, which is part of
// the key of the callee's decisions.
func (c *Call) Hop(n int) string {
	return behave.AttemptHop(behave.Hop(c.request.who.Hop, c.op.Index), n)
}
