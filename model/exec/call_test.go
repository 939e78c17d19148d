package exec

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func answered(at time.Duration, status int) Event {
	return Event{Kind: Answered, Now: at, Class: outcome.OfStatus(status), Status: status, Body: []byte("new")}
}

func failed(at time.Duration, class outcome.Class) Event {
	return Event{Kind: Answered, Now: at, Class: class}
}

// calling returns a request whose only call has the policies, at its call, which
// began at 10 ms.
func calling(t *testing.T, p policy.Call, change func(*topology.Service)) (*Replica, *Request, *behave.Op) {
	t.Helper()
	call := topology.NewCall("b")
	call.Call = p
	if problems := p.Validate(); len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	s := topology.NewService("a", topology.Step{Call: &call})
	if change != nil {
		change(&s)
	}
	replica := NewReplica(behave.New(1, &s), &s, 0)
	r, op := request(t, replica, nil)
	return replica, r, op
}

func request(t *testing.T, replica *Replica, faults *behave.FaultSet) (*Request, *behave.Op) {
	t.Helper()
	r := &Request{}
	a := r.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0], Faults: faults}, 10*ms)
	if a.Kind == Identify {
		a = r.Identify(&Identity{Request: behave.Request{ID: "r", Hop: "0.1"}, Left: Never}, 10*ms)
	}
	if a.Kind != MakeCall {
		t.Fatal(say(a))
	}
	return r, a.Op
}

