package manifest

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func TestProbesAreThoseOfTheFile(t *testing.T) {
	s := topology.NewService("web")
	given := probe(control.ReadyPath, s.ReadinessProbe())
	if given.HTTPGet.Path != "/readyz" || given.HTTPGet.Port.StrVal != controlPortName || given.PeriodSeconds != 5 || given.TimeoutSeconds != 5 || given.FailureThreshold != 3 {
		t.Errorf("the default readiness probe is %+v", given)
	}
	s.Liveness = &topology.Probe{Path: "/", Period: unit.Duration(2 * time.Second), FailureThreshold: 4}
	given = probe(control.HealthPath, s.LivenessProbe())
	if given.HTTPGet.Path != "/" || given.HTTPGet.Port.StrVal != "http" || given.PeriodSeconds != 2 || given.TimeoutSeconds != 5 || given.FailureThreshold != 4 {
		t.Errorf("the liveness probe is %+v", given)
	}
}
