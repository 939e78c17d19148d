package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

// play makes one call whose attempts end as given, without time passing, and
// returns how it ended and how many attempts were made.
func play(c *Caller, worker int, now time.Duration, key dist.Key, attempts ...outcome.Class) (outcome.Class, int) {
	t, class := c.Begin(worker, now)
	if class != outcome.OK {
		return class, 0
	}
	for i := 0; ; i++ {
		status := 200
		if attempts[i] == outcome.HTTPError {
			status = 503
		}
		if v := c.After(&t, End{Class: attempts[i], Status: status}, now, key); !v.Retry {
			return v.Class, i + 1
		}
	}
}

func TestBreakerOpensAndLetsOneTrialOut(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{Failures: 5, Reset: 30 * second}})
	for i := range 5 {
		want := outcome.Timeout
		if i == 4 { // the failure that opens it is reported as such
			want = outcome.BreakerOpen
		}
		if got, _ := play(c, 0, 0, 0, outcome.Timeout); got != want {
			t.Fatalf("failure %d ended as %s, want %s", i+1, got, want)
		}
	}
	if got, n := play(c, 0, 29*time.Second, 0, outcome.OK); got != outcome.BreakerOpen || n != 0 {
		t.Errorf("an open breaker let a call out: %s after %d attempts", got, n)
	}
	trial, class := c.Begin(0, 30*time.Second)
	if class != outcome.OK {
		t.Fatalf("no trial after the reset: %s", class)
	}
	if _, class := c.Begin(0, 30*time.Second); class != outcome.BreakerOpen {
		t.Errorf("a second trial went out beside the first")
	}
	if state, _ := c.Breaker(30 * time.Second); state != HalfOpen {
		t.Errorf("state %v, want half-open", state)
	}
	if v := c.After(&trial, End{Class: outcome.Timeout}, 31*time.Second, 0); v.Class != outcome.BreakerOpen {
		t.Errorf("the failed trial ended as %s", v.Class)
	}
	if _, class := c.Begin(0, 60*time.Second); class != outcome.BreakerOpen {
		t.Errorf("a failed trial must open the breaker anew")
	}
	if got, _ := play(c, 0, 61*time.Second, 0, outcome.OK); got != outcome.OK {
		t.Errorf("the second trial ended as %s", got)
	}
	if state, _ := c.Breaker(61 * time.Second); state != Closed {
		t.Errorf("state %v after a good trial, want closed", state)
	}
}

func TestBreakerIgnoresNotFoundAndForgetsAfterSuccess(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{Failures: 2, Reset: second}})
	for range 10 {
		ticket, _ := c.Begin(0, 0)
		if v := c.After(&ticket, End{Class: outcome.HTTPError, Status: 404}, 0, 0); v.Class != outcome.HTTPError {
			t.Fatalf("a 404 ended as %s", v.Class)
		}
		play(c, 0, 0, 0, outcome.Timeout)
		play(c, 0, 0, 0, outcome.OK)
	}
	if state, _ := c.Breaker(0); state != Closed {
		t.Errorf("state %v, want closed", state)
	}
}

func TestBreakerPerWorker(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{Failures: 5, Reset: 30 * second, Scope: PerWorker}})
	raw := 0
	for i := range 1000 {
		if got, _ := play(c, i%8, 0, 0, outcome.ConnectionError); got == outcome.ConnectionError {
			raw++
		}
	}
	if raw != 32 {
		t.Errorf("8 workers showed %d raw errors, want 4 each", raw)
	}
}

func TestBreakerByRate(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{FailureRate: 0.5, Window: 10, Reset: second}})
	for i := range 10 {
		class := outcome.OK
		if i%2 == 1 {
			class = outcome.Timeout
		}
		play(c, 0, 0, 0, class)
	}
	if state, _ := c.Breaker(0); state != Open {
		t.Errorf("5 failures of 10 leave it %v", state)
	}
}

