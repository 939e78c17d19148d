// Package policy decides what a caller does about failure: timeouts, retries,
// breakers, bulkheads, hedges, fallbacks and limits. Its state machines have no
// clock; callers pass them the time, so that real and virtual time share them.
package policy

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Call lists the policies of one call. From the outside in: a fallback replaces
// any failure; the rate limit and the bulkhead turn calls away; the breaker watches
// whole calls or, with PerAttempt, attempts; the retry repeats attempts; the
// timeout bounds one attempt.
type Call struct {
	// Timeout bounds each attempt; 0 means the time that is left for the request.
	Timeout   unit.Duration `json:"timeout,omitzero"`
	Retry     *Retry        `json:"retry,omitempty"`
	Breaker   *Breaker      `json:"breaker,omitempty"`
	Bulkhead  *Bulkhead     `json:"bulkhead,omitempty"`
	RateLimit *RateLimit    `json:"rateLimit,omitempty"`
	Hedge     *Hedge        `json:"hedge,omitempty"`
	Fallback  *Fallback     `json:"fallback,omitempty"`
}

// IsZero reports whether the call has no policy at all.
func (c *Call) IsZero() bool { return c == nil || *c == Call{} }

// Jitter says how the wait before a retry is randomised. Names and formulas come
// from Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
type Jitter string

// The kinds of jitter.
const (
	NoJitter     Jitter = "none"
	FullJitter   Jitter = "full"
	EqualJitter  Jitter = "equal"
	Decorrelated Jitter = "decorrelated"
)

// Retry repeats attempts that failed.
type Retry struct {
	// Attempts includes the first attempt: 3 means up to two retries.
	Attempts int `json:"attempts"`
	// Backoff is the wait before the first retry, before jitter; each further
	// wait is Factor times as long, up to Cap. A Backoff of 0 retries at once.
	Backoff unit.Duration `json:"backoff,omitzero"`
	Factor  float64       `json:"factor,omitempty"`
	Cap     unit.Duration `json:"cap,omitzero"`
	Jitter  Jitter        `json:"jitter,omitempty"`
	// On lists the failures that are retried; empty means connection errors,
	// timeouts, malformed answers, errors of data stores, and HTTP statuses of 500
	// and more.
	On []Trigger `json:"on,omitempty"`
	// RetryAfter obeys the header Retry-After of an answer (RFC 9110, section
	// 10.2.3), up to Cap: the caller waits for its backoff or for the time in the
	// header, whichever is longer.
	RetryAfter bool    `json:"retryAfter,omitempty"`
	Budget     *Budget `json:"budget,omitempty"`
}

// A Trigger is a failure that is retried: a class of outcomes such as timeout, a status
// such as 503, or a class of statuses, 4xx or 5xx.
type Trigger string

// RetriedClasses lists the classes of outcomes that a Trigger may name. The others are
// missing because a call that a breaker held back, or whose caller gave up, is never
// retried.
func RetriedClasses() []outcome.Class {
	return slices.DeleteFunc(outcome.OfAttempts(), func(c outcome.Class) bool { return c == outcome.OK || c == outcome.Cancelled })
}

// UnmarshalText implements encoding.TextUnmarshaler; a status may be written as a
// number.
func (t *Trigger) UnmarshalText(text []byte) error {
	*t = Trigger(text)
	return nil
}

// matches reports whether an attempt ended with the failure that the trigger names.
func (t Trigger) matches(class outcome.Class, status int) bool {
	if t == Trigger(class) {
		return true
	}
	if class != outcome.HTTPError {
		return false
	}
	least, most, ok := t.statuses()
	return ok && least <= status && status <= most
}

// statuses returns the range of statuses that the trigger names, if it names any.
func (t Trigger) statuses() (least, most int, ok bool) {
	switch t {
	case "4xx":
		return 400, 499, true
	case "5xx":
		return 500, 599, true
	}
	n, err := strconv.Atoi(string(t))
	return n, n, err == nil && len(t) == 3 && n >= 400 && n <= 599
}

// isAnswer reports whether the trigger names HTTP errors: all or some of them.
func (t Trigger) isAnswer() bool {
	_, _, ok := t.statuses()
	return ok || t == Trigger(outcome.HTTPError)
}

// Budget bounds retries by a token bucket: each first attempt earns Ratio
// tokens up to Burst, each retry costs one. The bucket starts full.
type Budget struct {
	Ratio float64 `json:"ratio"`
	Burst float64 `json:"burst"`
}

// Scope says which calls share the state of a policy.
type Scope string

