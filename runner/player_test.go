package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A slowInjector takes its time for some faults, and notes what it is told.
type slowInjector struct {
	began time.Time
	// inject, clear take these times for the fault of an id; a negative time lasts
	// until the end of ctx.
	inject, clear map[string]time.Duration
	// inner bounds what lasts until the end of ctx, as the wait for a helper does.
	inner time.Duration
	// fails says which clears fail so often.
	fails map[string]int

	mu    sync.Mutex
	lines []string
}

func (s *slowInjector) CanInject(*fault.Fault) error { return nil }

func (s *slowInjector) Active(context.Context) ([]Injection, error) { return nil, nil }

func (s *slowInjector) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%v %s", time.Since(s.began), fmt.Sprintf(format, args...)))
}

func (s *slowInjector) Inject(ctx context.Context, id string, _ fault.Fault, deadline time.Time) error {
	s.note("inject %s until %v", id, deadline.Sub(s.began))
	return s.take(ctx, s.inject[id])
}

func (s *slowInjector) Clear(ctx context.Context, id string) error {
	s.note("clear %s", id)
	s.mu.Lock()
	s.fails[id]--
	fails := s.fails[id] >= 0
	s.mu.Unlock()
	if fails {
		return errors.New("not now")
	}
	return s.take(ctx, s.clear[id])
}

var errHelper = errors.New("its helper does not answer: the image is not on the node")

func (s *slowInjector) take(ctx context.Context, d time.Duration) error {
	if d >= 0 {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.inner, errHelper)
	defer cancel()
	<-ctx.Done()
	return context.Cause(ctx)
}

func during(name string, from, length time.Duration) fault.Fault {
	return fault.Fault{Name: name, Type: fault.Error, Target: fault.Target{Service: "web"}, Start: unit.Duration(from), Duration: unit.Duration(length)}
}

// playPlan plays faults in fake time, each under its name.
func playPlan(t *testing.T, faults []fault.Fault, injector *slowInjector, check func(p *FaultPlayer, err error, left []*FaultError)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		plan, err := timeline.New(faults, timeline.Options{Length: 10 * time.Minute, Name: func(w *timeline.Window) string { return w.Fault.Name }})
		if err != nil {
			t.Fatal(err)
		}
		injector.began = time.Now()
		if injector.fails == nil {
			injector.fails = map[string]int{}
		}
		p := NewFaultPlayer(plan)
		err = p.Play(ctx, injector, injector.began)
		check(p, err, p.ClearAll(ctx))
	})
}

func TestSlowFaultShiftsNoOther(t *testing.T) {
	faults := []fault.Fault{during("slow", 2*time.Second, 10*time.Second), during("other", 2*time.Second, 2*time.Second), during("later", 3*time.Second, 4*time.Second)}
	injector := &slowInjector{inject: map[string]time.Duration{"slow": 3 * time.Second}, clear: map[string]time.Duration{"other": 5 * time.Second}}
	playPlan(t, faults, injector, func(p *FaultPlayer, err error, left []*FaultError) {
		if err != nil || len(left) > 0 {
			t.Fatalf("played with %v, left %v", err, left)
		}
		type times struct{ planned, asked, from, plannedTo, to float64 }
		want := map[string]times{"slow": {2, 2, 5, 12, 12}, "other": {2, 2, 2, 4, 9}, "later": {3, 3, 3, 7, 7}}
		for _, rec := range p.Records() {
			got := times{rec.PlannedFrom, rec.OrderedAt.Sub(injector.began).Seconds(), rec.From, rec.PlannedTo, rec.To}
			if got != want[rec.ID] {
				t.Errorf("%s: planned, asked, effective, planned end, effective end are %v, want %v", rec.ID, got, want[rec.ID])
			}
		}
		for _, want := range []string{"2s inject slow until 17s", "2s inject other until 9s", "3s inject later until 12s"} {
			if !slices.Contains(injector.lines, want) {
				t.Errorf("done was %q, want %q in it", injector.lines, want)
			}
		}
	})
}

