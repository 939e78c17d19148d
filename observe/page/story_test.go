package page

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// The headline is the verdict of all runs, never of the one that is shown.
func TestVerdictIsOfAllRuns(t *testing.T) {
	run := func(passes ...bool) Run {
		r := &result.Result{}
		for _, pass := range passes {
			r.Checks = append(r.Checks, result.CheckResult{Pass: pass})
		}
		return Run{Result: r}
	}
	incomplete, aborted := run(true), run(true)
	incomplete.Result.Incomplete = true
	aborted.Result.Incomplete, aborted.Result.Aborted = true, &result.Abort{}
	for _, tt := range []struct {
		runs []Run
		want verdict
	}{
		{[]Run{run()}, verdict{"none", "no checks: nothing was judged"}},
		{[]Run{run(), run()}, verdict{"none", "no checks: nothing was judged"}},
		{[]Run{run(true)}, verdict{"pass", "PASSED: 1 check"}},
		{[]Run{run(true, false)}, verdict{"fail", "FAILED: 1 of 2 checks"}},
		{[]Run{run(true, true), run(true, false), run(false)}, verdict{"fail", "FAILED: 2 of 5 checks in 2 of 3 runs"}},
		{[]Run{run(true, true), run(true)}, verdict{"pass", "PASSED: 3 checks in 2 runs"}},
		{[]Run{run(true), incomplete}, verdict{"incomplete", "INCOMPLETE: stopped early in 1 of 2 runs"}},
		{[]Run{run(true), aborted}, verdict{"fail", "ABORTED by its own condition in 1 of 2 runs"}},
	} {
		if got := verdictOf(tt.runs); got != tt.want {
			t.Errorf("got %+v, want %+v", got, tt.want)
		}
	}
}

func TestStoryTellsWhatItIsAbout(t *testing.T) {
	p := lab(2, 1)
	p.Experiment = &experiment.Experiment{Title: "Why", Doc: "Because.", Variants: []experiment.Variant{{Name: "none", Doc: "as it is"}, {Name: "never run"}}}
	value := 3.0
	p.Comparison = &result.Comparison{Seeds: []uint64{1, 2}, RankBy: experiment.Rank{Metric: experiment.P99},
		Ranking:     []result.Ranked{{Variant: "none", Place: 1, Value: &result.Figure{Mean: 2, Low: &value, High: &value}}, {Variant: "breakers", Place: 2}},
		Differences: []result.Difference{{Variant: "breakers", Against: "none", Metric: experiment.Goodput, Low: 1, High: 2, Text: "more"}, {Metric: experiment.Errors}}}
	s := newStory(&p)
	if s.Heading != "Why" || s.Doc != "Because." || len(s.Variants) != 1 || s.Variants[0].Doc != "as it is" || s.Against != "none" && s.Against != "" || len(s.Differences) != 1 {
		t.Errorf("got %+v", s)
	}
	if s.Ranking == nil || s.Ranking.By != "p99, lowest first" || s.Ranking.Rows[0].Value != "2s" || s.Ranking.Rows[0].Interval != "3s to 3s" || s.Ranking.Rows[1].Value != "" {
		t.Errorf("the ranking is %+v", s.Ranking)
	}
}

func TestWindowTableHasTheBusiestServices(t *testing.T) {
	r := &result.Result{}
	if newWindowTable(r) != nil {
		t.Error("a run without windows has a table of them")
	}
	w := result.Window{To: 10, Clients: result.WindowClients{Requests: 7, Outcomes: map[outcome.Class]int64{outcome.OK: 4, outcome.Timeout: 3}}}
	for i := range 9 {
		w.Services = append(w.Services, result.WindowService{Service: string(rune('a' + i)), Requests: int64(i)})
	}
	r.Windows = []result.Window{{To: 10}, w}
	got := newWindowTable(r)
	if len(got.Services) != maxWindowServices || got.Services[0] != "i" || got.Rows[1].Services[0] != 8 || got.Rows[0].Services[0] != 0 || len(got.Classes) != 2 || got.Rows[1].Classes[1] != 3 {
		t.Errorf("got %+v", got)
	}
}

// Variants are first compared by the curve of what is ranked.
func TestCurveOfRank(t *testing.T) {
	for want, ranks := range map[string][]experiment.Rank{
		"good": {{Metric: experiment.Goodput}, {Metric: experiment.Goodput, Phase: "later"}},
		"p50":  {{Metric: experiment.P50}, {Metric: experiment.Mean}},
		"p99":  {{Metric: experiment.P95}, {Metric: experiment.P999}},
		"":     {{Metric: experiment.NoRank}, {Metric: experiment.Requests}, {Metric: experiment.P99, Service: "a"}},
	} {
		for _, r := range ranks {
			if got := curveOf(r); got != want {
				t.Errorf("%+v is shown by curve %q, want %q", r, got, want)
			}
		}
	}
}