// The scopes.
const (
	// PerReplica shares one state among all workers of a replica of the caller.
	PerReplica Scope = "replica"
	// PerWorker gives each worker a state of its own.
	PerWorker Scope = "worker"
)

// Breaker stops calls after failures. It opens after Failures in a row, or when the
// share FailureRate of the last Window calls failed. After Reset it lets Trials
// calls out; it closes when all of them succeed.
type Breaker struct {
	Failures    int        `json:"failures,omitempty"`
	FailureRate unit.Share `json:"failureRate,omitempty"`
	Window      int        `json:"window,omitempty"`
	// MinCalls is how many calls must be in the window before a rate can open the
	// breaker; 0 means that the window must be full.
	MinCalls int `json:"minCalls,omitempty"`
	// SlowAfter is the time from which the breaker counts a call as slow, which is a
	// failure for the breaker but not for the caller; 0 means that no call is slow.
	SlowAfter unit.Duration `json:"slowAfter,omitzero"`
	// SlowRate opens the breaker when this share of the last Window calls was slow.
	// Slow calls then count for SlowRate only, not as failures.
	SlowRate unit.Share    `json:"slowRate,omitempty"`
	Reset    unit.Duration `json:"reset"`
	Trials   int           `json:"trials,omitempty"`
	Scope    Scope         `json:"scope,omitempty"`
	// PerAttempt makes the breaker count each attempt instead of the whole call.
	PerAttempt bool `json:"perAttempt,omitempty"`
}

// Bulkhead bounds the calls under way at once. It turns further calls away.
type Bulkhead struct {
	MaxConcurrent int   `json:"maxConcurrent"`
	Scope         Scope `json:"scope,omitempty"`
}

// RateLimit lets out Rate calls per second on average, and up to Burst calls at
// once. It turns further calls away.
type RateLimit struct {
	Rate float64 `json:"rate"`
	// Burst is how many calls can go out at once after a pause; 0 means Rate, but
	// at least 1.
	Burst float64 `json:"burst,omitempty"`
}

// Hedge sends the same request again if no answer has come within After, and takes
// the first good answer.
type Hedge struct {
	After unit.Duration `json:"after"`
	// Max is how many further requests are sent at most; 0 means 1.
	Max int `json:"max,omitempty"`
}

// FallbackKind says where a fallback's answer comes from.
type FallbackKind string

// The kinds of fallbacks.
const (
	// EmptyFallback answers with an empty body.
	EmptyFallback FallbackKind = "empty"
	// FixedFallback answers with Value.
	FixedFallback FallbackKind = "fixed"
	// LastGood answers with the last good answer, if it is not older than MaxAge.
	LastGood FallbackKind = "last-good"
)

// Fallback replaces a call that failed by an answer. The request goes on as if the
// call had succeeded; metrics still count the failure.
type Fallback struct {
	Kind FallbackKind `json:"kind"`
	// Value is the answer of the kind fixed.
	Value string `json:"value,omitempty"`
	// MaxAge bounds the age of the answer of the kind last-good; 0 means any age.
	MaxAge unit.Duration `json:"maxAge,omitzero"`
}

// Bounds of policies. Validate takes values beyond them for a mistake of the file.
const (
	MaxAttempts = 20
	MaxHedges   = 5
	MaxWindow   = 10000
)

// Defaults of the fields that a file may leave out.
const (
	DefaultFactor = 2.0
	DefaultCap    = unit.Duration(120e9)
	DefaultTrials = 1
	DefaultHedges = 1
)

// WithDefaults returns the policies with the defaults of the fields that the file
// leaves out.
func (c Call) WithDefaults() Call {
	if c.Retry != nil {
		r := *c.Retry
		r.Factor, r.Cap, r.Jitter = cmp.Or(r.Factor, DefaultFactor), cmp.Or(r.Cap, DefaultCap), cmp.Or(r.Jitter, FullJitter)
		c.Retry = &r
	}
	if c.Breaker != nil {
		b := *c.Breaker
		b.Trials, b.Scope, b.MinCalls = cmp.Or(b.Trials, DefaultTrials), cmp.Or(b.Scope, PerReplica), cmp.Or(b.MinCalls, b.Window)
		c.Breaker = &b
	}
	if c.Bulkhead != nil {
		b := *c.Bulkhead
		b.Scope = cmp.Or(b.Scope, PerReplica)
		c.Bulkhead = &b
	}
	if c.RateLimit != nil {
		l := *c.RateLimit
		l.Burst = cmp.Or(l.Burst, math.Max(1, l.Rate))
		c.RateLimit = &l
	}
	if c.Hedge != nil {
		h := *c.Hedge
		h.Max = cmp.Or(h.Max, DefaultHedges)
		c.Hedge = &h
	}
	return c
}

