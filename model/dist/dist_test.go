package dist

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const ms = unit.Duration(time.Millisecond)

func examples() map[string]Delay {
	return map[string]Delay{
		"fixed":       Fixed(5 * time.Millisecond),
		"uniform":     {Uniform: &Uniform{Min: 10 * ms, Max: 30 * ms}},
		"normal":      {Normal: &Normal{Mean: 50 * ms, StdDev: 5 * ms}},
		"lognormal":   {LogNormal: &LogNormal{P50: 5 * ms, P99: 40 * ms}},
		"exponential": {Exponential: &Exponential{Mean: 20 * ms}},
		"pareto":      {Pareto: &Pareto{Min: 2 * ms, Alpha: 3}},
		"empirical":   {Empirical: []unit.Duration{1 * ms, 2 * ms, 3 * ms, 10 * ms}},
	}
}

// The sample mean of n draws lies within 5 standard errors of the mean.
func TestDrawsHaveTheirMean(t *testing.T) {
	for name, d := range examples() {
		const n = 20000
		var sum, squares float64
		for i := range n {
			v := float64(d.Draw(Seed(1).With(name).WithInt(i)))
			sum, squares = sum+v, squares+v*v
		}
		mean := sum / n
		stderr := math.Sqrt((squares/n - mean*mean) / n)
		if want := float64(d.Mean()); math.Abs(mean-want) > 5*stderr+1 {
			t.Errorf("%s: mean of %d draws is %v, want %v within %v", name, n, time.Duration(mean), d.Mean(), time.Duration(5*stderr))
		}
	}
}

func TestLogNormalMeetsItsPercentiles(t *testing.T) {
	d := examples()["lognormal"]
	for p, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 40 * time.Millisecond} {
		if got := d.Quantile(p); (got - want).Abs() > time.Microsecond {
			t.Errorf("quantile %v = %v, want %v", p, got, want)
		}
	}
}

func TestQuantilesAscendWithinBounds(t *testing.T) {
	for name, d := range examples() {
		last := time.Duration(0)
		for i := range 1000 {
			q := d.Quantile(float64(i) / 1000)
			if q < last || q > Max {
				t.Fatalf("%s: quantile %d/1000 is %v after %v", name, i, q, last)
			}
			last = q
		}
	}
}

func TestChanceIsTrueToItsRate(t *testing.T) {
	for _, p := range []float64{0, 0.01, 0.3, 0.5, 0.999, 1} {
		const n = 100000
		hits := 0
		for i := range n {
			if Seed(7).With("svc").WithInt(i).Chance(p) {
				hits++
			}
		}
		if bound := 4.5 * math.Sqrt(n*p*(1-p)); math.Abs(float64(hits)-n*p) > bound {
			t.Errorf("probability %v hit %d times in %d, want %v within %v", p, hits, n, n*p, bound)
		}
	}
}

func TestKeysDoNotDependOnOrderAndDiffer(t *testing.T) {
	if Seed(1).With("a").With("b") == Seed(1).With("b").With("a") || Seed(1).With("ab") == Seed(1).With("a").With("b") ||
		Seed(1).WithInt(1).WithInt(2) == Seed(1).WithInt(2).WithInt(1) {
		t.Error("different paths lead to the same key")
	}
	seen := map[Key]bool{}
	for seed := range uint64(10) {
		for i := range 10000 {
			seen[Seed(seed).WithInt(i)] = true
		}
	}
	if len(seen) != 100000 {
		t.Errorf("100000 keys, only %d of them different", len(seen))
	}
}

func TestKeysAllocateNothing(t *testing.T) {
	d := examples()["lognormal"]
	if n := testing.AllocsPerRun(100, func() { d.Draw(Seed(1).With("cart").With("request").WithInt(3)) }); n != 0 {
		t.Errorf("a draw allocates %v times", n)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for name, d := range examples() {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got Delay
		if err := json.Unmarshal(text, &got); err != nil || got.String() != d.String() {
			t.Errorf("%s: %s reads back as %v, %v", name, text, got, err)
		}
		if problems := d.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems.Err())
		}
	}
}

func TestValidateNamesMistakes(t *testing.T) {
	for name, d := range map[string]Delay{
		"negative":        Fixed(-time.Second),
		"too long":        Fixed(25 * time.Hour),
		"max below min":   {Uniform: &Uniform{Min: 2 * ms, Max: ms}},
		"no median":       {LogNormal: &LogNormal{P99: ms}},
		"p99 below p50":   {LogNormal: &LogNormal{P50: 2 * ms, P99: ms}},
		"alpha":           {Pareto: &Pareto{Min: ms}},
		"alpha NaN":       {Pareto: &Pareto{Min: ms, Alpha: math.NaN()}},
		"unsorted":        {Empirical: []unit.Duration{2, 1}},
		"no values":       {Empirical: []unit.Duration{}},
		"two at once":     {Fixed: ms, Exponential: &Exponential{Mean: ms}},
		"negative stddev": {Normal: &Normal{Mean: ms, StdDev: -ms}},
	} {
		if len(d.Validate()) == 0 {
			t.Errorf("%s: %v passes", name, d)
		}
	}
	var d Delay
	if err := json.Unmarshal([]byte(`{"gauss":{}}`), &d); err == nil {
		t.Error("an unknown distribution passes")
	}
}