// A share of percents opens a breaker at that many of a hundred calls, though products
// of binary fractions are a little more or less.
func TestBreakerOpensAtItsShare(t *testing.T) {
	for percent := 1; percent <= 100; percent++ {
		share, err := unit.ParseShare(fmt.Sprintf("%d%%", percent))
		if err != nil {
			t.Fatal(err)
		}
		b := newBreaker(Breaker{FailureRate: share, Window: 100, MinCalls: 100})
		for i := range 100 {
			opened := b.record(pass{}, 0, i < percent)
			if opened != (i == 99) {
				t.Errorf("%d failures of 100 calls: opened %v by call %d", percent, opened, i+1)
			}
		}
		b = newBreaker(Breaker{FailureRate: share, Window: 100, MinCalls: 100})
		for i := range 100 {
			if b.record(pass{}, 0, i < percent-1) {
				t.Errorf("%d failures of 100 calls open a breaker of %d %%", percent-1, percent)
			}
		}
	}
}

// From MinCalls on, the share among the calls that have ended decides.
func TestBreakerByRateOfFewCalls(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{FailureRate: 0.5, Window: 100, MinCalls: 4, Reset: second}})
	for i, class := range []outcome.Class{outcome.Timeout, outcome.Timeout, outcome.OK, outcome.OK} {
		if state, _ := c.Breaker(0); state != Closed {
			t.Fatalf("%v after %d calls", state, i)
		}
		play(c, 0, 0, 0, class)
	}
	if state, _ := c.Breaker(0); state != Open {
		t.Errorf("2 failures of 4 leave it %v", state)
	}
}

// late makes a good call that takes a time, and returns how it ended.
func late(c *Caller, now, took time.Duration) outcome.Class {
	ticket, class := c.Begin(0, now)
	if class != outcome.OK {
		return class
	}
	return c.After(&ticket, End{Class: outcome.OK, Status: 200}, now+took, 0).Class
}

func TestSlowCallsAreFailuresForTheBreaker(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{Failures: 2, SlowAfter: second, Reset: 10 * second}})
	for _, took := range []time.Duration{time.Second, time.Second - 1, time.Second, 2 * time.Second} {
		if class := late(c, 0, took); class != outcome.OK {
			t.Errorf("a good answer after %v ended as %s", took, class)
		}
	}
	if state, _ := c.Breaker(2 * time.Second); state != Open {
		t.Errorf("2 slow calls in a row leave it %v", state)
	}
	// A slow trial does not close it.
	late(c, 20*time.Second, time.Second)
	if state, _ := c.Breaker(21 * time.Second); state != Open {
		t.Errorf("a slow trial leaves it %v", state)
	}
	late(c, 40*time.Second, time.Millisecond)
	if state, _ := c.Breaker(41 * time.Second); state != Closed {
		t.Errorf("a fast trial leaves it %v", state)
	}
}

// Slow calls and failures each have a share; half of each open nothing if more is
// asked for.
func TestSlowRateCountsByItself(t *testing.T) {
	c := NewCaller(Call{Breaker: &Breaker{FailureRate: 0.6, Window: 10, SlowAfter: second, SlowRate: 0.6, Reset: second}})
	for range 5 {
		play(c, 0, 0, 0, outcome.Timeout)
		late(c, 0, time.Second)
	}
	if state, _ := c.Breaker(0); state != Closed {
		t.Errorf("5 failures and 5 slow calls of 10 leave it %v", state)
	}
	late(c, 0, time.Second) // takes the place of a failure
	if state, _ := c.Breaker(time.Second); state != Open {
		t.Errorf("6 slow calls of 10 leave it %v", state)
	}
}

// Where attempts are counted, their time does not include the wait before them.
func TestWaitsDoNotMakeAttemptsSlow(t *testing.T) {
	c := NewCaller(Call{Retry: &Retry{Attempts: 2, Backoff: 10 * second, Jitter: NoJitter}, Breaker: &Breaker{Failures: 2, SlowAfter: second, Reset: second, PerAttempt: true}})
	ticket, _ := c.Begin(0, 0)
	v := c.After(&ticket, End{Class: outcome.Timeout}, 0, 0)
	if v.Wait != 10*time.Second {
		t.Fatalf("a wait of %v", v.Wait)
	}
	c.After(&ticket, End{Class: outcome.OK, Status: 200}, v.Wait+time.Millisecond, 0)
	if state, _ := c.Breaker(v.Wait + time.Millisecond); state != Closed {
		t.Errorf("a fast attempt leaves it %v", state)
	}
}

