package experiment

import (
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An abortWatch holds what was seen in the last seconds.
type abortWatch struct {
	checks []Check
	length time.Duration
	// clients is used by one goroutine, services by two.
	clients  []clientsAt
	mu       sync.Mutex
	services []serviceAt
}

type clientsAt struct {
	at    time.Duration
	total tally
}

type serviceAt struct {
	at      time.Duration
	service string
	cell    *serviceCell
}

// newAbortWatch watches for conditions over a window, of which 0 means
// DefaultAbortWindow.
func newAbortWatch(checks []Check, length unit.Duration) *abortWatch {
	if length == 0 {
		length = DefaultAbortWindow
	}
	return &abortWatch{checks: checks, length: length.Std()}
}

func (a *abortWatch) observeService(middle time.Duration, sample *Sample) {
	if len(a.checks) == 0 {
		return
	}
	cell := &serviceCell{}
	cell.observe(sample)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.services = append(a.services, serviceAt{middle, sample.Service, cell})
}

// judge takes the clients' sums so far, and returns the first condition that
// holds over the window, once it is full.
func (a *abortWatch) judge(now time.Duration, total tally, order []string) *Abort {
	if len(a.checks) == 0 {
		return nil
	}
	a.clients = append(a.clients, clientsAt{now, total})
	// Seconds are not kept to the millisecond.
	from := now - a.length - 100*time.Millisecond
	if from > 0 {
		for a.clients[0].at < from {
			a.clients = a.clients[1:]
		}
	} else if now < a.length-100*time.Millisecond {
		return nil
	}
	segment := a.segment(now, max(0, from), total, order)
	for _, check := range a.checks {
		condition, err := ParseCheck(check.Expr)
		if err != nil {
			continue // Validate has refused it
		}
		v, none := segment.value(check, condition)
		if none == "" && v.holds(condition) {
			why := fmt.Sprintf("%s of %s was %s%s over the last %s, and the run is to end on %q",
				condition.Metric, check.Subject(), v.prefix(), condition.Format(v.number), a.length, check.Expr)
			return &Abort{Check: check, At: now.Seconds(), Value: v.number, Why: why}
		}
	}
	return nil
}

// segment is what was seen since a moment.
func (a *abortWatch) segment(now, from time.Duration, total tally, order []string) Segment {
	s := Segment{From: from.Seconds(), To: now.Seconds()}
	delta, seconds := total, now.Seconds()
	if from > 0 {
		delta, seconds = total.since(&a.clients[0].total), (now - a.clients[0].at).Seconds()
	}
	s.Clients = delta.stats(seconds)
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.services) > 0 && a.services[0].at < from {
		a.services = a.services[1:]
	}
	merged := map[string]*serviceCell{}
	for _, seen := range a.services {
		if merged[seen.service] == nil {
			merged[seen.service] = &serviceCell{}
		}
		merged[seen.service].merge(seen.cell)
	}
	for _, name := range order {
		if c := merged[name]; c != nil {
			s.Services = append(s.Services, c.stats(name))
			s.Edges = append(s.Edges, c.edgeStats(name)...)
		}
	}
	return s
}
