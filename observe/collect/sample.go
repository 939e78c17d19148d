package collect

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// sample returns what all replicas of a service did since the last round. A replica
// that did not answer counts only as down.
func (s *Scraper) sample(name string, at time.Time, elapsed time.Duration) measure.Sample {
	sample := measure.Sample{At: at, Elapsed: elapsed, Service: name, Codes: map[string]int64{}}
	calls := map[string]*callDeltas{}
	told := time.Time{}
	for _, w := range s.services[name] {
		if w.listed {
			sample.Replicas++
		}
		if (w.up && w.counts || w.idle) && w.at.After(told) {
			told = w.at
		}
		if !w.up {
			continue
		}
		sample.Up++
		sample.InFlight += int64(w.now.inFlight)
		sample.QueueLength += int64(w.now.queue)
		sample.MemoryBytes += w.now.memory()
		if w.now.hasLag {
			sample.Lag.Observe(int64(w.now.lag), w.now.lagSeconds)
		}
		if w.counts {
			w.addCounts(&sample, calls)
		}
	}
	if before := s.told[name]; !told.IsZero() && !before.IsZero() {
		sample.Counted = max(0, told.Sub(before))
	} else if !told.IsZero() {
		sample.Counted = elapsed // the first answer of the service
	}
	for code, n := range sample.Codes {
		sample.Requests += n
		if isError(code) {
			sample.Errors += n
		}
	}
	for _, callee := range slices.Sorted(maps.Keys(calls)) {
		c := calls[callee]
		sample.Calls = append(sample.Calls, measure.CallSample{
			Callee: callee, Calls: c.outcomes, Attempts: c.attempts, Fallbacks: int64(c.fallbacks), Degraded: int64(c.degraded), Breaker: c.breaker, Latency: c.latency,
		})
	}
	return sample
}

// addCounts adds what a replica has counted since its last scrape.
func (w *watched) addCounts(sample *measure.Sample, calls map[string]*callDeltas) {
	requests := int64(0)
	for code, n := range w.now.codes {
		if d := delta(n, w.prev.codes[code]); d > 0 {
			sample.Codes[code] += int64(d)
			requests += int64(d)
		}
	}
	sample.Degraded += int64(delta(w.now.degraded, w.prev.degraded))
	latency := w.now.duration.Since(&w.prev.duration.Histogram)
	sample.Latency.Merge(&latency)
	if w.now.hasCPU {
		sample.CPUSeconds.Add(delta(w.now.cpu, w.prev.cpu))
	}
	if w.now.hasTraffic {
		sample.BytesReceived.Add(delta(w.now.received, w.prev.received))
		sample.BytesSent.Add(delta(w.now.sent, w.prev.sent))
	}
	if w.now.hasMissed {
		sample.Missed.Add(delta(w.now.missed, w.prev.missed))
	}
	if w.now.hasStale {
		sample.Stale.Add(delta(w.now.stale, w.prev.stale))
	}
	w.addCalls(calls)
	sample.Rate += perSecond(requests, w.at.Sub(w.since))
}

// memory returns the memory of the process or, if several services share one, the
// memory that the service itself holds.
func (f *figures) memory() int64 {
	if f.hasResident {
		return int64(f.resident)
	}
	return int64(f.held)
}

// isError reports whether a request with the code went wrong: a status of 400
// or more, an error of a data store, or no answer at all.
func isError(code string) bool {
	if code == control.CodeOK {
		return false
	}
	status, err := strconv.Atoi(code)
	return err != nil || status >= 400
}

// delta returns by how much a counter grew. A counter that fell was restarted from
// 0.
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
	latency            stats.Histogram
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
		latency := now.duration.Since(&before.duration.Histogram)
		c.latency.Merge(&latency)
	}
}

// addClasses adds, by class, how much the counters of outcomes grew.
func addClasses(to map[outcome.Class]int64, now, before map[string]float64) {
	for class, n := range now {
		if d := delta(n, before[class]); d > 0 {
			to[outcome.Class(class)] += int64(d)
		}
	}
}

// perSecond returns a count as a rate, or 0 if the time is 0.
func perSecond(n int64, over time.Duration) float64 {
	if over <= 0 {
		return 0
	}
	return float64(n) / over.Seconds()
}
