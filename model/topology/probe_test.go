package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func TestProbesThatKubernetesWouldNotTakeAreRefused(t *testing.T) {
	sec := unit.Duration(time.Second)
	for name, c := range map[string]struct {
		probe    Probe
		liveness bool
		field    string
	}{
		"defaults":            {Probe{}, true, ""},
		"all given":           {Probe{Path: "/a", Period: sec, Timeout: 3 * sec, FailureThreshold: 1, SuccessThreshold: 2}, false, ""},
		"part of a second":    {Probe{Period: sec / 2}, false, "readiness.period"},
		"seconds and a half":  {Probe{Timeout: sec + sec/2}, false, "readiness.timeout"},
		"negative":            {Probe{FailureThreshold: -1}, false, "readiness.failureThreshold"},
		"no path":             {Probe{Path: "healthz"}, false, "readiness.path"},
		"two successes alive": {Probe{SuccessThreshold: 2}, true, "liveness.successThreshold"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewService("web")
			if c.liveness {
				s.Liveness = &c.probe
			} else {
				s.Readiness = &c.probe
			}
			system := System{Name: "shop", Services: []Service{s}}
			err := system.Validate().Err()
			if (err == nil) != (c.field == "") || err != nil && !strings.Contains(err.Error(), c.field) {
				t.Errorf("got %v, want a problem of %q", err, c.field)
			}
		})
	}
}
