package measure

import (
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An AbortWatch judges the conditions of abortOn over a window that ends now.
type AbortWatch struct {
	checks []experiment.Check
	length time.Duration
	// Judge alone uses clients. It and ObserveService use services.
	clients  []clientsAt
	mu       sync.Mutex
	services []serviceAt
}

type clientsAt struct {
	at    time.Duration
	total Tally
}

type serviceAt struct {
	at      time.Duration
	service string
	cell    *serviceCell
}

// NewAbortWatch returns a watch for conditions over a window of a length; 0 means
// DefaultAbortWindow.
func NewAbortWatch(checks []experiment.Check, length unit.Duration) *AbortWatch {
	if length == 0 {
		length = experiment.DefaultAbortWindow
	}
	return &AbortWatch{checks: checks, length: length.Std()}
}

func (a *AbortWatch) ObserveService(middle time.Duration, sample *Sample) {
	if len(a.checks) == 0 {
		return
	}
	cell := &serviceCell{}
	cell.Observe(sample)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.services = append(a.services, serviceAt{middle, sample.Service, cell})
}

// Judge takes the clients' tally so far, and returns the first condition that holds
// over the window. It returns nil if none holds, or the run is still shorter than
// the window.
func (a *AbortWatch) Judge(now time.Duration, total Tally, order []string) *result.Abort {
	if len(a.checks) == 0 {
		return nil
	}
	a.clients = append(a.clients, clientsAt{now, total})
	// Allow for ticks that come some milliseconds early or late.
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
		condition, err := experiment.ParseCheck(check.Expr)
		if err != nil {
			continue // never happens: Validate refuses such a check
		}
		v, none := segment.Value(check, condition)
		if none == "" && v.Holds(condition) {
			why := fmt.Sprintf("%s of %s was %s over the last %s, and the run is to end on %q",
				condition.Metric, check.Subject(), v.Text(condition), a.length, check.Expr)
			return &result.Abort{Check: check, At: now.Seconds(), Value: v.Number, Why: why}
		}
	}
	return nil
}

// segment returns the figures of the time since a moment.
func (a *AbortWatch) segment(now, from time.Duration, total Tally, order []string) result.Segment {
	s := result.Segment{From: from.Seconds(), To: now.Seconds()}
	delta, seconds := total, now.Seconds()
	if from > 0 {
		delta, seconds = total.Since(&a.clients[0].total), (now - a.clients[0].at).Seconds()
	}
	ended, good := delta.ended()
	s.Clients = delta.stats(seconds, seconds, ended, good)
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