func TestClearWaitsForItsApply(t *testing.T) {
	injector := &slowInjector{inject: map[string]time.Duration{"slow": 3 * time.Second}}
	playPlan(t, []fault.Fault{during("slow", time.Second, time.Second)}, injector, func(p *FaultPlayer, err error, left []*FaultError) {
		want := []string{"1s inject slow until 7s", "4s clear slow"}
		if err != nil || len(left) > 0 || !slices.Equal(injector.lines, want) {
			t.Errorf("played with %v, left %v, done was %q, want %q", err, left, injector.lines, want)
		}
		if rec := p.Records()[0]; rec.From != 4 || rec.To != 4 || rec.PlannedTo != 2 {
			t.Errorf("the record is %+v", rec)
		}
	})
}

func TestEndOfContextLeavesTheRestToClearAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan, err := timeline.New([]fault.Fault{during("acts", 0, time.Minute), during("begins", 4*time.Second, time.Minute), during("never", 6*time.Second, time.Minute)},
			timeline.Options{Length: time.Hour, Name: func(w *timeline.Window) string { return w.Fault.Name }})
		if err != nil {
			t.Fatal(err)
		}
		stopped := errors.New("stopped by hand")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, stopped)
		defer cancel()
		injector := &slowInjector{began: time.Now(), inject: map[string]time.Duration{"begins": 10 * time.Second}, fails: map[string]int{}}
		p := NewFaultPlayer(plan)
		if err := p.Play(ctx, injector, injector.began); !errors.Is(err, stopped) || time.Since(injector.began) != 5*time.Second {
			t.Errorf("Play says %v after %v", err, time.Since(injector.began))
		}
		if left := p.ClearAll(ctx); len(left) > 0 {
			t.Errorf("left %v", left)
		}
		slices.Sort(injector.lines)
		want := []string{"0s inject acts until 1m5s", "4s inject begins until 1m9s", "5s clear acts", "5s clear begins"}
		if !slices.Equal(injector.lines, want) {
			t.Errorf("done was %q, want %q", injector.lines, want)
		}
		records := p.Records()
		if !records[0].Applied() || records[1].Applied() || records[1].OrderedAt.IsZero() || !records[2].OrderedAt.IsZero() {
			t.Errorf("the records are %+v", records)
		}
	})
}

func TestClearIsTriedAgainAtTheEnd(t *testing.T) {
	faults := []fault.Fault{during("once", 0, time.Second), during("twice", 0, time.Second)}
	injector := &slowInjector{fails: map[string]int{"once": 1, "twice": 2}}
	playPlan(t, faults, injector, func(p *FaultPlayer, err error, left []*FaultError) {
		if err != nil || len(left) != 1 || left[0].ID != "twice" || left[0].Error() != `clearing fault "twice" (twice): not now` {
			t.Errorf("played with %v, left %v", err, left)
		}
		if records := p.Records(); records[0].To != 1 || !records[1].ClearedAt.IsZero() || records[1].Error == "" {
			t.Errorf("the records are %+v", records)
		}
	})
}

// The inner operation knows why it hangs. It must end before the outer one, or its
// diagnosis is lost.
func TestInnerDiagnosisIsShown(t *testing.T) {
	injector := &slowInjector{inject: map[string]time.Duration{"hangs": -1}, inner: HelperTimeout}
	playPlan(t, []fault.Fault{during("hangs", time.Second, time.Minute)}, injector, func(p *FaultPlayer, err error, left []*FaultError) {
		failed := (*FaultError)(nil)
		if !errors.As(err, &failed) || failed.Doing != "applying" || !errors.Is(err, errHelper) || !strings.Contains(p.Records()[0].Error, errHelper.Error()) {
			t.Errorf("Play says %v, the record %q", err, p.Records()[0].Error)
		}
		if len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
	injector = &slowInjector{clear: map[string]time.Duration{"hangs": -1}, inner: HelperTimeout}
	playPlan(t, []fault.Fault{during("hangs", 0, time.Second)}, injector, func(_ *FaultPlayer, _ error, left []*FaultError) {
		if len(left) != 1 || !errors.Is(left[0], errHelper) {
			t.Errorf("left %v", left)
		}
	})
}

func TestBoundsNest(t *testing.T) {
	bounds := []time.Duration{RequestTimeout, HelperTimeout, ChangeTimeout, ClearTimeout}
	for i, bound := range bounds[1:] {
		if bounds[i] >= bound {
			t.Errorf("%v is not inside %v", bounds[i], bound)
		}
	}
}
