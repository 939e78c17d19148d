package page

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// MaxPoints is how many points of one service are kept, more than a screen is
// wide: at one sample a second those of 24 minutes. In a longer run, and in one
// of many services, a point stands for two samples, or four, and so on.
const MaxPoints = 1440

// recorded is how many points of all services are kept while a run goes on, and
// fewest how many of each, however many services there are.
const (
	recorded = 80_000
	fewest   = 80
)

// A Recorder collects what the curves of one run are drawn from. Its memory is
// bounded: about a kilobyte for each point, of which there are as many as
// recorded says in a system of up to 1000 services. The zero value is ready.
// Observe is called by one goroutine at a time, as a run does.
type Recorder struct{ series Series }

// Observe takes an event of the run.
func (r *Recorder) Observe(e runner.Event) {
	sampled, ok := e.(runner.ServiceSampled)
	if !ok {
		return
	}
	if r.series.services == nil {
		r.series.services = map[string]*track{}
	}
	t := r.series.services[sampled.Sample.Service]
	if t == nil {
		t = &track{per: 1}
		r.series.services[sampled.Sample.Service] = t
	}
	limit := min(max(recorded/len(r.series.services), fewest), MaxPoints)
	t.add(newPoint(sampled.At.Seconds(), &sampled.Sample), sampled.Sample.Last, limit)
}

// Series returns what was collected; it is the Recorder's own and grows on.
func (r *Recorder) Series() *Series { return &r.series }

// Finish ends the recording of one of so many runs that a page will show. It
// returns the curves that the page draws of it, and forgets what they were made
// of, so that a run that has ended takes little memory.
func (r *Recorder) Finish(runs int) *Series {
	tracks := r.series.services
	kept := keptTracks(tracks, max(budget/minCurve/max(runs, 1), fewestDrawn))
	limit := pointsPerTrack(runs * len(kept))
	finished := &Series{curves: map[string]curves{}, left: len(tracks) - len(kept)}
	for _, name := range kept {
		finished.curves[name] = tracks[name].curves(limit)
	}
	r.series = Series{}
	return finished
}

// Series are the samples of a run's services as time went on.
type Series struct {
	services map[string]*track
	// curves are all that there is of a run that has ended; left is how many
	// services have none, so that the page stays small.
	curves map[string]curves
	left   int
}

// count is how many services have curves.
func (s *Series) count() int { return len(s.services) + len(s.curves) }

// keptTracks returns the names of at most so many services: those with most
// trouble, and of these that have as much, those with most requests.
func keptTracks(tracks map[string]*track, most int) []string {
	names := slices.Sorted(maps.Keys(tracks))
	if len(names) <= most {
		return names
	}
	type rank struct {
		trouble  float64
		requests int64
	}
	ranks := map[string]rank{}
	for name, t := range tracks {
		trouble, requests := t.trouble()
		ranks[name] = rank{trouble, requests}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(ranks[b].trouble, ranks[a].trouble), cmp.Compare(ranks[b].requests, ranks[a].requests))
	})
	return names[:most]
}

// A track is the points of one service, in the order of time.
type track struct {
	points []point
	// per is how many samples a point stands for, in the last one counted by
	// filled.
	per, filled int
	// length is that of the sample before, in seconds.
	length float64
}

// add appends a sample. When the track is full, neighbours become one. The last
// sample of a run may be of a moment only, which would look like a fall: one of
// less than half the time of that before counts to the point before.
func (t *track) add(p point, last bool, limit int) {
	length := p.to - p.from
	short := last && len(t.points) > 0 && length < t.length/2
	t.length = length
	if short || t.filled > 0 && t.filled < t.per {
		t.points[len(t.points)-1].merge(&p)
		if !short {
			t.filled++
		}
		return
	}
	for len(t.points) >= limit {
		t.points = halved(t.points)
		t.per *= 2
	}
	t.points = append(t.points, p)
	t.filled = 1
}

// trouble is the share of its time in which a service failed or did not answer,
// weighted alike.
func (t *track) trouble() (share float64, requests int64) {
	var errors int64
	var away, whole float64
	for i := range t.points {
		p := &t.points[i]
		errors, requests = errors+p.errors, requests+p.requests
		whole += p.to - p.from
		if p.up < p.replicas {
			away += p.to - p.from
		}
	}
	if requests > 0 {
		share = float64(errors) / float64(requests)
	}
	if whole > 0 {
		share += away / whole
	}
	return share, requests
}

