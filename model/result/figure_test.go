package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// No interval reaches beyond what is possible, and each holds its mean.
func TestIntervalsAreOfPossibleValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		values := make([]float64, 1+random.IntN(5))
		for i := range values {
			if values[i] = math.Exp(4 * random.NormFloat64()); random.IntN(9) == 0 {
				values[i] = 0
			}
		}
		for _, d := range []experiment.Dimension{experiment.Seconds, experiment.PerSecond, experiment.Count, experiment.Share} {
			if d == experiment.Share {
				for i := range values {
					values[i] = min(values[i], 1)
				}
			}
			f := NewFigure(values, d)
			if len(values) == 1 {
				if f.Low != nil || f.High != nil || f.Mean != values[0] {
					t.Fatalf("one value %v gives %+v", values, f)
				}
				continue
			}
			if *f.Low < 0 || d == experiment.Share && *f.High > 1 || *f.Low > f.Mean || f.Mean > *f.High*(1+1e-12) || math.IsNaN(f.Mean) {
				t.Fatalf("%s %v: %v from %v to %v", d, values, f.Mean, *f.Low, *f.High)
			}
		}
	}
	// As `p99 71.7ms±73.1ms` once was.
	if f := NewFigure([]float64{0.038, 0.105, 0.072}, experiment.Seconds); *f.Low < 0.015 || *f.High > 0.3 || math.Abs(f.Mean-0.066) > 0.001 {
		t.Errorf("%v from %v to %v", f.Mean, *f.Low, *f.High)
	}
}

// No more is answered well than was sent: two seeds at 20 requests a second once gave a
// goodput from 0 to 56.
func TestIntervalsOfAnswersEndAtWhatWasSent(t *testing.T) {
	runs := func(rates ...float64) (results []*Result) {
		for _, rate := range rates {
			r := &Result{}
			r.Segments = []Segment{{Kind: WholeRun}}
			results = append(results, r)
			r.Segments[0].Clients = ClientStats{Requests: 100, OfferedRate: 20, Rate: 20, Goodput: rate}
		}
		return results
	}
	s := summarise(experiment.Variant{}, runs(6, 12))
	if s.Goodput == nil || *s.Goodput.High != 20 || *s.Goodput.Low != 0 {
		t.Errorf("goodput is %+v, want an interval up to 20", s.Goodput)
	}
	f, sent := NewFigure([]float64{19, 21}, experiment.PerSecond), NewFigure([]float64{20}, experiment.PerSecond)
	if f.cut(sent); *f.High != 21 {
		t.Errorf("the interval ends at %v, below what a run gave", *f.High)
	}
}

// A 95 % interval of times holds their true median in 95 % of experiments.
func TestIntervalsOfTimesHoldTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 1))
	held := 0
	const experiments = 4000
	for range experiments {
		values := make([]float64, 4)
		for i := range values {
			values[i] = 0.1 * math.Exp(random.NormFloat64())
		}
		if f := NewFigure(values, experiment.Seconds); *f.Low <= 0.1 && 0.1 <= *f.High {
			held++
		}
	}
	if share := float64(held) / experiments; share < 0.94 || share > 0.96 {
		t.Errorf("the intervals held the truth in %v of the experiments", share)
	}
}

func TestDifferencesInWords(t *testing.T) {
	for _, tt := range []struct {
		metric      experiment.Metric
		own, others []float64
		want        string
	}{
		{experiment.P99, []float64{0.085, 0.17, 0.43}, []float64{0.1, 0.2, 0.5}, "faster by 13 to 16 %"},
		{experiment.P99, []float64{0.2, 0.4, 0.8}, []float64{0.1, 0.2, 0.4}, "slower by 100 %"},
		{experiment.P50, []float64{0.1, 0.2, 0.3}, []float64{0.2, 0.1, 0.3}, "no difference seen (-82 % to +459 %)"},
		{experiment.P50, []float64{0.1, 0.5}, []float64{0.2, 0.1}, "no difference seen; 2 seeds are too few to tell"},
		{experiment.P99, []float64{1.5, 1.55, 1.6}, []float64{0.02, 0.021, 0.019}, "slower: 65 to 93 times"},
		{experiment.P99, []float64{2, 3.3}, []float64{0.001, 0.001}, "slower: at least 107 times"},
		{experiment.Goodput, []float64{48, 50}, []float64{48, 50}, "no difference"},
		{experiment.Goodput, []float64{30, 31, 30.5}, []float64{20, 21, 20.4}, "higher by 46 to 52 %"},
		{experiment.Goodput, []float64{0, 0, 0}, []float64{20, 21, 20}, "lower by 18.9/s to 21.8/s"},
		{experiment.Errors, []float64{0.01, 0.02, 0.01}, []float64{0.05, 0.06, 0.05}, "lower by 4 points"},
		{experiment.Errors, []float64{0, 0}, []float64{0, 0}, "no difference"},
		{experiment.TailTime, []float64{3, 3}, []float64{1, 1}, "longer: 3 times"},
	} {
		condition, err := experiment.Rank{Metric: tt.metric}.Condition()
		if err != nil {
			t.Fatal(err)
		}
		d := newDifference(condition, tt.own, tt.others)
		if d.Text != tt.want {
			t.Errorf("%s %v against %v: %q, want %q", tt.metric, tt.own, tt.others, d.Text, tt.want)
		}
		if d.Seen == strings.HasPrefix(d.Text, "no difference") {
			t.Errorf("%s: seen is %v", d.Text, d.Seen)
		}
	}
}

