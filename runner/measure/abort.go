package measure

import (
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An AbortWatch holds what was seen in the last seconds.
type AbortWatch struct {
	checks []experiment.Check
	length time.Duration
	// clients is used by one goroutine, services by two.
	Clients  []clientsAt
	mu       sync.Mutex
	Services []serviceAt
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

// NewAbortWatch watches for conditions over a window, of which 0 means
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
	a.Services = append(a.Services, serviceAt{middle, sample.Service, cell})
}

// Judge takes the clients' sums so far, and returns the first condition that
// holds over the window, once it is full.
func (a *AbortWatch) Judge(now time.Duration, total Tally, order []string) *result.Abort {
	if len(a.checks) == 0 {
		return nil
	}
	a.Clients = append(a.Clients, clientsAt{now, total})
	// Seconds are not kept to the millisecond.
	from := now - a.length - 100*time.Millisecond
	if from > 0 {
		for a.Clients[0].at < from {
			a.Clients = a.Clients[1:]
		}
	} else if now < a.length-100*time.Millisecond {
		return nil
	}
	segment := a.segment(now, max(0, from), total, order)
	for _, check := range a.checks {
		condition, err := experiment.ParseCheck(check.Expr)
		if err != nil {
			continue // Validate has refused it
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

// segment is what was seen since a moment.
func (a *AbortWatch) segment(now, from time.Duration, total Tally, order []string) result.Segment {
	s := result.Segment{From: from.Seconds(), To: now.Seconds()}
	delta, seconds := total, now.Seconds()
	if from > 0 {
		delta, seconds = total.Since(&a.Clients[0].total), (now - a.Clients[0].at).Seconds()
	}
	ended, good := delta.ended()
	s.Clients = delta.stats(seconds, seconds, ended, good)
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.Services) > 0 && a.Services[0].at < from {
		a.Services = a.Services[1:]
	}
	merged := map[string]*serviceCell{}
	for _, seen := range a.Services {
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
