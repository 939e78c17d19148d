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
		Name: "lab", Title: "What helps", Doc: "Two lines that\nare one.\n\nAnd another.", Confidence: 0.95, Target: "local", Seeds: []uint64{1, 2}, Incomplete: true, Why: "interrupted\nby hand",
		RankBy:  experiment.Rank{Metric: experiment.Requests, Service: "web", Phase: "during"},
		Ranking: []result.Ranked{{Variant: "breakers", Place: 1, Value: figureFor(900, 904)}, {Variant: "late", Place: 2}},
		Variants: []result.VariantSummary{
			{
				Name: "breakers", Planned: 2, Finished: 2, Requests: figureFor(1000, 1100), Offered: figureFor(100), Rate: figureFor(52), Degraded: figureFor(0.25), Goodput: figureFor(50, 52), P50: figureFor(0.1), P99: figureFor(0.5), Tail: figureFor(15),
				Outcomes: map[outcome.Class]*result.Figure{outcome.OK: figureFor(0.99), outcome.Timeout: figureFor(0.01)},
				Checks: []result.CheckSummary{{Check: experiment.Check{Expr: "p99 < 100ms", From: "web", Service: "db", Phase: "during"}, Held: 1, Runs: 2, Why: "p99 500ms"},
					{Check: experiment.Check{Expr: "degraded < 30%"}, Held: 2, Runs: 2, Mean: figureFor(0.25)}},
			},
			{Name: "late", Doc: "Helps too late.", Planned: 2},
		},
		Differences: []result.Difference{{Variant: "late", Against: "breakers", Metric: experiment.Goodput, Low: -0.2, High: -0.1, Text: "lower by 10 to 20 %"},
			{Variant: "late", Against: "breakers", Metric: experiment.Errors, Text: "no difference"}},
		Results: []*result.Result{{Variant: "breakers", Tail: &result.Tail{Length: 15, Idle: true}, Windows: []result.Window{window(0, 500, 0), window(10, 600, 12)}}},
	}
	var b strings.Builder
	if err := Comparison(&b, c, Style{Width: 120}); err != nil {
		t.Fatal(err)
	}
	want := `lab on local, 2 variants, 2 seeds
What helps
Two lines that are one.

And another.
INCOMPLETE: interrupted
            by hand

late
  Helps too late.

VARIANT   RUNS    OFFERED/S  GOOD/S            ERRORS  DEGRADED  P50    P99    TAIL  CHECKS
breakers       2      100.0  51.0                1.00%     25.0%  100ms  500ms  15s   1 of 2
                                       49.0-53.0
late      0 of 2         -        -                -         -      -      -    -        -

Against breakers, seed by seed (95 % intervals)
late  goodput/s  lower by 10 to 20 %

breakers, tail 15 s
FROM  REQUESTS  DB  BREAKER OPEN
0s         500   7             0
10s        600   7            12

Checks
FAIL  breakers  p99 < 100ms of web->db during  held in 1 of 2  p99 500ms
PASS  breakers  degraded < 30%                 held in 2 of 2  25%

Ranking by requests of web in during, highest first
1.  breakers  902 (900-904)
2.  late          -
`
	if fields := strings.Fields(b.String()); strings.Join(fields, " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
