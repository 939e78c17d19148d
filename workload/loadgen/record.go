package loadgen

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A sample is an outcome as it waits to be counted.
type sample struct {
	measure.Outcome
	sent bool
	// failure says why it did not end well; nil if it did, or was cut off.
	failure *failure
}

// A recorder counts outcomes. Workers hand them over in batches, so that they
// hardly ever meet at its lock.
type recorder struct {
	mu sync.Mutex
	// counted is guarded by mu.
	counted *measure.Load
	pairs   *pairs
}

func newRecorder(phases, requests int) *recorder {
	return &recorder{counted: measure.NewLoad(phases, requests), pairs: newPairs()}
}

// begin says that a phase begins; see measure.Load.
func (r *recorder) begin(at, duration time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted.Begin(at, duration)
}

// end says when a phase has ended.
func (r *recorder) end(phase int, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted.End(phase, at)
}

// report sums up; spans are the lengths of the phases.
func (r *recorder) report(profile *load.Profile, started time.Time, elapsed time.Duration, spans []time.Duration) (*result.LoadReport, error) {
	report, err := r.counted.Report(profile, started, elapsed, spans)
	if err == nil {
		r.pairs.report(&report.Details)
		report.Sort()
	}
	return report, err
}

// A batch is what one worker has not handed over yet.
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
