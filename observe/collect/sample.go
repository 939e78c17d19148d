package collect

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// sample is what all replicas of a service did since the last round. Replicas
// that did not answer add nothing but their being down.
func (s *Scraper) sample(name string, at time.Time, elapsed time.Duration) measure.Sample {
	sample := measure.Sample{At: at, Elapsed: elapsed, Service: name, Codes: map[string]int64{}}
	var latency deltas
	calls := map[string]*callDeltas{}
	for _, w := range s.services[name] {
		if w.listed {
			sample.Replicas++
		}
		if !w.up {
			continue
		}
		sample.Up++
		sample.InFlight += int64(w.now.inFlight)
		sample.QueueLength += int64(w.now.queue)
		sample.MemoryBytes += w.now.memory()
		if !w.counts {
			continue
		}
		for code, n := range w.now.codes {
			if d := delta(n, w.prev.codes[code]); d > 0 {
				sample.Codes[code] += int64(d)
			}
		}
		sample.Degraded += int64(delta(w.now.degraded, w.prev.degraded))
		latency.add(&w.now.duration, &w.prev.duration)
		sample.CPUSeconds += delta(w.now.cpu, w.prev.cpu)
		w.addCalls(calls)
	}
	for code, n := range sample.Codes {
		sample.Requests += n
		if isError(code) {
			sample.Errors += n
		}
	}
	sample.Bounds, sample.Latency, sample.Sum = latency.bounds, latency.counts(), latency.sum
	for _, callee := range slices.Sorted(maps.Keys(calls)) {
		c := calls[callee]
		sample.Calls = append(sample.Calls, measure.CallSample{
			Callee: callee, Calls: c.outcomes, Attempts: c.attempts, Fallbacks: int64(c.fallbacks), Degraded: int64(c.degraded), Breaker: c.breaker, Bounds: c.latency.bounds, Latency: c.latency.counts(), Sum: c.latency.sum,
		})
	}
	return sample
}

// memory is that of the process, or what the service itself holds where many
// share one process.
func (f *figures) memory() int64 {
	if f.hasResident {
		return int64(f.resident)
	}
	return int64(f.held)
}

// isError reports whether a request with the code went wrong: a status of 400
// or more, or none at all.
func isError(code string) bool {
	status, err := strconv.Atoi(code)
	return err != nil || status >= 400
}

// delta is by how much a counter grew. One that fell was started again.
func delta(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

type callDeltas struct {
	outcomes, attempts map[outcome.Class]int64
	fallbacks          float64
	degraded           float64
	breaker            *policy.BreakerState
	latency            deltas
}

func (w *watched) addCalls(calls map[string]*callDeltas) {
	for callee, now := range w.now.calls {
		before := w.prev.calls[callee]
		if before == nil {
			before = &callFigures{}
		}
		c := calls[callee]
		if c == nil {
			c = &callDeltas{outcomes: map[outcome.Class]int64{}, attempts: map[outcome.Class]int64{}}
			calls[callee] = c
		}
		addClasses(c.outcomes, now.outcomes, before.outcomes)
		addClasses(c.attempts, now.attempts, before.attempts)
		c.fallbacks += delta(now.fallbacks, before.fallbacks)
		c.degraded += delta(now.degraded, before.degraded)
		if now.hasBreaker {
			state := policy.BreakerState(now.breaker)
			if c.breaker != nil {
				state = max(state, *c.breaker)
			}
			c.breaker = &state
		}
		c.latency.add(&now.duration, &before.duration)
	}
}

// addClasses adds by how much the counters of outcomes grew.
func addClasses(to map[outcome.Class]int64, now, before map[string]float64) {
	for class, n := range now {
		if d := delta(n, before[class]); d > 0 {
			to[outcome.Class(class)] += int64(d)
		}
	}
}

// deltas sum by how much histograms grew; below is cumulative.
type deltas struct {
	bounds, below []float64
	count, sum    float64
}

func (d *deltas) add(now, before *histogram) {
	if d.bounds == nil {
		d.bounds, d.below = slices.Clone(now.bounds), make([]float64, len(now.bounds))
	}
	// A histogram that fell anywhere was started again.
	restarted := now.count < before.count || len(before.bounds) != len(now.bounds)
	past := func(v float64) float64 {
		if restarted {
			return 0
		}
		return v
	}
	d.count += now.count - past(before.count)
	d.sum += math.Max(0, now.sum-past(before.sum))
	for i, bound := range d.bounds {
		at, ok := slices.BinarySearch(now.bounds, bound)
		if !ok {
			continue
		}
		n := now.below[at]
		if !restarted {
			n -= before.below[at]
		}
		d.below[i] += n
	}
}

// counts are those of each bucket alone, and of what is above the last.
func (d *deltas) counts() []int64 {
	if d.bounds == nil {
		return nil
	}
	counts := make([]int64, len(d.bounds)+1)
	below := 0.0
	for i, n := range append(d.below, d.count) {
		counts[i] = int64(math.Max(0, n-below))
		below = n
	}
	return counts
}
