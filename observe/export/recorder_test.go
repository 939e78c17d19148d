package export

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Attempts are all that was sent, hedges that were overtaken included.
func TestRecordedAttemptsCountOvertakenHedges(t *testing.T) {
	r := &Recorder{}
	r.Observe(runner.ServiceSampled{At: time.Second, Sample: measure.Sample{
		Service: "web", Elapsed: time.Second, Up: 1, Replicas: 1,
		Calls: []measure.CallSample{{
			Callee: "db", Calls: map[outcome.Class]int64{outcome.OK: 9, outcome.Timeout: 1},
			Attempts: map[outcome.Class]int64{outcome.OK: 9, outcome.Timeout: 1, outcome.Cancelled: 4},
		}},
	}})
	if e := r.run.edges[0]; e.calls != 10 || e.attempts != 14 {
		t.Errorf("%v calls and %v attempts, want 10 and 14", e.calls, e.attempts)
	}
}
