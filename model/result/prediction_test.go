package result

import (
	"math"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

func clients(goodput float64, requests, errors int64, p50 float64) *Result {
	r := &Result{Variant: "v", Segments: []Segment{{Clients: ClientStats{Goodput: goodput, Requests: requests, Errors: errors}}}}
	if p50 > 0 {
		r.Segments[0].Clients.Latency = &Latency{P50: p50, P99: 2 * p50}
	}
	return r
}

func TestPredictTellsEachErrorInItsUnit(t *testing.T) {
	texts := func(p *Prediction) map[string]string {
		m := map[string]string{}
		for i := range p.Figures {
			m[p.Figures[i].Name] = p.Figures[i].ErrorText()
		}
		return m
	}
	for name, c := range map[string]struct {
		actual, predicted *Result
		want              map[string]string
	}{
		"all":           {clients(100, 1000, 10, 0.1), clients(110, 1000, 25, 0.09), map[string]string{"goodput": "+10.0 %", "errors": "+1.5 points", "p50": "-10.0 %", "p99": "-10.0 %"}},
		"none":          {clients(100, 1000, 10, 0.1), clients(99.99, 1000, 10, 0.1), map[string]string{"goodput": "+0.0 %", "errors": "+0.0 points", "p50": "+0.0 %", "p99": "+0.0 %"}},
		"of nothing":    {clients(0, 0, 0, 0), clients(3, 10, 0, 0), map[string]string{"goodput": "of nothing", "errors": "+0.0 points"}},
		"both nothing":  {clients(0, 0, 0, 0), clients(0, 0, 0, 0.1), map[string]string{"goodput": "none", "errors": "+0.0 points"}},
		"no figures":    {&Result{}, clients(1, 1, 1, 1), map[string]string{}},
		"all went down": {clients(100, 100, 0, 0.1), clients(0, 100, 100, 0.1), map[string]string{"goodput": "-100.0 %", "errors": "+100.0 points", "p50": "+0.0 %", "p99": "+0.0 %"}},
	} {
		got := texts(Predict(c.actual, c.predicted))
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for figure, want := range c.want {
			if got[figure] != want {
				t.Errorf("%s: error of %s is %q, want %q", name, figure, got[figure], want)
			}
		}
	}
}

func TestMeanPredictionIsOfTheMeans(t *testing.T) {
	a, b, other := clients(100, 10, 1, 0.1), clients(200, 10, 0, 0), clients(1, 1, 1, 1)
	a.Prediction, b.Prediction = Predict(a, clients(110, 10, 1, 0.1)), Predict(b, clients(190, 10, 0, 0.1))
	a.Prediction.Both, a.Prediction.Alike, b.Prediction.Both, b.Prediction.Alike = 10, 9, 20, 18
	other.Variant = "other"
	mean := MeanPrediction([]*Result{a, b, other}, "v")
	if len(mean.Figures) != 2 || mean.Figures[0].Real != 150 || mean.Figures[0].Predicted != 150 || *mean.Figures[0].Error != 0 {
		t.Errorf("the mean is %+v, want goodput 150 of 150, and errors: not all runs have a p50", mean.Figures)
	}
	if mean.Both != 30 || mean.Alike != 27 {
		t.Errorf("%d of %d were alike, want 27 of 30", mean.Alike, mean.Both)
	}
	// Times have a geometric mean, as in the table of the variants.
	for r, p50 := range map[*Result]float64{a: 0.1, b: 0.4} {
		r.Prediction.Figures = nil
		r.Prediction.add("p50", experiment.Seconds, p50, p50/2)
	}
	if got := MeanPrediction([]*Result{a, b}, "v").Figures[0]; math.Abs(got.Real-0.2) > 1e-12 || math.Abs(got.Predicted-0.1) > 1e-12 {
		t.Errorf("the mean of 0.1 and 0.4 s is %v, predicted %v; want 0.2 and 0.1", got.Real, got.Predicted)
	}
	if none := MeanPrediction([]*Result{a, b, other}, "other"); none != nil {
		t.Errorf("a variant without predictions has %+v", none)
	}
}