func TestRetryTriggers(t *testing.T) {
	for _, tt := range []struct {
		on     []Trigger
		class  outcome.Class
		status int
		want   bool
	}{
		{nil, outcome.HTTPError, 503, true}, {nil, outcome.HTTPError, 429, false},
		{[]Trigger{"429"}, outcome.HTTPError, 429, true}, {[]Trigger{"429"}, outcome.HTTPError, 503, false}, {[]Trigger{"429"}, outcome.Timeout, 0, false},
		{[]Trigger{"timeout", "5xx"}, outcome.Timeout, 0, true}, {[]Trigger{"timeout", "5xx"}, outcome.HTTPError, 599, true}, {[]Trigger{"timeout", "5xx"}, outcome.HTTPError, 499, false},
		{[]Trigger{"4xx"}, outcome.HTTPError, 404, true}, {[]Trigger{"http_error"}, outcome.HTTPError, 404, true},
	} {
		c := NewCaller(Call{Retry: &Retry{Attempts: 2, On: tt.on}})
		ticket, _ := c.Begin(0, 0)
		if v := c.After(&ticket, End{Class: tt.class, Status: tt.status}, 0, 0); v.Retry != tt.want {
			t.Errorf("on %q: %s %d is retried: %v", tt.on, tt.class, tt.status, v.Retry)
		}
	}
}

func TestRetryAfterMakesWaitsLonger(t *testing.T) {
	for _, tt := range []struct {
		retry       Retry
		asked, want time.Duration
	}{
		{Retry{RetryAfter: true}, 3 * time.Second, 3 * time.Second},
		{Retry{RetryAfter: true, Backoff: 5 * second}, 3 * time.Second, 5 * time.Second},
		{Retry{RetryAfter: true, Cap: 2 * second}, 3 * time.Second, 2 * time.Second},
		{Retry{Backoff: second}, 3 * time.Second, time.Second},
	} {
		tt.retry.Attempts, tt.retry.Jitter = 2, NoJitter
		c := NewCaller(Call{Retry: &tt.retry})
		ticket, _ := c.Begin(0, 0)
		if v := c.After(&ticket, End{outcome.HTTPError, 503, tt.asked}, 0, 0); v.Wait != tt.want {
			t.Errorf("%+v asked for %v: a wait of %v, want %v", tt.retry, tt.asked, v.Wait, tt.want)
		}
	}
}

// The last result that fills the window may be a good one.
func TestAGoodAnswerThatOpensABreakerStaysGood(t *testing.T) {
	for _, perAttempt := range []bool{false, true} {
		c := NewCaller(Call{Breaker: &Breaker{FailureRate: 0.5, Window: 2, Reset: second, PerAttempt: perAttempt}})
		play(c, 0, 0, 0, outcome.Timeout)
		if got, _ := play(c, 0, 0, 0, outcome.OK); got != outcome.OK {
			t.Errorf("a good call ended as %s", got)
		}
		if state, _ := c.Breaker(0); state != Open {
			t.Errorf("1 failure of 2 leaves it %v", state)
		}
	}
}

// With any results, a breaker lets no call out while it is open, and at most its
// trials while it is half-open.
func TestBreakerNeverLeaks(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		config := Breaker{Failures: 1 + r.IntN(4), Reset: unit.Duration(1 + r.IntN(100)), Trials: 1 + r.IntN(3)}
		b := newBreaker(config)
		now := time.Duration(0)
		var out []pass
		trialsOut := 0
		for range 500 {
			now += time.Duration(r.IntN(20))
			state := b.state(now)
			if r.IntN(2) == 0 {
				p, ok := b.allow(now)
				if ok && state == Open {
					t.Fatalf("seed %d: a call went out of an open breaker", seed)
				}
				if ok {
					out = append(out, p)
				}
			} else if len(out) > 0 {
				i := r.IntN(len(out))
				p := out[i]
				out = slices.Delete(out, i, i+1)
				switch r.IntN(3) {
				case 0:
					b.cancel(p)
				default:
					b.record(p, now, r.IntN(2) == 0)
				}
			}
			trialsOut = 0
			for _, p := range out {
				if p.trial && p.generation == b.generation && b.open {
					trialsOut++
				}
			}
			if trialsOut > config.Trials {
				t.Fatalf("seed %d: %d trials are out at once, %d allowed", seed, trialsOut, config.Trials)
			}
		}
	}
}