// Validate returns every mistake in the policies.
func (c *Call) Validate() (problems problem.List) {
	if c.Timeout < 0 {
		problems.AddHint("timeout", "write a duration such as 500ms", "timeout %q is negative", c.Timeout)
	}
	if c.Retry != nil {
		problems.Under("retry", c.Retry.validate())
	}
	if c.Breaker != nil {
		problems.Under("breaker", c.Breaker.validate())
		// The timeout bounds an attempt, so a whole call with retries may take
		// longer than SlowAfter.
		bounded := c.Timeout > 0 && (c.Retry == nil || c.Breaker.PerAttempt)
		if slow := c.Breaker.SlowAfter; bounded && slow >= c.Timeout {
			problems.AddHint("breaker.slowAfter", "write less than the timeout", "a call is never slow after %q: the timeout %q ends it", slow, c.Timeout)
		}
	}
	if b := c.Bulkhead; b != nil {
		if b.MaxConcurrent < 1 {
			problems.AddHint("bulkhead.maxConcurrent", "write 1 or more", "a bulkhead of %d lets nothing through", b.MaxConcurrent)
		}
		checkScope(&problems, "bulkhead.scope", b.Scope)
	}
	if r := c.RateLimit; r != nil {
		if !(r.Rate > 0) || math.IsInf(r.Rate, 0) {
			problems.AddHint("rateLimit.rate", "write calls per second", "a rate of %v lets nothing through", r.Rate)
		}
		if r.Burst != 0 && !(r.Burst >= 1) {
			problems.AddHint("rateLimit.burst", "write 1 or more: a call takes one", "a burst of %v lets nothing through", r.Burst)
		}
	}
	if h := c.Hedge; h != nil {
		if h.After <= 0 {
			problems.AddHint("hedge.after", "write the time after which most answers have come", "a hedge after %q doubles every call", h.After)
		}
		if h.Max < 0 || h.Max > MaxHedges {
			problems.Add("hedge.max", "%d hedges are not in the range 0 to %d", h.Max, MaxHedges)
		}
		if c.Timeout > 0 && h.After >= c.Timeout {
			problems.AddHint("hedge.after", "hedge before the timeout", "a hedge after %q never comes before the timeout %q", h.After, c.Timeout)
		}
	}
	if f := c.Fallback; f != nil {
		problems.Under("fallback", f.validate())
	}
	return problems
}

func (r *Retry) validate() (problems problem.List) {
	if r.Attempts < 1 || r.Attempts > MaxAttempts {
		problems.AddHint("attempts", "the first counts, too; 3 is usual", "%d attempts are not in the range 1 to %d", r.Attempts, MaxAttempts)
	}
	if r.Backoff < 0 || r.Cap < 0 {
		problems.Add("backoff", "backoff %q and cap %q must not be negative", r.Backoff, r.Cap)
	}
	if limit := cmp.Or(r.Cap, DefaultCap); limit > 0 && r.Backoff > limit {
		problems.AddHint("backoff", "write a longer cap beside it", "backoff %q is longer than its cap %q", r.Backoff, limit)
	}
	if r.Factor != 0 && !(r.Factor >= 1 && r.Factor <= 100) {
		problems.AddHint("factor", "write 2 to double each wait, 1 to keep it", "factor %v is not in the range 1 to 100", r.Factor)
	}
	if !slices.Contains([]Jitter{"", NoJitter, FullJitter, EqualJitter, Decorrelated}, r.Jitter) {
		problems.AddHint("jitter", "write none, full, equal or decorrelated", "jitter %q is not known", r.Jitter)
	}
	r.checkWaits(&problems)
	for i, trigger := range r.On {
		class := outcome.Class(trigger)
		_, _, status := trigger.statuses()
		if !status && !slices.Contains(RetriedClasses(), class) {
			problems.AddHint(problem.Index("on", i), "write connection_error, timeout, http_error, store_error, malformed or rejected, a status from 400 to 599, 4xx or 5xx", "outcome %q can not be retried", trigger)
		}
	}
	if r.RetryAfter && len(r.On) > 0 && !slices.ContainsFunc(r.On, Trigger.isAnswer) {
		problems.AddHint("retryAfter", "name a status in on, such as 503, or leave retryAfter out", "retryAfter has no effect: no answer is retried")
	}
	if b := r.Budget; b != nil && (!(b.Ratio >= 0 && b.Ratio <= 10) || !(b.Burst >= 1 && b.Burst <= 1e6)) {
		problems.AddHint("budget", "a ratio of 0.1 and a burst of 10 bound retries to a tenth", "ratio %v and burst %v make no budget", b.Ratio, b.Burst)
	}
	return problems
}

