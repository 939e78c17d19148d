package faults

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// next returns the next change that is told.
func next(t *testing.T, told <-chan runner.Replica) runner.Replica {
	t.Helper()
	select {
	case r := <-told:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no change is told")
		return runner.Replica{}
	}
}

func (s *apiStage) watched() <-chan runner.Replica {
	told := make(chan runner.Replica, 100)
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.inst.Watch(ctx, func(r runner.Replica) { told <- r })
	}()
	s.t.Cleanup(func() { cancel(); <-ended })
	return told
}

// TestWatchTellsWhatHappensToPods: each replica at first, then one whose pod is deleted,
// and the same as another pod takes its place.
func TestWatchTellsWhatHappensToPods(t *testing.T) {
	s := newAPIStage(t)
	told := s.watched()
	for want := 1; want <= 2; want++ {
		if r := next(t, told); r.Service != "back" || r.Index != want || r.State != runner.Ready || !r.Detected.IsZero() {
			t.Errorf("at first there is %+v, want back/%d ready", r, want)
		}
	}
	deleted := time.Now()
	if err := apitest.Outside(t, s.inst.Client).CoreV1().Pods("shop").Delete(t.Context(), "back-2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	down := next(t, told)
	if down.Index != 2 || down.State != runner.Down || down.Detected.Before(deleted) {
		t.Errorf("after its pod is gone, it is %+v, detected %v after that", down, down.Detected.Sub(deleted))
	}
	s.create(s.replica(3))
	if r := next(t, told); r.Index != 2 || r.State != runner.Ready || !r.Detected.IsZero() {
		t.Errorf("with another pod, it is %+v", r)
	}
}

// TestWatchWakesForOwnFaults: a pause changes no pod, and this program knows of it.
func TestWatchWakesForOwnFaults(t *testing.T) {
	s := newAPIStage(t)
	told := s.watched()
	next(t, told)
	next(t, told)
	pause := fault.Fault{Type: fault.Pause, Target: fault.Target{Service: "back", Replica: 1}, Probability: 1}
	if err := s.inst.Inject(t.Context(), "pause-1", pause, in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if r := next(t, told); r.Index != 1 || r.State != runner.Paused || r.Detected.IsZero() {
		t.Errorf("the paused replica is %+v", r)
	}
	if err := s.inst.Clear(t.Context(), "pause-1"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, told); r.Index != 1 || r.State != runner.Ready {
		t.Errorf("after the pause, it is %+v", r)
	}
}

// TestWatchAsksNothingWhileNothingHappens: the API server says what changes.
func TestWatchAsksNothingWhileNothingHappens(t *testing.T) {
	s := newAPIStage(t)
	var asked atomic.Int32
	s.server.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && r.URL.Query().Get("watch") == "" {
			asked.Add(1)
		}
		return false
	}
	told := s.watched()
	next(t, told)
	next(t, told)
	before := asked.Load()
	time.Sleep(2 * time.Second)                  // in which a poll would ask several times
	if more := asked.Load() - before; more > 3 { // the first news may still come
		t.Errorf("it asked %d times in two quiet seconds", more)
	}
}
