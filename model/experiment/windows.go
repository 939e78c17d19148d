package experiment

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// windows count into stretches of one length; length 0 counts nothing.
type windows struct {
	length time.Duration
	mu     sync.Mutex
	cells  []windowCell
}

// newWindows counts into windows of a length; 0 means none.
func newWindows(length time.Duration) *windows { return &windows{length: length} }

type windowCell struct {
	clients  map[outcome.Class]int64
	services map[string]*serviceCell
}

// at returns the cell of a moment, to be used under the lock.
func (w *windows) at(moment time.Duration) *windowCell {
	i := int(max(0, moment) / w.length)
	for len(w.cells) <= i {
		w.cells = append(w.cells, windowCell{services: map[string]*serviceCell{}})
	}
	return &w.cells[i]
}

func (w *windows) observeClients(middle time.Duration, outcomes map[outcome.Class]int64) {
	if w.length == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.at(middle)
	c.clients = sum(c.clients, outcomes)
}

func (w *windows) observeService(middle time.Duration, sample *Sample) {
	if w.length == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.at(middle)
	if c.services[sample.Service] == nil {
		c.services[sample.Service] = &serviceCell{}
	}
	c.services[sample.Service].observe(sample)
}

// list returns the windows up to an end, services in the order given.
func (w *windows) list(order []string, end time.Duration) []Window {
	if w.length == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Window
	for i := range w.cells {
		from := time.Duration(i) * w.length
		if from >= end {
			break
		}
		list = append(list, w.cells[i].window(order, from, min(from+w.length, end)))
	}
	return list
}

func (c *windowCell) window(order []string, from, to time.Duration) Window {
	win := Window{From: from.Seconds(), To: to.Seconds(), Services: []WindowService{}, Edges: []WindowEdge{}}
	win.Clients = WindowClients{Requests: requests(c.clients), Outcomes: sum(map[outcome.Class]int64{}, c.clients)}
	for _, name := range order {
		s := c.services[name]
		if s == nil {
			continue
		}
		win.Services = append(win.Services, WindowService{name, s.requests, s.errors})
		first := len(win.Edges)
		for callee, e := range s.edges {
			win.Edges = append(win.Edges, WindowEdge{name, callee, e.outcomes})
		}
		slices.SortFunc(win.Edges[first:], func(a, b WindowEdge) int { return strings.Compare(a.Callee, b.Callee) })
	}
	return win
}
