package webui

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A frame is what a run was like in about one second: numbers in a fixed order,
// which webui/app/src/frames.ts reads. Those of the clients come first, then those of
// each service, then those of each edge. A figure that is not known is NaN.
const (
	// The end of the second and its length, both in seconds; then the clients' rate,
	// goodput, share of errors, p50 and p99.
	headWidth = 7
	// Rate, share of errors, p50, p99, requests waiting, in flight, replicas that
	// answer, and all replicas.
	serviceWidth = 8
	// Rate of calls, share of errors, p50, p99, the worst state of the breakers, and
	// attempts per second.
	edgeWidth = 6
)

// maxFloats bounds the numbers that a series keeps: 32 MB.
const maxFloats = 8 << 20

// A Series is the frames of one run.
type Series struct {
	services map[string]int
	edges    map[[2]string]int
	width    int
	// present are the services that the system has now. Those that were removed may still
	// be told of.
	present map[string]bool
	// clients says that frames wait for what the clients saw.
	clients bool

	mu     sync.Mutex
	frames [][]float32
	// dropped is how many frames were forgotten at the beginning, to bound memory.
	dropped int
	// building is the frame of the round under way, seen the services that it has.
	building []float32
	seen     map[string]bool
	// waiting is a whole frame that lacks the clients.
	waiting []float32
	// told is what the clients saw in the last seconds: a second of the services may be
	// complete only after the clients have told of the next one.
	told []ClientRow
}

// toldAtMost is how many seconds of the clients wait for those of the services.
const toldAtMost = 8

// A ClientRow, a ServiceRow and an EdgeRow are the figures of one second. At is
// its end in seconds since the load began. NaN stands for what is not known.
type ClientRow struct {
	At, Rate, Goodput, ErrorShare, P50, P99 float64
}

// A ServiceRow has what a service counted; see ClientRow.
type ServiceRow struct {
	At, Seconds                float64
	Service                    string
	Rate, ErrorShare, P50, P99 float64
	Queue, InFlight            float64
	Up, Replicas               float64
	Edges                      []EdgeRow
}

// An EdgeRow has what a caller saw of its calls; see ClientRow. Breaker is 0 for
// closed, 1 for half-open, 2 for open.
type EdgeRow struct {
	Callee                                    string
	Rate, ErrorShare, P50, P99, Breaker, Sent float64
}

// NewSeries returns a series without frames of the services and edges of a graph.
// With clients, a second is complete when the clients of the load told of it, too.
func NewSeries(g *Graph, clients bool) *Series {
	s := &Series{services: map[string]int{}, edges: map[[2]string]int{}, seen: map[string]bool{}, clients: clients}
	s.add(g)
	s.present = map[string]bool{}
	for name := range s.services {
		s.present[name] = true
	}
	return s
}

// add gives each service and edge that is new its place behind the others.
func (s *Series) add(g *Graph) {
	for _, n := range g.Nodes {
		if _, known := s.services[n.Name]; n.Name != "" && !known {
			s.services[n.Name] = len(s.services)
		}
	}
	for _, e := range g.Edges {
		key := [2]string{g.Nodes[e.From].Name, g.Nodes[e.To].Name}
		if _, known := s.edges[key]; !known {
			s.edges[key] = len(s.edges)
		}
	}
	s.width = headWidth + serviceWidth*len(s.services) + edgeWidth*len(s.edges)
}

// Grow makes room for the services and edges that a graph has beside those of before.
// Earlier frames say nothing of them. The system has these services now.
func (s *Series) Grow(g *Graph, present []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present = map[string]bool{}
	for _, name := range present {
		s.present[name] = true
	}
	width, services := s.width, len(s.services)
	s.add(g)
	if s.width == width {
		return
	}
	wider := func(f []float32) []float32 {
		if f == nil {
			return nil
		}
		from := headWidth + services*serviceWidth
		to := unknown(s.width)
		copy(to, f[:from])
		copy(to[headWidth+len(s.services)*serviceWidth:], f[from:width])
		return to
	}
	frames := make([][]float32, len(s.frames))
	for i, f := range s.frames {
		frames[i] = wider(f)
	}
	s.frames, s.building, s.waiting = frames, wider(s.building), wider(s.waiting)
}

// Client takes in what the clients saw in a second.
func (s *Series) Client(row ClientRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told[max(0, len(s.told)-toldAtMost+1):], row)
	if s.waiting != nil && row.At > float64(s.waiting[0])-0.5 {
		s.publish()
	}
}

// Service takes in what a service did in a second.
func (s *Series) Service(row *ServiceRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.services[row.Service]
	if !known || !s.present[row.Service] {
		return // the page does not know it yet, or it was removed
	}
	// A service that was added or removed does not tell of each round.
	if s.seen[row.Service] || s.building != nil && row.At > float64(s.building[0])+apart {
		s.complete()
	}
	if s.building == nil {
		s.building = unknown(s.width)
		s.building[0], s.building[1] = float32(row.At), float32(row.Seconds)
	}
	s.seen[row.Service] = true
	put(s.building[headWidth+i*serviceWidth:], row.Rate, row.ErrorShare, row.P50, row.P99, row.Queue, row.InFlight, row.Up, row.Replicas)
	for j := range row.Edges {
		e := &row.Edges[j]
		if k, known := s.edges[[2]string{row.Service, e.Callee}]; known {
			put(s.building[headWidth+len(s.services)*serviceWidth+k*edgeWidth:], e.Rate, e.ErrorShare, e.P50, e.P99, e.Breaker, e.Sent)
		}
	}
	if len(s.seen) == len(s.present) {
		s.complete()
	}
}

