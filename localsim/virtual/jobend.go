package virtual

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A jobEnd is how a request of the load ended, and why it did not end well.
type jobEnd struct {
	result.FailureKind
	status int
	bytes  int64
	// degraded says that parts of a good answer are missing or replaced.
	degraded bool
	// text is the text of an example, or empty if the report has an example of this
	// kind already.
	text string
}

// endOf returns how an attempt of the load ended; tree is the chain that it sent,
// or nil.
func (c *clients) endOf(att *attempt, tree *chain.Chain) jobEnd {
	e := jobEnd{status: att.response.status, bytes: att.response.bytes, degraded: att.response.degraded > 0}
	var text func() string
	switch res := &att.response; {
	case att.failure != none:
		e = jobEnd{FailureKind: result.FailureKind{Class: att.failure.class(), Reason: att.failure.reason()}}
		text = func() string { return fmt.Sprint(att.failure.err()) }
	case outcome.OfStatus(res.status) != outcome.OK:
		e.FailureKind = ofStatus(res.status)
		text = func() string {
			return fmt.Sprintf("%d %s: %s", res.status, http.StatusText(res.status), cmp.Or(res.reason, res.template))
		}
	case tree != nil && res.corrupt:
		e.FailureKind = result.FailureKind{Class: outcome.Malformed, Reason: outcome.Reason(outcome.Malformed)}
		text = errMalformed.Error
	case res.document != nil:
		hops := res.document.Failed(tree)
		e.FailureKind = result.FailureKind{Class: outcome.FailedHop, Reason: outcome.Reason(outcome.FailedHop), Hop: hops[0].Hop()}
		text = func() string {
			if n := len(hops) - 1; n > 0 {
				return fmt.Sprintf("%s (and %d more in this answer)", hops[0].Reason, n)
			}
			return hops[0].Reason
		}
	default:
		e.Class = outcome.OK
		return e
	}
	if !c.report.Knows(e.FailureKind) {
		e.text = text()
	}
	return e
}

// ofStatus returns the kind of failure of an answer with an error status.
func ofStatus(status int) result.FailureKind {
	return result.FailureKind{Class: outcome.HTTPError, Reason: outcome.OfStatusReason(status)}
}

// A routeDocument is the answer of a route of a chain, by the index of the route.
type routeDocument struct {
	route    int
	document *chain.Response
}

// document returns the answer to a chain if a hop did not end well, or nil if all
// hops did.
func (sv *serving) document() *chain.Response {
	noted := sv.machine.Noted()
	if len(noted) == 0 && len(sv.below) == 0 {
		return nil
	}
	r := answeredWell(sv.message.chain)
	for _, b := range sv.below {
		r.Response[b.route] = b.document
	}
	for i := range noted {
		r.Errors = append(r.Errors, noted[i].Text(&sv.machine))
		if noted[i].Cause == exec.RouteFailed {
			r.Response[noted[i].Op.Index] = nil
		}
	}
	return r
}

// answeredWell returns the answer to a chain of which every hop ended well.
func answeredWell(c *chain.Chain) *chain.Response {
	r := &chain.Response{}
	for _, route := range c.Routes {
		r.Response = append(r.Response, answeredWell(route))
	}
	return r
}
