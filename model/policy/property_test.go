package policy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// randomCall makes policies that are valid and small, so that their bounds are
// met often.
func randomCall(r *rand.Rand) (p Call) {
	scope := func() Scope { return []Scope{"", PerReplica, PerWorker}[r.IntN(3)] }
	if r.IntN(4) > 0 {
		p.Retry = &Retry{Attempts: 1 + r.IntN(5), Backoff: unit.Duration(r.IntN(3) * 1000), Jitter: []Jitter{NoJitter, FullJitter, EqualJitter, Decorrelated}[r.IntN(4)]}
		if p.Retry.Backoff == 0 {
			p.Retry.Jitter = "" // it would have no effect
		}
		if r.IntN(2) == 0 {
			p.Retry.Budget = &Budget{Ratio: float64(r.IntN(6)) / 10, Burst: float64(1 + r.IntN(5))}
		}
		for _, class := range RetriedClasses() {
			if r.IntN(4) == 0 {
				p.Retry.On = append(p.Retry.On, Trigger(class))
			}
		}
		if r.IntN(4) == 0 {
			p.Retry.On = append(p.Retry.On, []Trigger{"5xx", "4xx", "503", "429"}[r.IntN(4)])
		}
		p.Retry.RetryAfter = r.IntN(2) == 0 && (len(p.Retry.On) == 0 || slices.ContainsFunc(p.Retry.On, Trigger.isAnswer))
	}
	if r.IntN(4) > 0 {
		p.Breaker = &Breaker{Failures: 1 + r.IntN(3), Reset: unit.Duration(50 + r.IntN(200)), Trials: r.IntN(4), Scope: scope(), PerAttempt: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			p.Breaker.Failures, p.Breaker.FailureRate, p.Breaker.Window = 0, unit.Share(0.1+0.9*r.Float64()), 1+r.IntN(5)
			p.Breaker.MinCalls = r.IntN(p.Breaker.Window + 1)
			if r.IntN(2) == 0 {
				p.Breaker.SlowAfter, p.Breaker.SlowRate = unit.Duration(1+r.IntN(100)), unit.Share(r.Float64())
			}
		}
		if r.IntN(3) == 0 {
			p.Breaker.SlowAfter = unit.Duration(1 + r.IntN(100))
		}
	}
	if r.IntN(2) == 0 {
		p.Bulkhead = &Bulkhead{MaxConcurrent: 1 + r.IntN(4), Scope: scope()}
	}
	if r.IntN(2) == 0 {
		p.RateLimit = &RateLimit{Rate: 1e6 * (1 + 20*r.Float64()), Burst: float64(r.IntN(5))}
	}
	return p
}

// An observed call is one that the property test has under way.
type observed struct {
	ticket Ticket
	worker int
}