// End says that no more rows come.
func (s *Series) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete()
	s.publish()
}

// complete ends the round under way; the caller holds mu.
func (s *Series) complete() {
	if s.building == nil {
		return
	}
	s.publish()
	s.waiting, s.building, s.seen = s.building, nil, map[string]bool{}
	if n := len(s.told); !s.clients || n > 0 && s.told[n-1].At > float64(s.waiting[0])-0.5 {
		s.publish()
	}
}

// apart is how many seconds lie between the ends of two rounds, at least; those of one
// round end together.
const apart = 0.1

// shortest is the part of a second whose rates are shown.
const shortest = 0.25

// publish adds the frame that waited; the caller holds mu.
func (s *Series) publish() {
	if s.waiting == nil {
		return
	}
	// A run that ends a moment after a second has a rest of it: three requests in a
	// hundredth of a second are no rate.
	if length := s.waiting[1]; len(s.frames) > 0 && length > 0 && length < shortest {
		s.waiting = nil
		return
	}
	if c := s.clientsAt(float64(s.waiting[0])); c != nil {
		put(s.waiting[2:], c.Rate, c.Goodput, c.ErrorShare, c.P50, c.P99)
	}
	s.frames = append(s.frames, s.waiting)
	s.waiting = nil
	if most := max(maxFloats/s.width, 60); len(s.frames) > most {
		// The tenth goes at once, so that this is rare.
		old := most / 10
		s.frames = append([][]float32(nil), s.frames[old:]...)
		s.dropped += old
	}
}

// clientsAt is what the clients told of the second that ends nearest to a time; nil if none
// ends within half a second of it. The caller holds mu.
func (s *Series) clientsAt(t float64) (nearest *ClientRow) {
	for i := range s.told {
		c := &s.told[i]
		if d := math.Abs(c.At - t); d <= 0.5 && (nearest == nil || d < math.Abs(nearest.At-t)) {
			nearest = c
		}
	}
	return nearest
}

// Count is how many frames there have been, Dropped how many of the first of them
// are gone.
func (s *Series) Count() (count, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped + len(s.frames), s.dropped
}

// Encode returns the frames from one on as 32-bit floats, little-endian, and the
// number of the first of them. Each has so many numbers.
func (s *Series) Encode(from int) (data []byte, first, width int) {
	s.mu.Lock()
	first = min(max(from, s.dropped), s.dropped+len(s.frames))
	frames := s.frames[first-s.dropped:]
	width = s.width
	s.mu.Unlock() // published frames are not changed any more
	data = make([]byte, 0, 4*width*len(frames))
	for _, f := range frames {
		for _, v := range f {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	return data, first, width
}

func unknown(n int) []float32 {
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(math.NaN())
	}
	return f
}

func put(to []float32, values ...float64) {
	for i, v := range values {
		to[i] = float32(v)
	}
}

// serviceRow is a sample as the page shows it.
func serviceRow(at float64, s *measure.Sample) *ServiceRow {
	nan := math.NaN()
	row := &ServiceRow{
		At: at, Seconds: s.Interval().Seconds(), Service: s.Service, Up: float64(s.Up), Replicas: float64(s.Replicas),
		Rate: nan, ErrorShare: nan, P50: nan, P99: nan, Queue: nan, InFlight: nan,
	}
	if s.Up == 0 {
		return row // it reported nothing, which is not zero requests
	}
	row.Rate, row.Queue, row.InFlight = s.Rate, float64(s.QueueLength), float64(s.InFlight)
	row.ErrorShare = share(s.Errors, s.Requests)
	row.P50, row.P99 = quantiles(&s.Latency)
	for i := range s.Calls {
		row.Edges = append(row.Edges, edgeRow(&s.Calls[i], s.Interval().Seconds()))
	}
	return row
}

func edgeRow(c *measure.CallSample, seconds float64) EdgeRow {
	calls, sent := result.CountRequests(c.Calls), c.Sent()
	e := EdgeRow{Callee: c.Callee, Rate: float64(calls) / seconds, Sent: float64(sent) / seconds, Breaker: math.NaN()}
	e.ErrorShare = share(calls-c.Calls[outcome.OK], calls)
	e.P50, e.P99 = quantiles(&c.Latency)
	if c.Breaker != nil {
		e.Breaker = float64(*c.Breaker)
	}
	return e
}

// clientRow is a second of the clients as the page shows it.
func clientRow(s *result.ClientSecond) ClientRow {
	row := ClientRow{At: s.At.Seconds(), Rate: s.Rate(), Goodput: s.Goodput(), P50: math.NaN(), P99: math.NaN()}
	row.ErrorShare = share(s.Errors(), s.Requests())
	if s.Latency != nil {
		row.P50, row.P99 = s.Latency.P50, s.Latency.P99
	}
	return row
}

// share is not known of nothing.
func share(n, of int64) float64 {
	if of == 0 {
		return math.NaN()
	}
	return float64(n) / float64(of)
}

// quantiles are not known if there are none, or only bounds of them.
func quantiles(h *stats.Histogram) (p50, p99 float64) {
	p50, p99 = math.NaN(), math.NaN()
	q := result.NewQuantiles(h)
	if q == nil {
		return p50, p99
	}
	if v, between := q.Of(experiment.P50); between == nil {
		p50 = v
	}
	if v, between := q.Of(experiment.P99); between == nil {
		p99 = v
	}
	return p50, p99
}
