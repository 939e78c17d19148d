package virtual

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// TestOutagesAreDetected wants each outage noticed when the supervisor of this
// machine would notice it: at once where a process ends, and else by the failed
// checks in a row of a probe.
func TestOutagesAreDetected(t *testing.T) {
	second := unit.Duration(time.Second)
	quick := &topology.Probe{Path: "/", Period: second, Timeout: second, FailureThreshold: 2}
	slow := fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(30 * time.Second)}}
	for _, tt := range []struct {
		name                string
		fault               fault.Fault
		lasting             unit.Duration
		readiness, liveness *topology.Probe
		want                string
	}{
		{"kill", fault.Fault{Type: fault.Kill}, 0, nil, nil, "down 2s, seen +0s, ready +160ms"},
		// The process ends when its requests have.
		{"restart", fault.Fault{Type: fault.Restart}, 0, nil, nil, "down 2s, seen +0s, ready +60ms"},
		// Ticks come every 5 s; each check waits for 5 s, and three have to fail.
		{"short pause", fault.Fault{Type: fault.Pause}, 10 * second, nil, nil, "down 2s, not seen, ready +10s"},
		{"long pause", fault.Fault{Type: fault.Pause}, 30 * second, nil, nil, "down 2s, seen +18s, ready +30s"},
		{"a paused process is not restarted", fault.Fault{Type: fault.Pause}, 30 * second, nil, quick, "down 2s, seen +18s, ready +30s"},
		{"readiness", fault.Fault{Type: fault.Error}, 10 * second, quick, nil, "down 2s, seen +1s, ready +10.02s"},
		{"control port", fault.Fault{Type: fault.Error}, 10 * second, nil, nil, ""},
		// The check of second 2 fails at second 3; the next begins then.
		{"slow answers", slow, 10 * second, quick, nil, "down 2s, seen +2s, ready +10.02s"},
		// Its requests get five seconds from second 4 on; then it is started again.
		{"liveness", slow, 5 * second, nil, quick, "down 9s, seen +0s, ready +160ms"},
		{"gates do not act on checks", fault.Fault{Type: fault.Refuse}, 10 * second, quick, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := pair(tt.fault)
			e.Faults[0].Duration = tt.lasting
			back := &e.System.Services[1]
			back.Readiness, back.Liveness = tt.readiness, tt.liveness
			e.Load.Phases[0].Duration = 50 * second
			var list []string
			for _, o := range run(t, e).Recoveries {
				text := fmt.Sprintf("down %v, not seen", o.DownAt.Sub(Epoch))
				if !o.DetectedAt.IsZero() {
					text = fmt.Sprintf("down %v, seen +%v", o.DownAt.Sub(Epoch), o.DetectedAt.Sub(o.DownAt).Round(100*time.Millisecond))
				}
				if !o.ReadyAt.IsZero() {
					text += fmt.Sprintf(", ready +%v", o.ReadyAt.Sub(o.DownAt).Round(20*time.Millisecond))
				}
				list = append(list, text)
			}
			if got := strings.Join(list, "; "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnreadyReplicasGetNoCalls lets one of two replicas fail its readiness check:
// callers leave it out until it succeeds again.
func TestUnreadyReplicasGetNoCalls(t *testing.T) {
	second := unit.Duration(time.Second)
	e := pair(fault.Fault{Type: fault.Error, Target: fault.Target{Service: "back", Replica: 2}})
	e.Faults[0].Duration = 20 * second
	back := &e.System.Services[1]
	back.Replicas, back.Readiness = 2, &topology.Probe{Path: "/", Period: second, Timeout: second, FailureThreshold: 2}
	e.Load.Phases = []load.Phase{{Rate: 50, Duration: 30 * second}}
	r := run(t, e)
	// It is unready from second 3 on, after half of the requests of a second.
	if n := part(r, "during").Errors; n < 10 || n > 40 {
		t.Errorf("%d requests failed, want about 25", n)
	}
	if n := part(r, "after").Errors; n != 0 {
		t.Errorf("%d requests failed after the fault", n)
	}
}