func TestCall(t *testing.T) {
	steady := func(attempts int) *policy.Retry {
		return &policy.Retry{Attempts: attempts, Backoff: unit.Duration(20 * ms), Jitter: policy.NoJitter}
	}
	hedge := &policy.Hedge{After: unit.Duration(5 * ms), Max: 2}
	open := &policy.Breaker{Failures: 1, Reset: unit.Duration(time.Second)}
	for _, tt := range []struct {
		name    string
		policy  policy.Call
		service func(*topology.Service)
		events  []Event
		actions string
		end     outcome.Class
		took    time.Duration
	}{
		{"good", policy.Call{}, nil, []Event{answered(12*ms, 200)}, "send 1, end", outcome.OK, 2 * ms},
		{"failed", policy.Call{}, nil, []Event{answered(12*ms, 500)}, "send 1, end", outcome.HTTPError, 2 * ms},
		// Retries.
		{"retried until it is good", policy.Call{Retry: steady(3)}, nil, []Event{answered(12*ms, 500), done(32 * ms), failed(40*ms, outcome.ConnectionError), done(80 * ms), answered(81*ms, 200)},
			"send 1, pause 20ms, send 2, pause 40ms, send 3, end", outcome.OK, 71 * ms},
		{"no more than the attempts", policy.Call{Retry: &policy.Retry{Attempts: 2}}, nil, []Event{failed(12*ms, outcome.Timeout), failed(13*ms, outcome.ConnectionError)},
			"send 1, send 2, end", outcome.ConnectionError, 3 * ms},
		{"not for a 404", policy.Call{Retry: steady(3)}, nil, []Event{answered(12*ms, 404)}, "send 1, end", outcome.HTTPError, 2 * ms},
		{"no time left to wait", policy.Call{Retry: steady(3)}, timeout(30 * ms), []Event{answered(20*ms, 500)}, "send 1, end", outcome.HTTPError, 10 * ms},
		{"just time left to wait", policy.Call{Retry: steady(2)}, timeout(31 * ms), []Event{answered(20*ms, 500), done(40 * ms), answered(40*ms, 500)},
			"send 1, pause 20ms, send 2, end", outcome.HTTPError, 30 * ms},
		{"the client leaves in the pause", policy.Call{Retry: steady(3)}, nil, []Event{answered(12*ms, 500), gone(15 * ms)}, "send 1, pause 20ms, end", outcome.HTTPError, 2 * ms},
		{"the client interrupts the pause", policy.Call{Retry: steady(3)}, nil, []Event{answered(12*ms, 500), left(15 * ms)}, "send 1, pause 20ms, end", outcome.HTTPError, 2 * ms},
		{"the client leaves in an attempt", policy.Call{Retry: steady(3)}, nil, []Event{left(12 * ms), failed(12*ms, outcome.Cancelled)}, "send 1, break off, end", outcome.Cancelled, 2 * ms},
		{"the client has left when an attempt fails", policy.Call{Retry: &policy.Retry{Attempts: 3}}, nil, []Event{{Kind: Answered, Now: 12 * ms, Class: outcome.Timeout, Gone: true}},
			"send 1, end", outcome.Timeout, 2 * ms},
		// Breakers.
		{"the failure that opens a breaker", policy.Call{Breaker: open}, nil, []Event{failed(12*ms, outcome.Timeout)}, "send 1, end", outcome.BreakerOpen, 2 * ms},
		// Hedges.
		{"an answer before the hedge", policy.Call{Hedge: hedge}, nil, []Event{answered(12*ms, 200)}, "send 1 5ms, end", outcome.OK, 2 * ms},
		{"the first good answer wins", policy.Call{Hedge: hedge}, nil, []Event{done(15 * ms), answered(18*ms, 200), failed(18*ms, outcome.Cancelled)},
			"send 1 5ms, send 2 5ms, break off, end", outcome.OK, 8 * ms},
		{"a 404 is an answer that no hedge betters", policy.Call{Hedge: hedge}, nil, []Event{done(15 * ms), answered(18*ms, 404), failed(19*ms, outcome.Cancelled)},
			"send 1 5ms, send 2 5ms, break off, end", outcome.HTTPError, 8 * ms},
		{"a bad answer does not end it", policy.Call{Hedge: hedge}, nil, []Event{done(15 * ms), answered(16*ms, 500), done(20 * ms), answered(22*ms, 200), failed(22*ms, outcome.Cancelled)},
			"send 1 5ms, send 2 5ms, await, send 3, break off, end", outcome.OK, 12 * ms},
		{"the last to fail decides", policy.Call{Hedge: hedge}, nil, []Event{done(15 * ms), answered(16*ms, 500), failed(19*ms, outcome.ConnectionError)},
			"send 1 5ms, send 2 5ms, await, end", outcome.ConnectionError, 9 * ms},
		{"no more hedges than said", policy.Call{Hedge: &policy.Hedge{After: unit.Duration(5 * ms)}}, nil, []Event{done(15 * ms), done(20 * ms), answered(30*ms, 200), answered(31*ms, 200)},
			"send 1 5ms, send 2, await, break off, end", outcome.OK, 20 * ms},
		{"a failed attempt alone ends a try", policy.Call{Hedge: hedge, Retry: &policy.Retry{Attempts: 2}}, nil, []Event{failed(11*ms, outcome.Timeout), done(16 * ms), answered(17*ms, 200), failed(18*ms, outcome.Cancelled)},
			"send 1 5ms, send 2 5ms, send 3 5ms, break off, end", outcome.OK, 7 * ms},
		{"the client leaves a race", policy.Call{Hedge: hedge, Retry: steady(3)}, nil, []Event{done(15 * ms), left(16 * ms), failed(16*ms, outcome.Cancelled), failed(16*ms, outcome.Cancelled)},
			"send 1 5ms, send 2 5ms, break off, await, end", outcome.Cancelled, 6 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r, op := calling(t, tt.policy, tt.service)
			var c Call
			var actions []string
			a := c.Begin(r.Root(), op, 10*ms)
			for _, e := range tt.events {
				actions = append(actions, say(a))
				if a.Kind == End {
					t.Fatalf("%s, and then another event", strings.Join(actions, ", "))
				}
				a = c.Next(e)
			}
			actions = append(actions, say(a))
			if got := strings.Join(actions, ", "); got != tt.actions {
				t.Errorf("actions %s\n   want %s", got, tt.actions)
			}
			if e := c.Called(); e.Class != tt.end || c.Took() != tt.took || e.Now != tt.events[len(tt.events)-1].Now {
				t.Errorf("ended as %s after %v at %v, want %s after %v", e.Class, c.Took(), e.Now, tt.end, tt.took)
			}
		})
	}
}

func TestCallsThatAreNotSent(t *testing.T) {
	limited := policy.Call{RateLimit: &policy.RateLimit{Rate: 0.001, Burst: 1}, Fallback: &policy.Fallback{Kind: policy.FixedFallback, Value: "[]"}}
	replica, r, op := calling(t, limited, nil)
	var first, second Call
	if a := first.Begin(r.Root(), op, 10*ms); a.Kind != Send {
		t.Fatal(say(a))
	}
	other, op := request(t, replica, nil)
	if a := second.Begin(other.Root(), op, 11*ms); a.Kind != End {
		t.Fatal(say(a))
	}
	e := second.Called()
	if e.Class != outcome.Rejected || !errors.Is(e.Err, ErrNotSent) || second.Took() != 0 || second.Sent() != 0 || string(e.Body) != "[]" {
		t.Errorf("got %+v", e)
	}
	if a := other.Next(e); a.Kind != End || ended(other) != "respond" || fmt.Sprint(other.Fallbacks()) != "[{b fixed 0s}]" {
		t.Errorf("%s: %s, %v", say(a), ended(other), other.Fallbacks())
	}
}

