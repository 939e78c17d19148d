package report

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func figureFor(values ...float64) *result.Figure {
	f := &result.Figure{Values: values}
	for _, v := range values {
		f.Mean += v / float64(len(values))
	}
	if len(values) > 1 {
		low, high := f.Mean-2, f.Mean+2
		f.Low, f.High = &low, &high
	}
	return f
}

func TestComparison(t *testing.T) {
	window := func(from float64, requests, open int64) result.Window {
		return result.Window{
			From: from, To: from + 10, Clients: result.WindowClients{Requests: requests},
			Services: []result.WindowService{{Service: "db", Requests: 7}},
			Edges:    []result.WindowEdge{{Caller: "web", Callee: "db", Outcomes: map[outcome.Class]int64{outcome.OK: 7, outcome.BreakerOpen: open}}},
		}
	}
	c := &result.Comparison{
		Name: "lab", Target: "local", Seeds: []uint64{1, 2}, Incomplete: true, Why: "interrupted\nby hand",
		RankBy:  experiment.Rank{Metric: experiment.Requests, Service: "web", Phase: "during"},
		Ranking: []result.Ranked{{Variant: "breakers", Place: 1, Value: figureFor(900, 904)}, {Variant: "late", Place: 2}},
		Variants: []result.VariantSummary{
			{
				Name: "breakers", Planned: 2, Finished: 2, Requests: figureFor(1000, 1100), Goodput: figureFor(50, 52), P50: figureFor(0.1), P99: figureFor(0.5), Tail: figureFor(15),
				Outcomes: map[outcome.Class]*result.Figure{outcome.OK: figureFor(0.99), outcome.Timeout: figureFor(0.01)},
				Checks:   []result.CheckSummary{{Check: experiment.Check{Expr: "p99 < 100ms", From: "web", Service: "db", Phase: "during"}, Held: 1, Runs: 2, Why: "p99 500ms"}},
			},
			{Name: "late", Planned: 2},
		},
		Results: []*result.Result{{Variant: "breakers", Tail: &result.Tail{Length: 15, Idle: true}, Windows: []result.Window{window(0, 500, 0), window(10, 600, 12)}}},
	}
	var b strings.Builder
	if err := Comparison(&b, c, Style{}); err != nil {
		t.Fatal(err)
	}
	want := `lab on local, 2 variants, 2 seeds
INCOMPLETE: interrupted
            by hand

VARIANT   RUNS    REQUESTS    GOOD/S  ERRORS    P50    P99  TAIL  CHECKS
breakers       2     1 050  51.0±2.0   1.00%  100ms  500ms   15s  0 of 1
late      0 of 2         -         -       -      -      -     -       -

breakers, tail 15 s
FROM  REQUESTS  DB  BREAKER OPEN
0s         500   7             0
10s        600   7            12

Checks that did not hold
breakers  held in 1 of 2  p99 < 100ms of web->db during  p99 500ms

Ranking by requests of web in during
1.  breakers  902±2
2.  late          -
`
	if fields := strings.Fields(b.String()); strings.Join(fields, " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
