package loadgen

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A sample is an outcome that is not counted yet.
type sample struct {
	measure.Outcome
	sent bool
	// failure says why the request did not end well; nil if it did, or was cut off.
	failure *failure
}

// A recorder counts outcomes. Workers pass outcomes in batches, so that they seldom
// wait for its lock.
type recorder struct {
	mu sync.Mutex
	// counted is guarded by mu.
	counted *measure.Load
	pairs   *pairs
}

func newRecorder(phases, requests int) *recorder {
	return &recorder{counted: measure.NewLoad(phases, requests), pairs: newPairs()}
}

// begin records the beginning of a phase; see measure.Load.
func (r *recorder) begin(at, duration time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted.Begin(at, duration)
}

// end records the end of a phase.
func (r *recorder) end(phase int, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted.End(phase, at)
}

// report returns the report of the whole load; spans are the lengths of the phases.
func (r *recorder) report(profile *load.Profile, started time.Time, elapsed time.Duration, spans []time.Duration) (*result.LoadReport, error) {
	report, err := r.counted.Report(profile, started, elapsed, spans)
	if err == nil {
		r.pairs.report(&report.Details)
		report.Sort()
	}
	return report, err
}

// A batch has the outcomes that one worker has not passed to the recorder yet.
type batch struct {
	to      *recorder
	samples []sample
}

const batchSize = 256

func (b *batch) add(s sample) {
	b.samples = append(b.samples, s)
	if len(b.samples) == batchSize {
		b.flush()
	}
}

func (b *batch) flush() {
	b.to.mu.Lock()
	defer b.to.mu.Unlock()
	for i := range b.samples {
		s := &b.samples[i]
		b.to.counted.Add(&s.Outcome, s.sent)
		if s.failure != nil {
			b.to.counted.Fail(s.failure.FailureKind, &s.failure.example)
		}
	}
	b.samples = b.samples[:0]
}