func TestAKeptAnswerHasItsAge(t *testing.T) {
	replica, r, op := calling(t, policy.Call{Fallback: &policy.Fallback{Kind: policy.LastGood, MaxAge: unit.Duration(50 * ms)}}, nil)
	end := func(r *Request, op *behave.Op, e Event) string {
		var c Call
		c.Begin(r.Root(), op, 10*ms)
		if a := c.Next(e); a.Kind != End {
			t.Fatal(say(a))
		}
		r.Next(c.Called())
		return fmt.Sprint(ended(r), r.Fallbacks(), string(c.Called().Body))
	}
	if got := end(r, op, answered(12*ms, 200)); got != "respond[]new" {
		t.Error(got)
	}
	r, op = request(t, replica, nil)
	if got := end(r, op, failed(40*ms, outcome.Timeout)); got != "respond[{b last-good 28ms}]new" {
		t.Error(got)
	}
	r, op = request(t, replica, nil)
	if got := end(r, op, failed(63*ms, outcome.Timeout)); !strings.HasPrefix(got, "504 calling b: timeout") {
		t.Error(got)
	}
}

func TestEachWorkerHasItsBreaker(t *testing.T) {
	breaker := &policy.Breaker{Failures: 1, Reset: unit.Duration(time.Second), Scope: policy.PerWorker}
	replica, _, _ := calling(t, policy.Call{Breaker: breaker}, nil)
	if !replica.PerWorker {
		t.Error("requests are not told their worker")
	}
	begin := func(worker int) Action {
		var r Request
		r.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0], Worker: worker}, 10*ms)
		a := r.Identify(&Identity{Left: Never}, 10*ms)
		var c Call
		if a = c.Begin(r.Root(), a.Op, 10*ms); a.Kind == Send {
			a = c.Next(failed(11*ms, outcome.Timeout))
		}
		return Action{Kind: a.Kind, Number: c.Sent()}
	}
	for i, want := range []int{1, 1, 0, 0} {
		if a := begin(i % 2); a.Number != want {
			t.Errorf("call %d of worker %d sent %d attempts", i, i%2, a.Number)
		}
	}
	if state := replica.Breaker("b", 12*ms); state != policy.Open || replica.Breaker("c", 12*ms) != policy.Closed {
		t.Errorf("the breaker is %v", state)
	}
	if got := fmt.Sprint(replica.BreakerCallees()); got != "[b]" {
		t.Errorf("breakers of %s", got)
	}
}

func TestAttempts(t *testing.T) {
	p := policy.Call{Timeout: unit.Duration(30 * ms), Retry: &policy.Retry{Attempts: 4}}
	replica, r, op := calling(t, p, timeout(50*ms))
	var c Call
	c.Begin(r.Root(), op, 15*ms)
	one := c.Attempt(1, "b", "/", 3)
	if one.Until != 45*ms || one.Told != 60*ms || one.Err != nil || c.Hop(1) != "0.1.0" {
		t.Errorf("got %+v, hop %s", one, c.Hop(1))
	}
	key := replica.Plan.ReplicaKey(r.Who(), 0)
	if want := key.IntN(3); one.Replica != want {
		t.Errorf("replica %d, want %d", one.Replica, want)
	}
	c.Next(failed(40*ms, outcome.Timeout))
	two := c.Attempt(2, "b", "/", 3)
	if two.Until != 60*ms || c.Hop(2) != "0.1.0~2" || two.Replica != key.WithInt(2).IntN(3) {
		t.Errorf("the request's deadline is shorter than the timeout: %+v, hop %s", two, c.Hop(2))
	}
	if none := c.Attempt(2, "b", "/", 0); !errors.Is(none.Err, ErrNoAddress) {
		t.Errorf("got %+v", none)
	}
	// A hedge's timeout counts from the first attempt of its try.
	_, r, op = calling(t, policy.Call{Timeout: unit.Duration(30 * ms), Hedge: &policy.Hedge{After: unit.Duration(5 * ms)}}, nil)
	c.Begin(r.Root(), op, 10*ms)
	c.Next(done(15 * ms))
	if a := c.Attempt(2, "b", "/", 1); a.Until != 40*ms || a.Told != Never && a.Told != r.Deadline() {
		t.Errorf("got %+v", a)
	}
}