// halved merges each pair of neighbours.
func halved(points []point) []point {
	half := make([]point, 0, (len(points)+1)/2)
	for i, p := range points {
		if i%2 == 0 {
			half = append(half, p)
		} else {
			half[len(half)-1].merge(&p)
		}
	}
	return half
}

// atMost returns at most so many points that stand for the same.
func (t *track) atMost(limit int) []point {
	points := t.points
	if len(points) > limit {
		points = slices.Clone(points)
		for i := range points {
			points[i].own()
		}
	}
	for len(points) > limit {
		points = halved(points)
	}
	return points
}

// A point is what a service did from one moment to another, both in seconds
// since the load began.
type point struct {
	from, to float64
	// known is for how many of the seconds the service told what it did.
	known            float64
	requests, errors int64
	// codes counts the answers that went wrong, by status.
	codes []tally
	// packed has the latencies.
	packed          stats.Packed
	inFlight, queue int64
	cpuSeconds      measure.Amount
	memory          int64
	up, replicas    int
	// lag is that of the consumers of a store with a log.
	lag measure.Lag
	// calls are by callee, outcomes by place in outcome.Classes.
	calls    []tally
	outcomes [outcome.Count]uint32
}

// A tally counts for a name. Of calls, held are those that an open breaker did
// not let out.
type tally struct {
	name    string
	n, held uint32
}

// plus adds a tally to those in the order of their names.
func plus(tallies []tally, t tally) []tally {
	i, found := slices.BinarySearchFunc(tallies, t, func(a, b tally) int { return strings.Compare(a.name, b.name) })
	if !found {
		return slices.Insert(tallies, i, t)
	}
	tallies[i].n += t.n
	tallies[i].held += t.held
	return tallies
}

func newPoint(at float64, s *measure.Sample) point {
	p := point{from: at - s.Elapsed.Seconds(), to: at, up: s.Up, replicas: s.Replicas}
	if s.Up == 0 {
		return p // a service that is down reported nothing, which is not zero requests
	}
	p.known = s.Seconds()
	p.requests, p.errors = s.Requests, s.Errors
	for code, n := range s.Codes {
		if n > 0 && code != control.CodeOK && (code >= "400" || code < "100") {
			p.codes = plus(p.codes, tally{name: code, n: uint32(n)})
		}
	}
	p.packed = s.Latency.Pack()
	p.inFlight, p.queue, p.cpuSeconds, p.memory = s.InFlight, s.QueueLength, s.CPUSeconds, s.MemoryBytes
	p.lag = s.Lag
	for i := range s.Calls {
		p.call(&s.Calls[i])
	}
	return p
}

func (p *point) call(c *measure.CallSample) {
	counts := tally{name: c.Callee}
	for i, class := range outcome.Classes() {
		n := uint32(c.Calls[class])
		if class == outcome.Cancelled {
			continue
		}
		p.outcomes[i] += n
		counts.n += n
		if class == outcome.BreakerOpen {
			counts.held = n
		}
	}
	if counts.n > 0 {
		p.calls = plus(p.calls, counts)
	}
}

// own gives the point slices that are no other's.
func (p *point) own() {
	p.codes, p.calls = slices.Clone(p.codes), slices.Clone(p.calls)
}

// merge adds the point that follows. Counts add up; of gauges the highest
// stays, of replicas the fewest that answered.
func (p *point) merge(o *point) {
	p.to = o.to
	p.known += o.known
	p.requests, p.errors = p.requests+o.requests, p.errors+o.errors
	for _, t := range o.codes {
		p.codes = plus(p.codes, t)
	}
	for _, t := range o.calls {
		p.calls = plus(p.calls, t)
	}
	for i, n := range o.outcomes {
		p.outcomes[i] += n
	}
	p.packed = merged(p.packed, o.packed)
	p.inFlight, p.queue, p.memory = max(p.inFlight, o.inFlight), max(p.queue, o.queue), max(p.memory, o.memory)
	p.cpuSeconds.Merge(o.cpuSeconds)
	p.lag.Merge(o.lag)
	p.up, p.replicas = min(p.up, o.up), max(p.replicas, o.replicas)
}

func merged(a, b stats.Packed) stats.Packed {
	if a == "" || b == "" {
		return a + b
	}
	var sum stats.Histogram
	a.AddTo(&sum)
	b.AddTo(&sum)
	return sum.Pack()
}

// latency is the point's p50, p90 and p99; nil where nothing was answered. The
// mean is not known.
func (p *point) latency() *result.Quantiles {
	var h stats.Histogram
	p.packed.AddTo(&h)
	return result.NewQuantiles(&h)
}
