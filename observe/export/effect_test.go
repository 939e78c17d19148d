package export

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// clients is a run whose clients see a share of errors and a latency, other ones from
// a second on.
func clients(random *rand.Rand, seconds int, at int, errors, latency [2]float64) *Run {
	r := &Run{Result: &result.Result{}}
	for i := range seconds {
		part := 0
		if i >= at {
			part = 1
		}
		row := clientRow{span: span{float64(i + 1), 1}, requests: 50, offered: 50, ended: 50, latencies: noLatencies()}
		for range 50 {
			if random.Float64() < errors[part] {
				row.errors++
			}
		}
		row.good = 50 - row.errors
		row.mean = latency[part] * math.Exp(random.NormFloat64()/10)
		r.clients = append(r.clients, row)
	}
	return r
}

func TestImpact(t *testing.T) {
	for _, c := range []struct {
		name            string
		errors, latency [2]float64
		want            Verdict
		seen            string
	}{
		{"nothing", [2]float64{0.01, 0.01}, [2]float64{0.1, 0.1}, None, ""},
		{"errors", [2]float64{0, 0.1}, [2]float64{0.1, 0.1}, Effective, "errors"},
		{"slower", [2]float64{0, 0}, [2]float64{0.1, 0.2}, Effective, "latency"},
		{"faster, which counts as well", [2]float64{0, 0}, [2]float64{0.1, 0.05}, Effective, "latency"},
		{"less than matters", [2]float64{0, 0}, [2]float64{0.1, 0.101}, None, ""},
	} {
		p := clients(rand.New(rand.NewPCG(1, 1)), 120, 60, c.errors, c.latency).Impact(0, 60, 60, 120)
		if p.Verdict != c.want || p.NormalSeconds != 60 || p.FaultySeconds != 60 || len(p.Effects) != 3 {
			t.Errorf("%s: %+v", c.name, p)
		}
		if c.seen != "" && !p.Effect(c.seen).Seen {
			t.Errorf("%s: the effect on %s is not seen: %+v", c.name, c.seen, p.Effects)
		}
	}
	short := clients(rand.New(rand.NewPCG(1, 1)), 2, 1, [2]float64{0, 1}, [2]float64{1, 1}).Impact(0, 1, 1, 2)
	if short.Verdict != Unknown || short.Why == "" || len(short.Effects) != 0 {
		t.Errorf("one second is enough: %+v", short)
	}
}

// Without a change, an effect is seen in at most 5 of 100 runs. With one, the
// intervals hold the true effect.
func TestIntervalsHoldTheTruth(t *testing.T) {
	const runs = 400
	seen, held := 0, map[string]int{}
	for i := range uint64(runs) {
		random := rand.New(rand.NewPCG(i, 3))
		if clients(random, 200, 100, [2]float64{0.02, 0.02}, [2]float64{0.1, 0.1}).Impact(0, 100, 100, 200).Verdict != None {
			seen++
		}
		p := clients(random, 200, 100, [2]float64{0.02, 0.06}, [2]float64{0.1, 0.15}).Impact(0, 100, 100, 200)
		for figure, truth := range map[string]float64{"errors": 0.04, "latency": 0.5, "goodput": 0.94/0.98 - 1} {
			if e := p.Effect(figure); e.Low <= truth && truth <= e.High {
				held[figure]++
			}
		}
	}
	if seen > runs/20 {
		t.Errorf("an effect is seen in %d of %d runs without any", seen, runs)
	}
	for figure, n := range held {
		if n < runs*95/100 {
			t.Errorf("the interval of %s holds the truth in %d of %d runs", figure, n, runs)
		}
	}
}
