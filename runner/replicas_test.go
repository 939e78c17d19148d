package runner

import (
	"context"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A watchedWorld tells of changes at once. Its cart goes down a second after the
// watching began, which a health check notices 3.25 s later.
type watchedWorld struct{ *fakeWorld }

func (w watchedWorld) Deploy(ctx context.Context, system *topology.System, seed uint64) (Deployment, error) {
	if _, err := w.fakeWorld.Deploy(ctx, system, seed); err != nil {
		return nil, err
	}
	return w, nil
}

func (w watchedWorld) Watch(ctx context.Context, changed func(Replica)) {
	for _, r := range w.replicas {
		changed(r)
	}
	cart := Replica{Service: "cart", Index: 1, State: Paused}
	for _, after := range []time.Duration{time.Second, 3250 * time.Millisecond, time.Millisecond} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(after):
		}
		switch {
		case cart.Since.IsZero():
			cart.Since = time.Now()
		case cart.Detected.IsZero():
			cart.Detected = time.Now()
		default:
			cart.State, cart.Since, cart.Detected = Ready, time.Now(), time.Time{}
		}
		changed(cart)
	}
	<-ctx.Done()
}

// The times of an outage are those that the deployment tells, however rarely it
// would be asked.
func TestOutagesAreAsTheDeploymentTells(t *testing.T) {
	world := &fakeWorld{}
	e := shopRun()
	e.Faults, e.Checks, e.Variants = nil, nil, nil
	result, _, err := play(t, e, world, func(ctx context.Context, deps *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
		deps.Deployer, deps.PollReplicas = watchedWorld{world}, time.Hour
		return ctx
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Recoveries) != 1 {
		t.Fatalf("outages are %+v", result.Recoveries)
	}
	r := result.Recoveries[0]
	if r.Service != "cart" || r.Replica != 1 || r.Detection != 3.25 || r.Took != 3.251 || r.DownAt.Sub(result.Started) != time.Second {
		t.Errorf("the outage is %+v", r)
	}
}
