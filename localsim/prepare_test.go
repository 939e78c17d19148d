package localsim_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func delayOn(from, to string) fault.Fault {
	return fault.Fault{Type: fault.NetDelay, Target: fault.Target{From: from, Service: to}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(20 * ms)}}
}

// A fault takes the gates that were prepared for it, and starts none.
func TestPreparedGatesAreTaken(t *testing.T) {
	expectNoLeaks(t)
	open := &openGates{}
	d := up(t, open.applyGates(inProcess("")), shop())
	twice, api := delayOn("web", "cart"), delayOn("api", "cart")
	if err := d.Prepare(t.Context(), []fault.Fault{twice, api, twice}); err != nil {
		t.Fatal(err)
	}
	if n := open.n.Load(); n != 6 {
		t.Fatalf("%d gates stand by for three faults on two replicas, want 6", n)
	}
	started := open.started.Load()
	inject(t, d, "one", twice)
	inject(t, d, "other", api)
	clearFault(t, d, "one")
	clearFault(t, d, "other")
	inject(t, d, "two", twice)
	clearFault(t, d, "two")
	if n := open.started.Load(); n != started {
		t.Errorf("%d gates were started in spite of those prepared", n-started)
	}
	inject(t, d, "unprepared", api)
	if n := open.started.Load() - started; n != 2 {
		t.Errorf("%d gates were started for a fault that was not prepared, want 2", n)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := open.n.Load(); n != 0 {
		t.Errorf("%d gates are left", n)
	}
}

// Prepare names the fault whose gate it cannot start. Closing the system closes the
// gates that it had started, because no fault will use them.
func TestPrepareFails(t *testing.T) {
	expectNoLeaks(t)
	open := &openGates{}
	config := open.applyGates(inProcess(""))
	start := config.NewGate
	config.NewGate = func(upstream string, seed uint64) (localsim.Gate, error) {
		if open.n.Load() > 0 {
			return nil, errors.New("too many open files")
		}
		return start(upstream, seed)
	}
	d := up(t, config, shop())
	err := d.Prepare(t.Context(), []fault.Fault{delayOn("web", "cart")})
	if err == nil || !strings.Contains(err.Error(), `preparing fault "net-delay web->cart": gate in front of service cart/2: too many open files`) {
		t.Errorf("error %v", err)
	}
	if err := d.Close(context.Background()); err != nil || open.n.Load() != 0 {
		t.Errorf("closing: %v, %d gates are left", err, open.n.Load())
	}
	if err := d.Prepare(t.Context(), []fault.Fault{delayOn("web", "cart")}); err == nil {
		t.Error("faults were prepared on a system that has ended")
	}
}
