package supervise

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// checked is a supervised replica with health checks, which sick makes fail.
func checked(t *testing.T, sick *atomic.Bool, checks ...HealthCheck) (r *Replica, changes *[]runner.State) {
	t.Helper()
	changes = new([]runner.State)
	r = New(context.Background(), Config{
		Service: "cart", Index: 1, Grace: time.Second, Hurry: make(chan struct{}), Notify: func(string, error) {},
		Start: func(context.Context) (Instance, error) { return newFake(), nil },
		Sync: func(context.Context, Instance) error {
			r.BecomeReady()
			return nil
		},
		Checks: func() []HealthCheck { return checks },
		Check: func(context.Context, Instance, HealthCheck) error {
			if sick.Load() {
				return errors.New("sick")
			}
			return nil
		},
		Changed: func(changed runner.Replica) { *changes = append(*changes, changed.State) },
	})
	first := make(chan error, 1)
	go r.Run(func(err error) { first <- err })
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	return r, changes
}

func every(period time.Duration, failures, successes int, liveness bool) HealthCheck {
	return HealthCheck{Liveness: liveness, Probe: topology.Probe{
		Period: unit.Duration(period), Timeout: unit.Duration(time.Second), FailureThreshold: failures, SuccessThreshold: successes,
	}}
}

func TestReadinessKeepsItsThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Bool
		r, changes := checked(t, &sick, every(2*time.Second, 3, 2, false))
		began := time.Now()
		at := func(after time.Duration) { time.Sleep(time.Until(began.Add(after))); synctest.Wait() }
		at(time.Second)
		sick.Store(true) // seen at 2, 4 and 6 s
		at(6*time.Second - 1)
		if s := r.Snapshot(); s.State != runner.Ready || !s.Detected.IsZero() {
			t.Fatalf("after two failures it is %+v", s)
		}
		at(6*time.Second + 1)
		s := r.Snapshot()
		if s.State != runner.Unready || !s.Since.Equal(began.Add(2*time.Second)) || !s.Detected.Equal(began.Add(6*time.Second)) {
			t.Fatalf("after three failures it is %+v", s)
		}
		sick.Store(false)
		at(8*time.Second + 1)
		if s := r.Snapshot(); s.State != runner.Unready {
			t.Fatalf("after one success it is %+v", s)
		}
		at(10*time.Second + 1)
		if s := r.Snapshot(); s.State != runner.Ready || s.Restarts != 0 || !s.Detected.IsZero() {
			t.Fatalf("after two successes it is %+v", s)
		}
		o := r.Outages()
		if len(o) != 1 || o[0].Cause != "readiness" || !o[0].Down.Equal(began.Add(2*time.Second)) || !o[0].Detected.Equal(began.Add(6*time.Second)) || !o[0].Ready.Equal(began.Add(10*time.Second)) {
			t.Errorf("the outages are %+v", o)
		}
		if want := []runner.State{runner.Starting, runner.Ready, runner.Unready, runner.Ready}; !equalStates(*changes, want) {
			t.Errorf("told were %v, want %v", *changes, want)
		}
		r.Stop()
		<-r.Ended()
	})
}

func equalStates(a, b []runner.State) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestLivenessRestartsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Bool
		r, _ := checked(t, &sick, every(time.Second, 2, 1, false), every(5*time.Second, 2, 1, true))
		began := time.Now()
		sick.Store(true) // unready at 2 s, hung at 10 s
		time.Sleep(10*time.Second + 1)
		synctest.Wait()
		sick.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.Snapshot(); s.State != runner.Ready || s.Restarts != 1 {
			t.Fatalf("it is %+v", s)
		}
		// The restart belongs to the outage that the readiness check has begun.
		o := r.Outages()
		if len(o) != 1 || !o[0].Down.Equal(began.Add(time.Second)) || !o[0].Detected.Equal(began.Add(2*time.Second)) || o[0].Starts != 1 || o[0].Ready.IsZero() {
			t.Errorf("the outages are %+v", o)
		}
		r.Stop()
		<-r.Ended()
	})
}

func TestLivenessAloneTellsWhenItNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Bool
		r, _ := checked(t, &sick, every(5*time.Second, 2, 1, true))
		began := time.Now()
		sick.Store(true)
		time.Sleep(10*time.Second + 1)
		sick.Store(false)
		time.Sleep(time.Second)
		o := r.Outages()
		if len(o) != 1 || o[0].Cause != "liveness" || !o[0].Down.Equal(began.Add(5*time.Second)) || !o[0].Detected.Equal(began.Add(10*time.Second)) || o[0].Ready.IsZero() {
			t.Errorf("the outages are %+v", o)
		}
		r.Stop()
		<-r.Ended()
	})
}

// A fault that pauses a process is no reason to restart it: the next would be
// paused as well. It is noticed by the readiness check, if it lasts.
func TestAPauseIsNoticedByItsCheck(t *testing.T) {
	for name, c := range map[string]struct {
		lasts, detected time.Duration
	}{"short": {2500 * time.Millisecond, 0}, "long": {30 * time.Second, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sick atomic.Bool
				r, _ := checked(t, &sick, every(time.Second, 3, 1, false), every(time.Second, 3, 1, true))
				began := time.Now()
				in := r.Running()
				if err := r.Freeze(in); err != nil {
					t.Fatal(err)
				}
				sick.Store(true)
				time.Sleep(c.lasts)
				synctest.Wait()
				s := r.Snapshot()
				if s.State != runner.Paused || s.Restarts != 0 || s.Detected.IsZero() != (c.detected == 0) {
					t.Errorf("during the pause it is %+v", s)
				}
				sick.Store(false)
				if err := r.Thaw(in); err != nil {
					t.Fatal(err)
				}
				if s := r.Snapshot(); (s.State == runner.Ready) != (c.detected == 0) {
					t.Errorf("after the pause it is %+v", s)
				}
				time.Sleep(time.Second + 1)
				synctest.Wait()
				if s := r.Snapshot(); s.State != runner.Ready || s.Restarts != 0 {
					t.Errorf("a second after the pause it is %+v", s)
				}
				o := r.Outages()
				if len(o) != 1 || o[0].Cause != "pause" || o[0].Detected.IsZero() != (c.detected == 0) || c.detected != 0 && o[0].Detected.Sub(began) != c.detected {
					t.Errorf("the outages are %+v", o)
				}
				r.Stop()
				<-r.Ended()
			})
		})
	}
}