func TestRetryMakesItsAttempts(t *testing.T) {
	c := NewCaller(Call{Retry: &Retry{Attempts: 4}})
	if class, n := play(c, 0, 0, 0, outcome.Timeout, outcome.Timeout, outcome.Timeout, outcome.Timeout); class != outcome.Timeout || n != 4 {
		t.Errorf("ended as %s after %d attempts", class, n)
	}
	if class, n := play(c, 0, 0, 0, outcome.Timeout, outcome.OK); class != outcome.OK || n != 2 {
		t.Errorf("ended as %s after %d attempts", class, n)
	}
	ticket, _ := c.Begin(0, 0)
	if v := c.After(&ticket, End{Class: outcome.HTTPError, Status: 404}, 0, 0); v.Retry {
		t.Error("a 404 is retried")
	}
}

func TestWaitsAreWithinTheirFormula(t *testing.T) {
	for _, jitter := range []Jitter{NoJitter, FullJitter, EqualJitter, Decorrelated} {
		for seed := range 200 {
			c := NewCaller(Call{Retry: &Retry{Attempts: 10, Backoff: second, Cap: 10 * second, Jitter: jitter}})
			ticket, _ := c.Begin(0, 0)
			last := time.Second
			for n := 1; n < 10; n++ {
				v := c.After(&ticket, End{Class: outcome.Timeout}, 0, dist.Seed(uint64(seed)))
				full := min(time.Second<<(n-1), 10*time.Second)
				lo, hi := full, full
				switch jitter {
				case FullJitter:
					lo = 0
				case EqualJitter:
					lo = full / 2
				case Decorrelated:
					lo, hi = time.Second, min(3*max(last, time.Second), 10*time.Second)
				}
				if v.Wait < lo || v.Wait > hi {
					t.Fatalf("%s: wait %d is %v, want %v to %v", jitter, n, v.Wait, lo, hi)
				}
				last = v.Wait
			}
		}
	}
}

// Retries never exceed the burst plus the ratio of first attempts.
func TestBudgetBoundsRetries(t *testing.T) {
	c := NewCaller(Call{Retry: &Retry{Attempts: 10, Budget: &Budget{Ratio: 0.1, Burst: 5}}})
	attempts := 0
	const calls = 1000
	for range calls {
		_, n := play(c, 0, 0, 0, slices.Repeat([]outcome.Class{outcome.Timeout}, 10)...)
		attempts += n
	}
	if retries := attempts - calls; retries > 5+calls/10 || retries < calls/10-1 {
		t.Errorf("%d retries of %d calls, want about %d", retries, calls, 5+calls/10)
	}
}

func TestBulkheadAndRateLimit(t *testing.T) {
	c := NewCaller(Call{Bulkhead: &Bulkhead{MaxConcurrent: 2}})
	a, _ := c.Begin(0, 0)
	c.Begin(0, 0)
	if _, class := c.Begin(0, 0); class != outcome.Rejected {
		t.Errorf("a third call went out: %s", class)
	}
	c.After(&a, End{Class: outcome.OK, Status: 200}, 0, 0)
	if _, class := c.Begin(0, 0); class != outcome.OK {
		t.Errorf("no place after one was left: %s", class)
	}

	limited := NewCaller(Call{RateLimit: &RateLimit{Rate: 10, Burst: 5}})
	sent := 0
	for i := range 10000 {
		if class, _ := play(limited, 0, time.Duration(i)*time.Millisecond, 0, outcome.OK); class == outcome.OK {
			sent++
		}
	}
	if sent < 104 || sent > 105 {
		t.Errorf("%d calls in 10 s at 10/s and a burst of 5, want 105", sent)
	}
}

