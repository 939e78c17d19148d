package virtual

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/why"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// serviceCounts are the counts of a service since the last sample.
type serviceCounts struct {
	codes    []codeCount
	degraded int64
	latency  stats.Histogram
	cpu      time.Duration
	// refused counts requests that were turned away.
	refused int64
}

type codeCount struct {
	status int
	n      int64
}

// count counts one request; status 0 means that no answer was given.
func (c *serviceCounts) count(res *response, took time.Duration) {
	c.latency.Add(took, 1)
	if res.degraded > 0 && res.status < 400 {
		c.degraded++
	}
	for i := range c.codes {
		if c.codes[i].status == res.status {
			c.codes[i].n++
			return
		}
	}
	c.codes = append(c.codes, codeCount{res.status, 1})
}

// A callee has the counts of a service's calls to another.
type callee struct {
	service            int32 // -1 means outside the system
	name               string
	outcomes, attempts [maxClasses]int64
	fallbacks          int64
	degraded           int64
	latency            stats.Histogram
	// breaker says that the calls have a breaker.
	breaker bool
	// recorded is the place of the calls in the record, counted from 1; opened is
	// when a breaker first refused a call.
	recorded int
	opened   time.Duration
}

// firstOpen returns when a breaker first refused a call.
func (c *callee) firstOpen() time.Duration {
	if c.opened == 0 {
		return why.Never
	}
	return c.opened
}

// maxClasses is at least the number of classes.
const maxClasses = 12

// classIndex returns the index of a class in outcome.Classes.
func classIndex(class outcome.Class) int {
	if class == outcome.OK {
		return 0
	}
	return max(slices.Index(outcome.Classes(), class), 0)
}

// calleeOf returns the counts of a service's calls to another.
func (w *world) calleeOf(s *service, to int32) *callee {
	if c := s.callees[to]; c != nil {
		return c
	}
	c := &callee{service: to, name: "external"}
	if to >= 0 {
		c.name = w.exp.System.Services[to].Name
	}
	s.callees[to] = c
	return c
}

// startFallbacks notes which callees have breakers.
func (s *service) startFallbacks() {
	for i, call := range s.plan.Sites {
		s.calls[i].breaker = s.calls[i].breaker || call.Policy.Breaker != nil
	}
}

// sample returns what a service did since the last one.
func (w *world) sample(s *service, at time.Time, elapsed time.Duration) measure.Sample {
	c := &s.counts
	sample := measure.Sample{At: at, Elapsed: elapsed, Counted: elapsed, Service: s.name, Codes: map[string]int64{}, Replicas: len(s.replicas), CPUSeconds: measure.Amount{Value: c.cpu.Seconds(), Known: true}, Degraded: c.degraded}
	c.cpu, c.degraded = 0, 0
	for i := range c.codes {
		code := &c.codes[i]
		if code.n == 0 {
			continue
		}
		name := control.CodeAborted
		switch code.status {
		case 0:
		case storeOK:
			name = control.CodeOK
		case storeFailed:
			name = control.CodeError
		default:
			name = strconv.Itoa(code.status)
		}
		sample.Codes[name] = code.n
		sample.Requests += code.n
		if code.status == 0 || code.status == storeFailed || code.status >= 400 {
			sample.Errors += code.n
		}
		code.n = 0
	}
	sample.Rate = float64(sample.Requests) / elapsed.Seconds()
	sample.Latency, c.latency = c.latency, stats.Histogram{}
	for _, i := range s.replicas {
		r := w.replicas[i]
		if r.state == up && !r.paused {
			sample.Up++
		}
		sample.InFlight += int64(r.inFlight)
		sample.QueueLength += int64(r.waiting())
		sample.MemoryBytes += r.held
		r.countReads(w.now(), &sample)
	}
	sample.Calls = w.callSamples(s)
	return sample
}

func (w *world) callSamples(s *service) []measure.CallSample {
	list := make([]*callee, 0, len(s.callees))
	for _, c := range s.callees {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *callee) int { return strings.Compare(a.name, b.name) })
	samples := make([]measure.CallSample, 0, len(list))
	for _, c := range list {
		cs := measure.CallSample{Callee: c.name, Calls: take(&c.outcomes), Attempts: take(&c.attempts), Fallbacks: c.fallbacks, Degraded: c.degraded}
		c.fallbacks, c.degraded = 0, 0
		cs.Latency, c.latency = c.latency, stats.Histogram{}
		if c.breaker {
			worst := policy.Closed
			for _, i := range s.replicas {
				worst = max(worst, w.replicas[i].machine.Breaker(c.name, w.now()))
			}
			cs.Breaker = &worst
		}
		samples = append(samples, cs)
	}
	return samples
}

// take returns counts by class, and resets them.
func take(counts *[maxClasses]int64) map[outcome.Class]int64 {
	m := map[outcome.Class]int64{}
	for i, class := range outcome.Classes() {
		if counts[i] != 0 {
			m[class] = counts[i]
		}
	}
	*counts = [maxClasses]int64{}
	return m
}