// TestCallersKeepTheirWord drives callers with random policies by random events
// and holds them to what each policy promises:
//
//   - a bulkhead never has more calls inside than its limit, and none is lost;
//   - a rate limit lets out no more than its burst and its rate;
//   - a retry makes no more attempts than it says;
//   - a budget grants no more retries than its burst and what first attempts earn;
//   - a wait is never negative and never longer than its cap.
func TestCallersKeepTheirWord(t *testing.T) {
	const workers = 3
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := randomCall(r)
		if problems := p.Validate(); len(problems) > 0 {
			t.Fatalf("seed %d: %v", seed, problems.Err())
		}
		c := NewCaller(p)
		var under []observed
		now, sent, retries := time.Duration(0), 0, 0
		inside := func(worker int) (n int) {
			for _, o := range under {
				if o.worker == worker || p.Bulkhead.Scope != PerWorker {
					n++
				}
			}
			return n
		}
		for range 300 {
			now += time.Duration(r.IntN(40))
			if len(under) == 0 || r.IntN(3) == 0 {
				worker := r.IntN(workers)
				ticket, class := c.Begin(worker, now)
				if class == outcome.OK {
					under = append(under, observed{ticket, worker})
					sent++
				}
				if p.Bulkhead != nil && class == outcome.OK && inside(worker) > p.Bulkhead.MaxConcurrent {
					t.Fatalf("seed %d: %d calls are inside a bulkhead of %d", seed, inside(worker), p.Bulkhead.MaxConcurrent)
				}
				if p.Bulkhead != nil && p.RateLimit == nil && class == outcome.Rejected && inside(worker) < p.Bulkhead.MaxConcurrent {
					t.Fatalf("seed %d: a bulkhead of %d turned a call away with %d inside", seed, p.Bulkhead.MaxConcurrent, inside(worker))
				}
				if l := p.RateLimit; l != nil {
					burst := l.Burst
					if burst == 0 {
						burst = math.Max(1, l.Rate)
					}
					if most := burst + l.Rate*now.Seconds(); float64(sent) > most+1e-6 {
						t.Fatalf("seed %d: %d calls went out in %v, at most %v may", seed, sent, now, most)
					}
				}
				continue
			}
			i := r.IntN(len(under))
			o := &under[i]
			class := outcome.OfAttempts()[r.IntN(len(outcome.OfAttempts()))]
			status := 0
			if class == outcome.HTTPError {
				status = 400 + r.IntN(200)
			}
			attempt := o.ticket.Attempt
			v := c.After(&o.ticket, End{class, status, time.Duration(r.IntN(5000))}, now, dist.Seed(seed).WithInt(sent))
			switch {
			case !v.Retry:
				if v.Class != class && v.Class != outcome.BreakerOpen || class == outcome.OK && v.Class != outcome.OK {
					t.Fatalf("seed %d: %s ended as %s", seed, class, v.Class)
				}
				under = slices.Delete(under, i, i+1)
				continue
			case p.Retry == nil || attempt >= p.Retry.Attempts || class == outcome.OK || class == outcome.Cancelled:
				t.Fatalf("seed %d: attempt %d that ended as %s is repeated", seed, attempt, class)
			case v.Wait < 0 || v.Wait > DefaultCap.Std():
				t.Fatalf("seed %d: a wait of %v", seed, v.Wait)
			}
			retries++
			if r.IntN(10) == 0 { // there was no time for it
				retries--
				c.Stop(&o.ticket, class, status, now)
				under = slices.Delete(under, i, i+1)
			}
			if p.Retry.Budget != nil {
				if most := p.Retry.Budget.Burst + p.Retry.Budget.Ratio*float64(sent); float64(retries) > most+1e-6 {
					t.Fatalf("seed %d: %d retries of %d calls, the budget allows %v", seed, retries, sent, most)
				}
			}
		}
	}
}

// TestBreakersKeepTheirWord watches whole calls and attempts: while a breaker is
// open nothing goes out before its reset, and while it is half-open no more than
// its trials are out at once. Calls that were let out while it was closed may
// still be under way; they decide nothing.
func TestBreakersKeepTheirWord(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 4))
		p := Call{Breaker: &Breaker{Failures: 1 + r.IntN(3), Reset: unit.Duration(100), Trials: 1 + r.IntN(3), PerAttempt: r.IntN(2) == 0}}
		if r.IntN(2) == 0 {
			p.Retry = &Retry{Attempts: 3}
		}
		if r.IntN(2) == 0 {
			p.Breaker.SlowAfter = unit.Duration(1 + r.IntN(60))
		}
		c := NewCaller(p)
		type call struct {
			ticket Ticket
			trial  bool
		}
		var under []call
		now, opened := time.Duration(0), time.Duration(-1)
		trials := func() (n int) {
			for _, o := range under {
				if o.trial {
					n++
				}
			}
			return n
		}
		for range 400 {
			now += time.Duration(r.IntN(30))
			before, _ := c.Breaker(now)
			if len(under) == 0 || r.IntN(2) == 0 {
				ticket, class := c.Begin(0, now)
				if class != outcome.OK {
					if before == Closed {
						t.Fatalf("seed %d: a closed breaker stops a call", seed)
					}
					continue
				}
				if before == Open || opened >= 0 && now-opened < p.Breaker.Reset.Std() && before != Closed {
					t.Fatalf("seed %d: a call went out %v after the breaker opened", seed, now-opened)
				}
				under = append(under, call{ticket, before == HalfOpen})
				if trials() > p.Breaker.Trials {
					t.Fatalf("seed %d: %d trials are out, %d allowed", seed, trials(), p.Breaker.Trials)
				}
				continue
			}
			i := r.IntN(len(under))
			class := []outcome.Class{outcome.OK, outcome.Timeout, outcome.Cancelled}[r.IntN(3)]
			v := c.After(&under[i].ticket, End{Class: class}, now, dist.Key(seed))
			after, _ := c.Breaker(now)
			if v.Retry && p.Breaker.PerAttempt && after == Open {
				t.Fatalf("seed %d: a retry goes out of an open breaker", seed)
			}
			if before != Open && after == Open {
				opened = now
				for j := range under {
					under[j].trial = false // they belong to the opening before
				}
			}
			if before != Closed && after == Closed {
				for j := range under {
					under[j].trial = false
				}
			}
			if !v.Retry {
				under = slices.Delete(under, i, i+1)
			} else if p.Breaker.PerAttempt {
				under[i].trial = after == HalfOpen
			}
		}
	}
}