func TestFallbacks(t *testing.T) {
	if _, ok := NewCaller(Call{}).Fallback(0); ok {
		t.Error("an answer without a fallback")
	}
	fixed := NewCaller(Call{Fallback: &Fallback{Kind: FixedFallback, Value: "[]"}})
	if a, ok := fixed.Fallback(0); !ok || string(a.Body) != "[]" {
		t.Errorf("fixed: %q, %v", a.Body, ok)
	}
	last := NewCaller(Call{Fallback: &Fallback{Kind: LastGood, MaxAge: 10 * second}})
	if _, ok := last.Fallback(0); ok {
		t.Error("an answer before there was one")
	}
	last.Remember([]byte("old"), time.Second)
	if a, ok := last.Fallback(5 * time.Second); !ok || string(a.Body) != "old" || a.Age != 4*time.Second {
		t.Errorf("last good: %q aged %v, %v", a.Body, a.Age, ok)
	}
	if _, ok := last.Fallback(12 * time.Second); ok {
		t.Error("an answer that is too old")
	}
}

func TestValidateNamesMistakes(t *testing.T) {
	for want, c := range map[string]Call{
		"always open":                       {Breaker: &Breaker{Reset: second}},
		"by failures in a row or by their ": {Breaker: &Breaker{Failures: 1, FailureRate: 0.5, Window: 5, Reset: second}},
		"never stays open":                  {Breaker: &Breaker{Failures: 1}},
		"1000000000 attempts are not in":    {Retry: &Retry{Attempts: 1e9}},
		"factor 0.5 is not in the range":    {Retry: &Retry{Attempts: 2, Factor: 0.5}},
		`outcome "ok" can not be retried`:   {Retry: &Retry{Attempts: 2, On: []Trigger{"ok"}}},
		`outcome "breaker_open" can not be`: {Retry: &Retry{Attempts: 2, On: []Trigger{"breaker_open"}}},
		`outcome "600" can not be retried`:  {Retry: &Retry{Attempts: 2, On: []Trigger{"600"}}},
		`outcome "200" can not be retried`:  {Retry: &Retry{Attempts: 2, On: []Trigger{"200"}}},
		"minCalls 6 is not in the range":    {Breaker: &Breaker{FailureRate: 0.5, Window: 5, MinCalls: 6, Reset: second}},
		"minCalls 1 has no effect":          {Breaker: &Breaker{Failures: 5, MinCalls: 1, Reset: second}},
		"a slow rate has no effect":         {Breaker: &Breaker{SlowRate: 0.5, Window: 5, Reset: second}},
		"a call is never slow after":        {Timeout: second, Breaker: &Breaker{Failures: 1, SlowAfter: second, Reset: second}},
		"slow rate 2 is not in the range":   {Breaker: &Breaker{SlowRate: 2, SlowAfter: second, Window: 5, Reset: second}},
		"make no budget":                    {Retry: &Retry{Attempts: 2, Budget: &Budget{}}},
		"fixed fallback has no value":       {Fallback: &Fallback{Kind: FixedFallback}},
		`fallback kind "stale" is not`:      {Fallback: &Fallback{Kind: "stale"}},
		"takes no value":                    {Fallback: &Fallback{Kind: EmptyFallback, Value: "x"}},
		"bulkhead of 0 lets nothing":        {Bulkhead: &Bulkhead{}},
		"rate of NaN lets nothing":          {RateLimit: &RateLimit{Rate: math.NaN()}},
		"burst of 0.5 lets nothing":         {RateLimit: &RateLimit{Rate: 5, Burst: 0.5}},
		"burst of NaN lets nothing":         {RateLimit: &RateLimit{Rate: 5, Burst: math.NaN()}},
		"burst of -1 lets nothing":          {RateLimit: &RateLimit{Rate: 5, Burst: -1}},
		`"3m" is longer than its cap "2m"`:  {Retry: &Retry{Attempts: 2, Backoff: 180 * second}},
		"retryAfter has no effect":          {Retry: &Retry{Attempts: 2, RetryAfter: true, On: []Trigger{"timeout"}}},
		"never comes before the timeout":    {Timeout: second, Hedge: &Hedge{After: second}},
		`timeout "-1s" is negative`:         {Timeout: -second},
		`scope "city" is not known`:         {Breaker: &Breaker{Failures: 1, Reset: second, Scope: "city"}},
	} {
		if text := fmt.Sprint(c.Validate().Err()); !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
	good := Call{
		Timeout: second, Retry: &Retry{Attempts: 3, Budget: &Budget{Ratio: 0.1, Burst: 10}}, Breaker: &Breaker{Failures: 5, Reset: 30 * second},
		Bulkhead: &Bulkhead{MaxConcurrent: 10}, Hedge: &Hedge{After: second / 2}, Fallback: &Fallback{Kind: EmptyFallback}, RateLimit: &RateLimit{Rate: 5},
	}
	if problems := good.Validate(); len(problems) > 0 {
		t.Error(problems.Err())
	}
}

func TestGoodCallsAllocateNothing(t *testing.T) {
	c := full()
	if n := testing.AllocsPerRun(1000, func() { goodCall(c) }); n != 0 {
		t.Errorf("a good call allocates %v times", n)
	}
}

func full() *Caller {
	return NewCaller(Call{
		Timeout: second, Retry: &Retry{Attempts: 3, Backoff: second, Budget: &Budget{Ratio: 0.1, Burst: 10}},
		Breaker: &Breaker{Failures: 5, Reset: 30 * second}, Bulkhead: &Bulkhead{MaxConcurrent: 10},
	})
}

func goodCall(c *Caller) outcome.Class {
	t, _ := c.Begin(0, 0)
	return c.After(&t, End{Class: outcome.OK, Status: 200}, 1, 1).Class
}

func BenchmarkGoodCall(b *testing.B) {
	c := full()
	b.ReportAllocs()
	for b.Loop() {
		goodCall(c)
	}
}

func TestACallThatIsNotRepeatedStillCounts(t *testing.T) {
	for _, perAttempt := range []bool{false, true} {
		c := NewCaller(Call{
			Retry:   &Retry{Attempts: 3, Backoff: second, Budget: &Budget{Ratio: 0, Burst: 1}},
			Breaker: &Breaker{Failures: 2, Reset: second, PerAttempt: perAttempt}, Bulkhead: &Bulkhead{MaxConcurrent: 1},
		})
		for i := range 2 {
			ticket, class := c.Begin(0, 0)
			if class != outcome.OK {
				t.Fatalf("call %d: %s", i, class)
			}
			v := c.After(&ticket, End{Class: outcome.Timeout}, 0, 0)
			want := outcome.Timeout
			if i == 1 {
				want = outcome.BreakerOpen
			}
			if !v.Retry {
				if i == 0 || !perAttempt {
					t.Fatalf("call %d is not repeated: the budget was not given back", i)
				}
				if v.Class != want {
					t.Errorf("call %d ended as %s", i, v.Class)
				}
			} else if got := c.Stop(&ticket, outcome.Timeout, 0, 0); got != want {
				t.Errorf("call %d ended as %s, want %s", i, got, want)
			}
		}
		if _, class := c.Begin(0, 0); class != outcome.BreakerOpen {
			t.Errorf("after two failures: %s", class)
		}
	}
}

func TestACancelledTrialIsGivenBack(t *testing.T) {
	for _, perAttempt := range []bool{false, true} {
		c := NewCaller(Call{Breaker: &Breaker{Failures: 1, Reset: second, PerAttempt: perAttempt}})
		play(c, 0, 0, 0, outcome.Timeout)
		play(c, 0, 2*time.Second, 0, outcome.Cancelled)
		if got, _ := play(c, 0, 2*time.Second, 0, outcome.OK); got != outcome.OK {
			t.Errorf("no trial after a cancelled one: %s", got)
		}
		if state, _ := c.Breaker(2 * time.Second); state != Closed {
			t.Errorf("state %v", state)
		}
	}
}
