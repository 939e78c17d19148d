package measure

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Services aggregates the samples of services by service, slot and part of the run.
type Services struct {
	clock *Schedule
	mu    sync.Mutex
	cells map[serviceKey]*serviceCell
}

type serviceKey struct {
	service    string
	slot, part int
}

func (k serviceKey) compare(o serviceKey) int {
	return cmp.Or(strings.Compare(k.service, o.service), cmp.Compare(k.slot, o.slot), cmp.Compare(k.part, o.part))
}

type serviceCell struct {
	// seconds is the time that was watched, counted the time that the counts cover,
	// and up the sum over replicas of the time that they answered.
	seconds, counted, up    float64
	requests, errors        int64
	degraded                int64
	codes                   map[string]int64
	latency                 stats.Histogram
	cpu, received, sent     Amount
	missed, stale           Amount
	lag                     Lag
	inFlight, queue, memory int64
	edges                   map[string]*edgeCell
}

type edgeCell struct {
	outcomes, attempts map[outcome.Class]int64
	fallbacks          int64
	degraded           int64
	open               float64
	latency            stats.Histogram
}

func NewServices(clock *Schedule) *Services {
	return &Services{clock: clock, cells: map[serviceKey]*serviceCell{}}
}

// Observe adds a sample that was taken at a moment of the run. It belongs to the
// middle of its interval.
func (s *Services) Observe(at time.Duration, sample *Sample) {
	middle := max(0, at-sample.Interval()/2)
	key := serviceKey{sample.Service, s.clock.slot(middle), s.clock.part(middle)}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[key]
	if c == nil {
		c = &serviceCell{}
		s.cells[key] = c
	}
	c.Observe(sample)
}

func (c *serviceCell) Observe(sample *Sample) {
	seconds := sample.Elapsed.Seconds()
	c.seconds += seconds
	c.counted += sample.Counted.Seconds()
	c.up += float64(seconds * float64(sample.Up))
	c.requests += sample.Requests
	c.errors += sample.Errors
	c.degraded += sample.Degraded
	c.codes = sum(c.codes, sample.Codes)
	c.latency.Merge(&sample.Latency)
	c.cpu.Merge(sample.CPUSeconds)
	c.received.Merge(sample.BytesReceived)
	c.sent.Merge(sample.BytesSent)
	c.missed.Merge(sample.Missed)
	c.stale.Merge(sample.Stale)
	c.lag.Merge(sample.Lag)
	c.inFlight = max(c.inFlight, sample.InFlight)
	c.queue = max(c.queue, sample.QueueLength)
	c.memory = max(c.memory, sample.MemoryBytes)
	for i := range sample.Calls {
		call := &sample.Calls[i]
		e := c.edge(call.Callee)
		e.outcomes, e.attempts = sum(e.outcomes, call.Calls), sum(e.attempts, call.Attempts)
		e.fallbacks += call.Fallbacks
		e.degraded += call.Degraded
		if call.Breaker != nil && *call.Breaker == policy.Open {
			e.open += seconds
		}
		e.latency.Merge(&call.Latency)
	}
}

func (c *serviceCell) edge(callee string) *edgeCell {
	e := c.edges[callee]
	if e == nil {
		if c.edges == nil {
			c.edges = map[string]*edgeCell{}
		}
		e = &edgeCell{}
		c.edges[callee] = e
	}
	return e
}

// merge adds what another cell counted.
func (c *serviceCell) merge(o *serviceCell) {
	c.seconds, c.counted, c.up = c.seconds+o.seconds, c.counted+o.counted, c.up+o.up
	c.requests, c.errors, c.degraded = c.requests+o.requests, c.errors+o.errors, c.degraded+o.degraded
	c.codes = sum(c.codes, o.codes)
	c.latency.Merge(&o.latency)
	c.cpu.Merge(o.cpu)
	c.received.Merge(o.received)
	c.sent.Merge(o.sent)
	c.missed.Merge(o.missed)
	c.stale.Merge(o.stale)
	c.lag.Merge(o.lag)
	c.inFlight, c.queue, c.memory = max(c.inFlight, o.inFlight), max(c.queue, o.queue), max(c.memory, o.memory)
	for callee, edge := range o.edges {
		e := c.edge(callee)
		e.outcomes, e.attempts = sum(e.outcomes, edge.outcomes), sum(e.attempts, edge.attempts)
		e.fallbacks, e.degraded, e.open = e.fallbacks+edge.fallbacks, e.degraded+edge.degraded, e.open+edge.open
		e.latency.Merge(&edge.latency)
	}
}

// sum adds b to a, which may be nil.
func sum[K comparable](a, b map[K]int64) map[K]int64 {
	if a == nil && len(b) > 0 {
		a = make(map[K]int64, len(b))
	}
	for k, n := range b {
		if n != 0 {
			a[k] += n
		}
	}
	return a
}

// stats returns the figures of the cells that belong to a segment, with the
// services in the given order and their callees by name.
func (s *Services) stats(order []string, belongs func(slot, part int) bool) (stats []result.ServiceStats, edges []result.EdgeStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	merged := map[string]*serviceCell{}
	// Sort the cells, because a sum of fractions depends on the order.
	for _, key := range slices.SortedFunc(maps.Keys(s.cells), serviceKey.compare) {
		cell := s.cells[key]
		if !belongs(key.slot, key.part) {
			continue
		}
		if merged[key.service] == nil {
			merged[key.service] = &serviceCell{}
		}
		merged[key.service].merge(cell)
	}
	stats, edges = []result.ServiceStats{}, []result.EdgeStats{}
	for _, name := range order {
		if c := merged[name]; c != nil {
			stats = append(stats, c.stats(name))
			edges = append(edges, c.edgeStats(name)...)
		}
	}
	return stats, edges
}

func (c *serviceCell) stats(name string) result.ServiceStats {
	s := result.ServiceStats{
		Service: name, Requests: c.requests, Errors: c.errors, Degraded: c.degraded, Codes: c.codes, Latency: result.NewQuantiles(&c.latency),
		Missed: c.missed.count(), Stale: c.stale.count(), Seconds: c.seconds, InFlight: c.inFlight, QueueLength: c.queue, MemoryBytes: c.memory,
	}
	if c.counted > 0 {
		s.Rate, s.Goodput = float64(c.requests)/c.counted, float64(c.requests-c.errors-c.degraded)/c.counted
		s.CPUCores, s.NetworkIn, s.NetworkOut = c.cpu.over(c.counted), c.received.over(c.counted), c.sent.over(c.counted)
	}
	s.Lag, s.LagSeconds = c.lag.values()
	if c.seconds > 0 {
		s.Up = c.up / c.seconds
	}
	return s
}

func (c *serviceCell) edgeStats(caller string) []result.EdgeStats {
	var stats []result.EdgeStats
	for callee, e := range c.edges {
		s := result.EdgeStats{Caller: caller, Callee: callee, Calls: result.CountRequests(e.outcomes), Outcomes: e.outcomes, Latency: result.NewQuantiles(&e.latency),
			Attempts: e.attempts, Fallbacks: e.fallbacks, Degraded: e.degraded, OpenSeconds: e.open}
		s.Errors = s.Calls - e.outcomes[outcome.OK]
		if c.counted > 0 {
			s.Rate, s.Goodput = float64(s.Calls)/c.counted, float64(e.outcomes[outcome.OK]-e.degraded)/c.counted
		}
		stats = append(stats, s)
	}
	slices.SortFunc(stats, func(a, b result.EdgeStats) int { return strings.Compare(a.Callee, b.Callee) })
	return stats
}
