package virtual

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// coalesce asks whether another request of the replica makes a call already. If so,
// this call waits for its end.
func (w *world) coalesce(i int32, until time.Duration) (leads bool) {
	c, gen := w.callings.at(i), w.callings.gens[i]
	r, item := w.sharedBy(c)
	if r.flights.Enter(c.op.Call.Site, item, handle{i, gen}) {
		return true
	}
	c.waits = true
	w.k.Cancel(c.timer)
	if until != exec.Never {
		c.timer = w.k.At(max(until, w.now()), event{callTimer, i, gen})
	}
	return false
}

// sharedBy returns the replica whose requests share a call, and the item of the
// call.
func (w *world) sharedBy(c *calling) (*replica, int) {
	sv := w.servings.at(w.strands.at(c.strand).serving)
	return w.replicas[sv.replica], w.serviceAt(sv.replica).plan.ItemOf(sv.identity.Request, c.op, 0, w.itemsOf)
}

// tellOthers tells the requests that wait for a call how it ended.
func (w *world) tellOthers(i int32, e exec.Event) {
	c := w.callings.at(i)
	r, item := w.sharedBy(c)
	told := exec.Event{Kind: exec.Told, Class: e.Class, Status: e.Status, Body: e.Body, Degraded: e.Degraded, Err: e.Err}
	if e.Fallback != nil {
		told.Body = nil // each request has its own fallback
	}
	for _, h := range r.flights.End(c.op.Call.Site, item) {
		if w.callings.is(h.i, h.gen) && w.callings.at(h.i).waits {
			other := w.callings.at(h.i)
			w.k.Cancel(other.timer)
			other.told = told
			other.timer = w.k.After(0, event{callTold, h.i, h.gen})
		}
	}
}

// callTold goes on with a call that another request has made.
func (w *world) callTold(e event) {
	if !w.callings.is(e.a, e.gen) {
		return
	}
	c := w.callings.at(e.a)
	if !c.waits || w.parks(w.servings.at(w.strands.at(c.strand).serving).replica, e) {
		return
	}
	c.waits = false
	told := c.told
	told.Now, told.Gone = w.now(), w.goneCall(c)
	w.stepCall(e.a, c.machine.Next(told))
}
