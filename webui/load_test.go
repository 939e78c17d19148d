package webui

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The load of a run is changed while it is sent, and only then; the ground truth has each
// change, and what was not possible.
func TestTheLoadIsChangedWhileItRuns(t *testing.T) {
	made := make(chan float64, 9)
	loadEnds, goOn, kept := make(chan struct{}), make(chan struct{}), make(chan []result.SystemChange, 1)
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		o.Loads(func(_ context.Context, factor float64) error {
			if factor == 7 {
				return errors.New("no pod answers")
			}
			made <- factor
			return nil
		})
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		select {
		case <-loadEnds:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		o.Observe(runner.LoadEnded{At: time.Second})
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		res := &result.Result{Kind: result.ResultKind}
		o.Complete(res)
		kept <- res.Changes
		return res, nil
	}}})
	change := func(body any) (v runView, said string, status int) {
		var failed failure
		status = c.ask("POST", "/api/run/load", body, &v)
		if status != http.StatusOK {
			c.ask("POST", "/api/run/load", body, &failed)
		}
		return v, failed.Error, status
	}
	by := func(factor float64) map[string]any { return map[string]any{"factor": factor} }
	if _, said, status := change(by(2)); status != http.StatusConflict || !strings.Contains(said, "nothing is played") {
		t.Errorf("without a run, it is answered %d %q", status, said)
	}
	if status := c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	await(t, c, func(v *runView) bool { return v.LoadChangeable && v.LoadFactor == 1 })
	for _, tt := range []struct {
		body   any
		status int
		said   string
	}{
		{by(1), http.StatusConflict, "it is × 1 already"},
		{by(-1), http.StatusUnprocessableEntity, "from 0, which pauses it, to 1000"},
		{by(1001), http.StatusUnprocessableEntity, "to 1000"},
		{struct{}{}, http.StatusBadRequest, "write the factor"},
		{by(7), http.StatusInternalServerError, "no pod answers"},
	} {
		if _, said, status := change(tt.body); status != tt.status || !strings.Contains(said, tt.said) {
			t.Errorf("%v is answered %d %q, want %d %q", tt.body, status, said, tt.status, tt.said)
		}
	}
	if v, said, status := change(by(2)); status != http.StatusOK || v.LoadFactor != 2 || <-made != 2 {
		t.Fatalf("× 2 is answered %d %q with %+v", status, said, v)
	}
	if v, said, status := change(by(0)); status != http.StatusOK || v.LoadFactor != 0 || <-made != 0 {
		t.Fatalf("a pause is answered %d %q with %+v", status, said, v)
	}
	close(loadEnds)
	await(t, c, func(v *runView) bool { return !v.LoadChangeable && !v.Ended })
	if _, said, status := change(by(3)); status != http.StatusConflict || !strings.Contains(said, "none is sent now") {
		t.Errorf("after the load, a change is answered %d %q", status, said)
	}
	close(goOn)
	var told []string
	for _, record := range <-kept {
		told = append(told, strings.Join(record.What, "; ")+" "+record.Error)
		if record.Error == "" && (record.DoneAt.Before(record.AskedAt) || record.Done < record.Asked || record.Load == nil) {
			t.Errorf("the ground truth is %+v", record)
		}
	}
	failed := `load × 1 to × 7 changing the load of "mine": no pod answers`
	if diff := cmp.Diff([]string{failed, failed, "load × 1 to × 2 ", "load × 2 to × 0 "}, told); diff != "" {
		t.Error(diff)
	}
}

// A load is refused another rate where the figures, or the users, would not bear it.
func TestLoadsThatCannotBeChanged(t *testing.T) {
	five := 5
	for _, tt := range []struct {
		name   string
		phase  load.Phase
		factor float64
		said   string
	}{
		{"open", load.Phase{Rate: 20, Duration: unit.Duration(time.Minute)}, 3, ""},
		{"paused", load.Phase{Users: 1, Duration: unit.Duration(time.Minute)}, 0, ""},
		{"count", load.Phase{Rate: 20, Count: 100}, 2, "ends by a count of requests"},
		{"no user left", load.Phase{Users: 2, UsersTo: &five, Duration: unit.Duration(time.Minute)}, 0.1, "leaves none of the 2 users"},
		{"too fast", load.Phase{Rate: 2000, Duration: unit.Duration(time.Minute)}, 1000, "rate"},
	} {
		profile := load.Profile{Phases: []load.Phase{tt.phase}}.WithDefaults()
		err := fitsLoad(profile, tt.factor)
		if tt.said == "" && err != nil || tt.said != "" && (err == nil || !strings.Contains(err.Error(), tt.said)) {
			t.Errorf("%s: × %v: %v, want %q", tt.name, tt.factor, err, tt.said)
		}
		if tt.phase.Rate != 0 && profile.Phases[0].Rate != tt.phase.Rate {
			t.Errorf("%s: the load itself was changed to %+v", tt.name, profile.Phases[0])
		}
	}
}
