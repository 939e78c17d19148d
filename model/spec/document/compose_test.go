package document

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A load without an end outlasts the last round of its faults, too.
func TestLoadWithoutAnEndOutlastsItsFaults(t *testing.T) {
	const second = unit.Duration(time.Second)
	faults := []fault.Fault{
		{Type: fault.Pause, Start: 10 * second, Duration: 2 * second, Rounds: &fault.Rounds{Count: 4, Interval: 20 * second}},
		{Type: fault.Error, Start: 30 * second, Duration: 5 * second},
	}
	if got, want := lastEnd(faults), unit.Duration(72*time.Second+afterFaults); got != want {
		t.Errorf("the load lasts %s, want %s", got, want)
	}
	if got := lastEnd(nil); got != EndlessFor {
		t.Errorf("without faults, the load lasts %s, want %s", got, EndlessFor)
	}
}
