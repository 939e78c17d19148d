package service

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// flights are the calls under way that several requests may share.
type flights struct {
	mu   sync.Mutex
	list exec.Flights[chan<- exec.Event]
}

// coalesce waits for the end of the call if another request makes it already.
// Otherwise it returns Done at once.
func (x *exchange) coalesce(op *behave.Op, until time.Duration) exec.Event {
	s := x.service
	item := x.by.plan.ItemOf(x.machine.Who(), op, 0, s.stores.items)
	told := make(chan exec.Event, 1)
	x.by.flights.mu.Lock()
	leads := x.by.flights.list.Enter(op.Call.Site, item, told)
	x.by.flights.mu.Unlock()
	if leads {
		return exec.Event{Kind: exec.Done, Now: s.now(), Gone: x.gone()}
	}
	e := exec.Event{Class: outcome.Timeout, Err: exec.ErrNotTold}
	var over <-chan time.Time
	if until != exec.Never {
		timer := time.NewTimer(until - s.now())
		defer timer.Stop()
		over = timer.C
	}
	select {
	case e = <-told:
	case <-over:
	case <-s.stop:
	case <-x.left:
	}
	e.Kind, e.Now, e.Gone = exec.Told, s.now(), x.gone()
	return e
}

// tellOthers tells the requests that wait for a call how it ended.
func (x *exchange) tellOthers(op *behave.Op, e *exec.Event) {
	item := x.by.plan.ItemOf(x.machine.Who(), op, 0, x.service.stores.items)
	x.by.flights.mu.Lock()
	waiting := x.by.flights.list.End(op.Call.Site, item)
	x.by.flights.mu.Unlock()
	told := exec.Event{Class: e.Class, Status: e.Status, Body: e.Body, Degraded: e.Degraded, Err: e.Err}
	if e.Fallback != nil {
		told.Body = nil // each request has its own fallback
	}
	for _, other := range waiting {
		other <- told
	}
}