// Pairs are of the same seed: what a seed does to both variants does not hide
// their difference.
func TestDifferencesArePaired(t *testing.T) {
	var results []*Result
	for seed, p99 := range []float64{0.1, 1, 10, 0.3} {
		results = append(results, ranked("slow", seed, 100, p99), ranked("quick", seed, 100, p99*0.8))
	}
	slices.Reverse(results)
	e := &experiment.Experiment{Variants: []experiment.Variant{{Name: "slow"}, {Name: "quick"}}}
	c := Compare(e, e.Variants, []uint64{0, 1, 2, 3}, results, nil)
	found := false
	for _, d := range c.Differences {
		if d.Metric == experiment.P99 {
			found = true
			if d.Variant != "quick" || d.Against != "slow" || d.Pairs != 4 || d.Text != "faster by 20 %" {
				t.Errorf("got %+v", d)
			}
		}
	}
	if !found {
		t.Error("p99 is not compared")
	}
	if c := Compare(e, e.Variants, []uint64{0}, results[:2], nil); len(c.Differences) > 0 {
		t.Errorf("a single seed shows differences: %+v", c.Differences)
	}
}

// A difference says what its figure is of: that of the ranking may be of a phase,
// beside the same figure of the whole run.
func TestDifferencesNameTheirPhase(t *testing.T) {
	var results []*Result
	for seed := range 2 {
		for _, v := range []string{"a", "b"} {
			r := ranked(v, seed, 100, 1)
			later := r.Segments[0]
			later.Kind, later.Name = LoadPhase, "later"
			r.Segments = append(r.Segments, later)
			results = append(results, r)
		}
	}
	e := &experiment.Experiment{Rank: experiment.Rank{Metric: experiment.Goodput, Phase: "later", Better: experiment.Higher}, Variants: []experiment.Variant{{Name: "a"}, {Name: "b"}}}
	var got []string
	for _, d := range Compare(e, e.Variants, []uint64{0, 1}, results, nil).Differences {
		if d.Metric == experiment.Goodput {
			got = append(got, d.Figure())
		}
	}
	if want := []string{"goodput/s in later", "goodput/s"}; !slices.Equal(got, want) {
		t.Errorf("figures %q, want %q", got, want)
	}
	e.Rank.Phase = ""
	if n := len(Compare(e, e.Variants, []uint64{0, 1}, results, nil).Differences); n != 5 {
		t.Errorf("%d differences, want each of 5 figures once", n)
	}
}

func ranked(variant string, seed int, goodput, p99 float64) *Result {
	return &Result{Variant: variant, Seed: uint64(seed), Segments: []Segment{{Kind: WholeRun, To: 1, Clients: ClientStats{
		Requests: 100, Outcomes: map[outcome.Class]int64{outcome.OK: 100}, Goodput: goodput, Rate: goodput, Latency: &Latency{P50: p99 / 2, P99: p99},
	}}}}
}

// Of variants that serve nearly as much, the one that serves in time is better:
// an endless queue serves no less than one with a bound.
func TestRankingDoesNotRewardWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		goodput, p99 []float64
		want         string
	}{
		"an endless queue":       {[]float64{50, 48.2}, []float64{4, 0.1}, "b a"},
		"serves far more":        {[]float64{50, 40}, []float64{4, 0.1}, "a b"},
		"the same in all":        {[]float64{50, 50}, []float64{1, 1}, "a b"},
		"groups begin anew":      {[]float64{50, 48, 46, 20}, []float64{3, 2, 1, 0.1}, "b a c d"},
		"without data are last":  {[]float64{-1, 48, 49}, []float64{1, 2, 1}, "c b a"},
		"the order of the file?": {[]float64{48, 50, 49}, []float64{1, 1, 1}, "b c a"},
	} {
		var variants []experiment.Variant
		var results []*Result
		for i := range tt.goodput {
			v := string(rune('a' + i))
			variants = append(variants, experiment.Variant{Name: v})
			if tt.goodput[i] >= 0 {
				results = append(results, ranked(v, 1, tt.goodput[i], tt.p99[i]))
			}
		}
		var got []string
		for _, r := range Compare(&experiment.Experiment{}, variants, []uint64{1}, results, nil).Ranking {
			got = append(got, r.Variant)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}
