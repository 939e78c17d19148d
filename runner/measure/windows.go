package measure

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// Windows counts requests and samples by windows of one length; without a length it
// counts nothing.
type Windows struct {
	length time.Duration
	mu     sync.Mutex
	cells  []windowCell
}

// NewWindows returns windows of a length; 0 means that nothing is counted.
func NewWindows(length time.Duration) *Windows { return &Windows{length: length} }

type windowCell struct {
	clients  map[outcome.Class]int64
	degraded int64
	services map[string]*serviceCell
}

// at returns the cell of a moment. The caller holds mu.
func (w *Windows) at(moment time.Duration) *windowCell {
	i := int(max(0, moment) / w.length)
	for len(w.cells) <= i {
		w.cells = append(w.cells, windowCell{services: map[string]*serviceCell{}})
	}
	return &w.cells[i]
}

// ObserveClient counts a request of the load in the window of its end. It counts a
// dropped request in the window of its intended start.
func (w *Windows) ObserveClient(o Outcome) {
	if w.length == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.at(o.End())
	if c.clients == nil {
		c.clients = map[outcome.Class]int64{}
	}
	c.clients[o.Class]++
	if o.Class == outcome.OK && o.Degraded {
		c.degraded++
	}
}

func (w *Windows) ObserveService(middle time.Duration, sample *Sample) {
	if w.length == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.at(middle)
	if c.services[sample.Service] == nil {
		c.services[sample.Service] = &serviceCell{}
	}
	c.services[sample.Service].Observe(sample)
}

// List returns the windows until an end, with the services in the given order. If
// the last window is less than a tenth full, it is joined to the one before.
func (w *Windows) List(order []string, end time.Duration) []result.Window {
	if w.length == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []result.Window
	for i := range w.cells {
		from := time.Duration(i) * w.length
		if from > end {
			break
		}
		if n := len(list); n > 0 && end-from < w.length/10 {
			w.cells[i-1].merge(&w.cells[i])
			list[n-1] = w.cells[i-1].window(order, from-w.length, end)
			break
		}
		list = append(list, w.cells[i].window(order, from, min(from+w.length, end)))
	}
	return list
}

// merge adds the counts of another cell, which must not be used afterwards.
func (c *windowCell) merge(o *windowCell) {
	c.clients, c.degraded = sum(c.clients, o.clients), c.degraded+o.degraded
	for name, s := range o.services {
		if c.services[name] == nil {
			c.services[name] = &serviceCell{}
		}
		c.services[name].merge(s)
	}
	*o = windowCell{services: map[string]*serviceCell{}}
}

func (c *windowCell) window(order []string, from, to time.Duration) result.Window {
	win := result.Window{From: from.Seconds(), To: to.Seconds(), Services: []result.WindowService{}, Edges: []result.WindowEdge{}}
	win.Clients = result.WindowClients{Requests: result.CountRequests(c.clients), Degraded: c.degraded, Outcomes: sum(map[outcome.Class]int64{}, c.clients)}
	for _, name := range order {
		s := c.services[name]
		if s == nil {
			continue
		}
		win.Services = append(win.Services, result.WindowService{Service: name, Requests: s.requests, Errors: s.errors, Degraded: s.degraded})
		first := len(win.Edges)
		for callee, e := range s.edges {
			win.Edges = append(win.Edges, result.WindowEdge{Caller: name, Callee: callee, Outcomes: e.outcomes})
		}
		slices.SortFunc(win.Edges[first:], func(a, b result.WindowEdge) int { return strings.Compare(a.Callee, b.Callee) })
	}
	return win
}
