package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// fakeAlerts sees an alert fire 2 s after the zero.
type fakeAlerts struct {
	startErr error
	started  int
	stopped  int
	zero     time.Time
}

func (f *fakeAlerts) Start(context.Context, *experiment.Experiment, Deployment) error {
	f.started++
	return f.startErr
}

func (f *fakeAlerts) Stop(_ context.Context, zero time.Time) *result.Alerts {
	f.stopped++
	f.zero = zero
	fired := result.AlertFiring{Alert: "A", FiredAt: zero.Add(2 * time.Second), LastAt: zero.Add(3 * time.Second)}
	return &result.Alerts{Fired: []result.AlertFiring{fired}, UntilAt: time.Now()}
}

// watchedRun is shopRun with a check that a Prometheus judges.
func watchedRun() experiment.Experiment {
	e := shopRun()
	e.Checks = []experiment.Check{{Expr: "no alert fires"}}
	return e
}

func TestAlertsAreWatchedFromBeforeTheLoadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, alerts := &fakeWorld{}, &fakeAlerts{}
		r, err := Run(t.Context(), watchedRun(), Deps{Deployer: world, Loader: &fakeLoader{world: world}, Alerts: alerts}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if alerts.started != 1 || alerts.stopped != 1 || !alerts.zero.Equal(r.LoadStarted) {
			t.Errorf("%+v, and the load began at %v", alerts, r.LoadStarted)
		}
		if r.Passed || r.Checks[0].Why != "fired: A" || r.Alerts.Fired[0].From != 2 || r.Alerts.Fired[0].Last != 3 {
			t.Errorf("%+v, %+v", r.Checks, r.Alerts)
		}
	})
}

// A run whose alerts cannot be watched has no load, and leaves nothing.
func TestARunWithoutPrometheus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &fakeWorld{}
		if _, err := Run(t.Context(), watchedRun(), Deps{Deployer: world, Loader: &fakeLoader{world: world}}, nil); err == nil || !strings.Contains(err.Error(), "--prometheus") || world.deployed > 0 {
			t.Errorf("without one: %v, %d deployed", err, world.deployed)
		}
		broken := errors.New("it is away")
		alerts := &fakeAlerts{startErr: broken}
		r, err := Run(t.Context(), watchedRun(), Deps{Deployer: world, Loader: &fakeLoader{world: world}, Alerts: alerts}, nil)
		if !errors.Is(err, broken) || alerts.stopped != 1 || world.closed == 0 || !r.LoadStarted.IsZero() || r.Passed {
			t.Errorf("with one that is away: %v, stopped %d, closed %d, %+v", err, alerts.stopped, world.closed, r.Checks)
		}
	})
}