func TestUnreachable(t *testing.T) {
	replica, _, _ := calling(t, policy.Call{}, nil)
	faults := behave.NewFaultSet(1, []behave.Active{
		{ID: "slow", Fault: fault.Fault{Type: fault.Latency, Probability: 0, Args: fault.Args{Delay: dist.Fixed(1)}}},
		{ID: "cut", Fault: fault.Fault{Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "b", Replica: 2}}},
	})
	r, op := request(t, replica, faults)
	var c Call
	c.Begin(r.Root(), op, 10*ms)
	seen := map[int]bool{}
	for n := 1; n < 50; n++ {
		a := c.Attempt(n, "b", "/", 3)
		seen[a.Replica] = true
		if cut := a.Replica == 1; cut != errors.Is(a.Err, ErrUnreachable) || cut != (a.Fault == 2) {
			t.Fatalf("got %+v", a)
		}
		if other := c.Attempt(n, "c", "/", 3); other.Err != nil {
			t.Fatalf("got %+v", other)
		}
	}
	if len(seen) != 3 || faults.ID(2) != "cut" || faults.ID(1) != "slow" {
		t.Errorf("chosen were %v", seen)
	}
}

// With any events, a call ends. It sends no more attempts than its policies allow,
// and no more hedges at once than Max. It begins no try while attempts of another
// are under way. It gives back everything that it took from the policies.
func TestCallsKeepTheirWord(t *testing.T) {
	classes := outcome.OfAttempts()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		var p policy.Call
		attempts, most := 1, 1
		if r.IntN(2) == 0 {
			attempts = 1 + r.IntN(5)
			p.Retry = &policy.Retry{Attempts: attempts, Backoff: unit.Duration(r.IntN(20) * int(ms)), RetryAfter: r.IntN(2) == 0}
			for _, class := range policy.RetriedClasses()[:1+r.IntN(5)] {
				p.Retry.On = append(p.Retry.On, policy.Trigger(class))
			}
		}
		if r.IntN(2) == 0 {
			p.Hedge = &policy.Hedge{After: unit.Duration(5 * ms), Max: r.IntN(policy.MaxHedges + 1)}
			most = 1 + max(1, p.Hedge.Max)
		}
		if r.IntN(2) == 0 {
			p.Bulkhead = &policy.Bulkhead{MaxConcurrent: 1}
		}
		if r.IntN(2) == 0 {
			p.Breaker = &policy.Breaker{Failures: 1 + r.IntN(4), Reset: unit.Duration(ms), PerAttempt: r.IntN(2) == 0}
		}
		replica, _, _ := calling(t, p, nil)
		now := 10 * ms
		for range 20 {
			req, op := request(t, replica, nil)
			var c Call
			under, pausing := 0, false
			a := c.Begin(req.Root(), op, now)
			for steps := 0; a.Kind != End; steps++ {
				switch a.Kind {
				case Send:
					under++
					pausing = false
				case Pause:
					if pausing = true; under > 0 {
						t.Fatalf("seed %d: pauses with %d under way", seed, under)
					}
				}
				if under > most || c.Sent() > attempts*most || steps > 200 {
					t.Fatalf("seed %d: %d attempts are under way, %d of %d sent, %d steps", seed, under, c.Sent(), attempts*most, steps)
				}
				now += time.Duration(r.IntN(int(10 * ms)))
				gone := r.IntN(40) == 0
				switch {
				case pausing:
					a = c.Next(Event{Kind: Done, Now: now, Gone: gone})
				case r.IntN(3) == 0:
					a = c.Next(Event{Kind: Done, Now: now})
				default:
					under--
					class := classes[r.IntN(len(classes))]
					status := 0
					if class == outcome.HTTPError {
						status = 400 + r.IntN(200)
					}
					a = c.Next(Event{Kind: Answered, Now: now, Class: class, Status: status, Gone: gone, RetryAfter: time.Duration(r.IntN(int(50 * ms)))})
				}
			}
			if under != 0 {
				t.Fatalf("seed %d: the call ended with %d attempts under way", seed, under)
			}
			if class := c.Called().Class; class == outcome.Rejected && c.Sent() == 0 {
				t.Fatalf("seed %d: the bulkhead has kept a place", seed)
			}
			now += 2 * ms
		}
	}
}
