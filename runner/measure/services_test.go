package measure

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

func TestEdgesTellOfPolicies(t *testing.T) {
	var c, sum serviceCell
	open, closed := policy.Open, policy.Closed
	for _, state := range []*policy.BreakerState{&open, &closed, nil, &open} {
		c.Observe(&Sample{Elapsed: time.Second, Calls: []CallSample{{
			Callee: "b", Calls: map[outcome.Class]int64{outcome.OK: 1}, Attempts: map[outcome.Class]int64{outcome.OK: 1, outcome.Timeout: 2}, Fallbacks: 3, Breaker: state,
		}}})
	}
	sum.merge(&c)
	sum.merge(&c)
	e := sum.edgeStats("a")[0]
	if e.Calls != 8 || e.Attempts[outcome.OK] != 8 || e.Attempts[outcome.Timeout] != 16 || e.Fallbacks != 24 || e.OpenSeconds != 4 {
		t.Errorf("got %+v", e)
	}
}

// A hedge that another attempt overtook was sent, though no call ended with it.
func TestSentCountsWhatWasBrokenOff(t *testing.T) {
	call := CallSample{Attempts: map[outcome.Class]int64{outcome.OK: 9, outcome.Timeout: 4, outcome.Cancelled: 2}}
	if got := call.Sent(); got != 15 {
		t.Errorf("%d were sent, want 15", got)
	}
}
