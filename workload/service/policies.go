package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// FallbackHeader says of an answer that a fallback has taken the place of a
// call's: the callee and the kind of the fallback and, for one that is stale,
// its age in milliseconds: "popular last-good 1532". It is there once for each.
const FallbackHeader = "Microsim-Fallback"

// A callSite is one call of the service's file, with what all the requests that
// make it share.
type callSite struct {
	call    *behave.Call
	metrics *calleeMetrics
	// caller has the state of the policies; nil where there are none but a
	// timeout.
	caller *policy.Caller
	hedge  *policy.Hedge
}

func (s *Service) newSites() []*callSite {
	sites := make([]*callSite, len(s.plan.Sites))
	for i, call := range s.plan.Sites {
		sites[i] = &callSite{call: call, metrics: s.metrics.callee(call.To)}
		if call.Managed() {
			sites[i].caller, sites[i].hedge = policy.NewCaller(call.Policy), call.Policy.Hedge
		}
		if call.Policy.Fallback != nil {
			s.metrics.startFallbacks(call.To)
		}
	}
	return sites
}

// perWorker reports whether a policy has a state for each worker.
func perWorker(sites []*behave.Call) bool {
	for _, call := range sites {
		b, h := call.Policy.Breaker, call.Policy.Bulkhead
		if b != nil && b.Scope == policy.PerWorker || h != nil && h.Scope == policy.PerWorker {
			return true
		}
	}
	return false
}

// sinceStart is the time that policies count in.
func (s *Service) sinceStart(t time.Time) time.Duration { return t.Sub(s.began) }

// An ending is how a call, or an attempt of one, ended.
type ending struct {
	answer answer
	class  outcome.Class
	err    error
	at     time.Time
}

// managed makes a call as its policies say.
func (x *exchange) managed(op *behave.Op, site *callSite, start time.Time) ending {
	s, c := x.service, site.caller
	ticket, class := c.Begin(x.worker, s.sinceStart(start))
	if class != outcome.OK {
		return ending{class: class, err: errNotSent, at: start}
	}
	sent := 0
	for {
		end, n := x.send(op, site, sent+1, start)
		sent += n
		var key dist.Key
		if end.class != outcome.OK {
			key = s.plan.CallKey(x.request, op.Index)
		}
		v := c.After(&ticket, end.class, end.answer.status, s.sinceStart(end.at), key)
		if v.Retry {
			if x.pause(v.Wait) {
				start = time.Now()
				continue
			}
			v.Class = c.Stop(&ticket, end.class, end.answer.status, s.sinceStart(time.Now()))
		}
		if end.class == outcome.OK {
			c.Remember(end.answer.whole(), s.sinceStart(end.at))
		}
		end.class = v.Class
		return end
	}
}

var errNotSent = errors.New("it was not sent")

// pause waits before another attempt, and reports whether there is time for it.
func (x *exchange) pause(d time.Duration) bool {
	if !x.deadline.IsZero() && !time.Now().Add(d).Before(x.deadline) {
		return false
	}
	if d <= 0 {
		return !x.stopped()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.service.stop:
	case <-x.left:
	}
	return false
}

// send makes one attempt, the n-th request sent for the call, and tells how many
// were sent for it.
func (x *exchange) send(op *behave.Op, site *callSite, n int, start time.Time) (ending, int) {
	if site.hedge == nil {
		return x.attempt(op, site, n, start, x.cancelled()), 1
	}
	return x.hedged(op, site, n, start)
}

// hedged makes an attempt and, while no answer comes, further ones beside it.
// The first good answer wins and the others are broken off; where none is good,
// the last to fail decides.
func (x *exchange) hedged(op *behave.Op, site *callSite, n int, start time.Time) (end ending, sent int) {
	parent := x.cancelled()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	most := 1 + max(site.hedge.Max, 1)
	ends := make(chan ending, most)
	under := 0
	launch := func() {
		number := n + sent
		sent++
		under++
		go func() { ends <- x.attempt(op, site, number, start, ctx) }()
	}
	launch()
	timer := time.NewTimer(site.hedge.After.Std())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if sent < most {
				launch()
				timer.Reset(site.hedge.After.Std())
			}
		case end = <-ends:
			under--
			if isGood(end) || under == 0 {
				cancel()
				for ; under > 0; under-- {
					<-ends
				}
				return end, sent
			}
		}
	}
}

// isGood reports whether an answer is one that another attempt would not better.
func isGood(e ending) bool {
	return e.class == outcome.OK || e.class == outcome.HTTPError && e.answer.status < 500
}

// cancelled ends the calls of a request whose client has left, where the service
// stops such requests; else it is nil.
func (x *exchange) cancelled() context.Context {
	if x.left == nil {
		return nil
	}
	return x.r.Context()
}

// fallback takes the place of an answer that failed, where the call has one.
func (x *exchange) fallback(site *callSite) (body []byte, ok bool) {
	if site.caller == nil {
		return nil, false
	}
	answer, ok := site.caller.Fallback(x.service.sinceStart(time.Now()))
	if !ok {
		return nil, false
	}
	f := site.call.Policy.Fallback
	text := site.call.To + " " + string(f.Kind)
	if f.Kind == policy.LastGood {
		text += " " + strconv.FormatInt(answer.Age.Milliseconds(), 10)
	}
	site.metrics.fallbacks.Inc()
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.w.Header()
	h[FallbackHeader] = append(h[FallbackHeader], text)
	return answer.Body, true
}

// keep notes the answer of a call, if the request's own tells it.
func (x *exchange) keep(site *callSite, body []byte) {
	if !site.call.Kept {
		return
	}
	value := behave.AnswerValue(body)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.answers == nil {
		x.answers = behave.Values{}
	}
	x.answers[site.call.To] = value
}

// finish counts a call and does to the request what its outcome asks for.
func (x *exchange) finish(op *behave.Op, site *callSite, start time.Time, end ending) verdict {
	site.metrics.count(end.class, end.at.Sub(start))
	if x.stopped() {
		return abandoned
	}
	if end.class == outcome.OK {
		x.keep(site, end.answer.whole())
		return x.goesOn()
	}
	if body, ok := x.fallback(site); ok {
		x.keep(site, body)
		return x.goesOn()
	}
	answer, fails := op.Call.Consequence(end.class, end.answer.status)
	if !fails {
		return x.goesOn()
	}
	return verdict{kind: behave.OpFail, status: answer.Status, body: answer.Body,
		text: fmt.Sprintf("calling %s: %s: %v", op.Call.To, end.class, end.err)}
}

// breakerState is the worst state of the breakers of the calls to a callee.
func (s *Service) breakerState(callee string) policy.BreakerState {
	worst := policy.Closed
	for _, site := range s.sites {
		if site.call.To == callee && site.caller != nil {
			state, _ := site.caller.Breaker(s.sinceStart(time.Now()))
			worst = max(worst, state)
		}
	}
	return worst
}

// hasBreaker lists the callees whose calls have a breaker.
func (s *Service) hasBreaker() (callees []string) {
	seen := map[string]bool{}
	for _, call := range s.plan.Sites {
		if call.Policy.Breaker != nil && !seen[call.To] {
			seen[call.To] = true
			callees = append(callees, call.To)
		}
	}
	return callees
}