// checkWaits refuses fields that shape the backoff if there is none: without a backoff,
// a retry goes out at once or, up to the cap, when the answer asks for it.
func (r *Retry) checkWaits(problems *problem.List) {
	if r.Backoff != 0 {
		return
	}
	const hint = "write a backoff, such as 100ms, or leave it out"
	switch {
	case r.Jitter != "" && r.Jitter != NoJitter:
		problems.AddHint("jitter", hint, "jitter %q has no effect: without a backoff a retry comes at once", r.Jitter)
	case r.Factor != 0:
		problems.AddHint("factor", hint, "factor %v has no effect: without a backoff a retry comes at once", r.Factor)
	case r.Cap != 0 && !r.RetryAfter:
		problems.AddHint("cap", hint, "cap %q has no effect: without a backoff a retry comes at once", r.Cap)
	}
}

func (b *Breaker) validate() (problems problem.List) {
	byCount, byRate := b.Failures != 0, b.FailureRate != 0 || b.Window != 0 || b.SlowRate != 0
	switch {
	case b.Failures < 0 || !byCount && !byRate:
		problems.AddHint("failures", "write how many failures in a row open it, such as 5", "a breaker that opens after %d failures is always open", b.Failures)
	case byCount && byRate:
		problems.AddHint("failures", "keep failures, or failureRate with window", "a breaker opens by failures in a row or by their rate, not both")
	case byRate && (!isRate(b.FailureRate) || b.FailureRate == 0 && b.SlowRate == 0 || b.Window < 1 || b.Window > MaxWindow):
		problems.AddHint("failureRate", "write a share over 0 up to 1, and a window of calls", "failure rate %v of a window of %d makes no breaker", b.FailureRate, b.Window)
	}
	switch {
	case b.MinCalls != 0 && !byRate:
		problems.AddHint("minCalls", "remove it, or write failureRate and window in place of failures", "minCalls %d has no effect on a breaker that counts failures in a row", b.MinCalls)
	case b.MinCalls < 0 || b.MinCalls > b.Window:
		problems.AddHint("minCalls", "write 1 up to the window", "minCalls %d is not in the range 1 to the window, %d", b.MinCalls, b.Window)
	}
	if b.SlowAfter < 0 {
		problems.AddHint("slowAfter", "write how long a call takes that is slow, such as 500ms", "slowAfter %q is negative", b.SlowAfter)
	}
	switch {
	case !isRate(b.SlowRate):
		problems.AddHint("slowRate", "write a share over 0 up to 1", "slow rate %v is not in the range 0 to 1", b.SlowRate)
	case b.SlowRate > 0 && b.SlowAfter == 0:
		problems.AddHint("slowAfter", "write how long a call takes that is slow, such as slowAfter: 500ms", "a slow rate has no effect, for no call is slow")
	}
	if b.Reset <= 0 {
		problems.AddHint("reset", "write how long it stays open, such as 30s", "a breaker with reset %q never stays open", b.Reset)
	}
	if b.Trials < 0 {
		problems.Add("trials", "%d trials are not possible", b.Trials)
	}
	checkScope(&problems, "scope", b.Scope)
	return problems
}

func isRate(share unit.Share) bool { return share >= 0 && share <= 1 }

func (f *Fallback) validate() (problems problem.List) {
	switch f.Kind {
	case EmptyFallback:
	case FixedFallback:
		if f.Value == "" {
			problems.AddHint("value", "write the value, or kind: empty", "a fixed fallback has no value")
		}
	case LastGood:
		if f.MaxAge < 0 {
			problems.Add("maxAge", "age %q is negative", f.MaxAge)
		}
	default:
		problems.AddHint("kind", "write empty, fixed or last-good", "fallback kind %q is not known", f.Kind)
	}
	if f.Value != "" && f.Kind != FixedFallback {
		problems.AddHint("value", "write kind: fixed", "a fallback of kind %q takes no value", f.Kind)
	}
	return problems
}

func checkScope(problems *problem.List, path string, s Scope) {
	if s != "" && s != PerReplica && s != PerWorker {
		problems.AddHint(path, "write replica or worker", "scope %q is not known", s)
	}
}
