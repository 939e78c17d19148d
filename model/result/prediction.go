package result

import (
	"fmt"
	"math"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

// A Prediction is what a run in virtual time, of the same experiment and seed, said
// of a real one, and by how much it was wrong.
type Prediction struct {
	// Costs says where the virtual run had from what requests, calls and sleeps take.
	Costs *Costs `json:"costs,omitempty"`
	// Figures are those that both have, of all clients of the whole run.
	Figures []PredictedFigure `json:"figures"`
	// Both counts the requests that had an answer in both runs, and Alike those of
	// them that had the same.
	Both  int `json:"answeredInBoth"`
	Alike int `json:"answeredAlike"`
}

// A PredictedFigure is a figure of a real run beside that of its prediction.
type PredictedFigure struct {
	Name      string               `json:"name"`
	Dimension experiment.Dimension `json:"dimension"`
	Real      float64              `json:"real"`
	Predicted float64              `json:"predicted"`
	// Error is by how much the prediction is higher: as a share of the real figure,
	// of shares in points, as 0.01 for one of a hundred. It is absent where the real
	// figure is 0 and no share.
	Error *float64 `json:"error,omitempty"`
}

// Predict compares a real run with its prediction.
func Predict(actual, predicted *Result) *Prediction {
	p := &Prediction{Costs: predicted.Environment.Costs, Figures: []PredictedFigure{}}
	if len(actual.Segments) == 0 || len(predicted.Segments) == 0 {
		return p
	}
	a, b := &actual.Segments[0].Clients, &predicted.Segments[0].Clients
	p.add("goodput", experiment.PerSecond, a.Goodput, b.Goodput)
	p.add("errors", experiment.Share, shareOf(a.Errors, a.Requests), shareOf(b.Errors, b.Requests))
	if a.Degraded+b.Degraded > 0 {
		p.add("degraded", experiment.Share, shareOf(a.Degraded, a.Requests), shareOf(b.Degraded, b.Requests))
	}
	if a.Latency != nil && b.Latency != nil {
		p.add("p50", experiment.Seconds, a.Latency.P50, b.Latency.P50)
		p.add("p99", experiment.Seconds, a.Latency.P99, b.Latency.P99)
	}
	if actual.Tail != nil && predicted.Tail != nil && actual.Tail.Idle && predicted.Tail.Idle {
		p.add("tail", experiment.Seconds, actual.Tail.Length, predicted.Tail.Length)
	}
	return p
}

func shareOf(n, of int64) float64 { return float64(n) / float64(max(of, 1)) }

func (p *Prediction) add(name string, dimension experiment.Dimension, actual, predicted float64) {
	f := PredictedFigure{Name: name, Dimension: dimension, Real: actual, Predicted: predicted}
	switch {
	case dimension == experiment.Share:
		d := predicted - actual
		f.Error = &d
	case actual != 0:
		d := predicted/actual - 1
		f.Error = &d
	}
	p.Figures = append(p.Figures, f)
}

// Format prints a value of the figure.
func (f *PredictedFigure) Format(v float64) string {
	switch f.Dimension {
	case experiment.Seconds:
		return experiment.FormatSeconds(v)
	case experiment.Share:
		return strconv.FormatFloat(100*v, 'f', 2, 64) + "%"
	default:
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	}
}

// ErrorText prints by how much the prediction is wrong: "+2.2 %", "-0.5 points".
func (f *PredictedFigure) ErrorText() string {
	if f.Error == nil {
		if f.Predicted == f.Real {
			return "none"
		}
		return "of nothing"
	}
	e := 100 * *f.Error
	if math.Abs(e) < 0.05 {
		e = 0 // and not -0.0
	}
	if f.Dimension == experiment.Share {
		return fmt.Sprintf("%+.1f points", e)
	}
	return fmt.Sprintf("%+.1f %%", e)
}

// MeanPrediction compares the means of the runs of a variant with those of their
// predictions, as a Figure has them, so that a comparison shows one mean of each; nil
// if there are none. Figures that only some of the runs have are
// left out.
func MeanPrediction(results []*Result, variant string) *Prediction {
	var runs []*Prediction
	for _, r := range results {
		if r.Variant == variant && r.Prediction != nil {
			runs = append(runs, r.Prediction)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	mean := &Prediction{Costs: runs[0].Costs, Figures: []PredictedFigure{}}
	for _, p := range runs {
		mean.Both, mean.Alike = mean.Both+p.Both, mean.Alike+p.Alike
	}
	for i := range runs[0].Figures {
		first := &runs[0].Figures[i]
		var actual, predicted []float64
		for _, p := range runs {
			for j := range p.Figures {
				if f := &p.Figures[j]; f.Name == first.Name {
					actual, predicted = append(actual, f.Real), append(predicted, f.Predicted)
				}
			}
		}
		if len(actual) == len(runs) {
			mean.add(first.Name, first.Dimension, NewFigure(actual, first.Dimension).Mean, NewFigure(predicted, first.Dimension).Mean)
		}
	}
	return mean
}
