package export

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func runOf(rows ...serviceRow) *Run {
	return &Run{Result: &result.Result{LoadStarted: time.Date(2024, 5, 6, 7, 8, 9, 400e6, time.UTC)}, services: rows}
}

// For any distances of samples, a table has all requests of the run.
func TestNoRequestIsLostInSteps(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var rows []serviceRow
		var at, sum float64
		for at < 60 {
			seconds := 0.9 + random.Float64()/5
			if random.IntN(10) == 0 {
				seconds += 3 // answers were missed
			}
			at += seconds
			n := float64(random.IntN(100))
			sum += n
			rows = append(rows, serviceRow{span: span{at, seconds}, service: "web", up: 1, requests: n, latencies: noLatencies(), memory: 7})
		}
		run := runOf(rows...)
		for _, step := range []time.Duration{time.Second, 5 * time.Second} {
			g, err := NewGrid(run, step)
			if err != nil {
				t.Fatal(err)
			}
			table := NewTable(run, g, metrics("workload", "mem", "latency-50")...)
			if len(table.Columns) != 2 {
				t.Fatalf("columns are %v: one without any value is to be left out", table.Columns)
			}
			var got float64
			for i, v := range table.Columns[1].Values {
				if isKnown(v) {
					got += v * step.Seconds()
				}
				if mem := table.Columns[0].Values[i]; isKnown(mem) && math.Abs(mem-7) > 1e-9 {
					t.Fatalf("the memory of step %d is %v", i, mem)
				}
			}
			if math.Abs(got-sum) > 1e-6 {
				t.Errorf("seed %d, steps of %s: %v of %v requests are in the table", seed, step, got, sum)
			}
		}
	}
}

func TestAnAnswerThatIsMissingIsNoZero(t *testing.T) {
	row := func(at, seconds, n float64) serviceRow {
		return serviceRow{span: span{at, seconds}, service: "web", up: 1, requests: n, latencies: noLatencies()}
	}
	down := serviceRow{span: span{2, 1}, service: "web"}.silent()
	run := runOf(row(1, 1, 10), down, row(4, 2, 8))
	g, err := NewGrid(run, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	values := NewTable(run, g, metrics("workload")...).Columns[0].Values
	if len(values) != 4 || values[0] != 10 || isKnown(values[1]) || values[2] != 4 || values[3] != 4 {
		t.Errorf("the rate of the steps is %v, not 10, unknown, 4, 4", values)
	}
	if g.Moved != 0.4 || g.Start != run.Began().Unix() || g.OfElapsed(2.9) != g.Start+2 {
		t.Errorf("the grid is %+v", g)
	}
}

func TestStepsThatAreNotPossible(t *testing.T) {
	run := runOf(serviceRow{span: span{3, 3}, service: "web"})
	for _, step := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond, time.Minute} {
		if _, err := NewGrid(run, step); err == nil {
			t.Errorf("a step of %s is taken", step)
		}
	}
}
