//go:build truth

package truth

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// ended is how many requests a rate stands for.
func ended(s *result.Segment, rate float64) float64 { return rate * (s.To - s.From) }

// A service that can answer 20 requests a second is asked for 50. The file says
// what is offered, the service itself what it served.
func TestRatesOfAnOverloadedService(t *testing.T) {
	r := run(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: overloaded
system: {services: [{name: a, workers: 1, work: {sleep: 50ms}}]}
load: {rate: 50, duration: `+size("3s", "20s")+`, maxInFlight: 10}
`)
	whole, asked := &r.Segments[0], size(150., 1000.)
	c, a, report := &whole.Clients, serviceOf(t, r, "a"), &r.Load.Total
	compare(t,
		figure{name: "offered per second", truth: 50, shown: c.OfferedRate, within: 1e-9},
		figure{name: "requests", truth: asked, shown: float64(c.Requests)},
		figure{name: "rate against what is possible", truth: 20, shown: c.Rate, within: 0.1},
		figure{name: "ended", truth: float64(a.Requests), shown: float64(c.Ended)},
		figure{name: "ended by the rate", truth: float64(a.Requests), shown: ended(whole, c.Rate), within: 1e-9},
		figure{name: "good by the goodput", truth: float64(a.Requests), shown: ended(whole, c.Goodput), within: 1e-9},
		figure{name: "dropped", truth: asked - float64(a.Requests), shown: float64(c.Outcomes[outcome.Dropped])},
		figure{name: "load report offered", truth: c.OfferedRate, shown: report.OfferedRate, within: 1e-9},
		figure{name: "load report rate", truth: c.Rate, shown: report.Rate, within: 1e-9},
		figure{name: "load report goodput", truth: c.Goodput, shown: report.Goodput, within: 1e-9},
	)
}

// A fault counts the requests that it fails, each of which a fallback replaces
// two services above.
func TestDegradedAnswers(t *testing.T) {
	r := run(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: degraded
system:
  services:
    - {name: front, calls: [{to: middle}]}
    - {name: middle, calls: [{to: back, fallback: {kind: empty}}]}
    - {name: back}
load: {rate: 100, duration: `+size("2s", "10s")+`}
faults: [{type: error, target: back, probability: 0.3}]
`)
	whole, hits, asked := &r.Segments[0], 0., size(200., 1000.)
	for i := range r.Faults {
		hits += float64(r.Faults[i].Hits)
	}
	if hits == 0 {
		t.Fatalf("the fault failed no request: %+v", r.Faults)
	}
	c := &whole.Clients
	figures := []figure{
		{name: "clients, errors", truth: 0, shown: float64(c.Errors)},
		{name: "clients, degraded", truth: hits, shown: float64(c.Degraded)},
		{name: "clients, good by the goodput", truth: asked - hits, shown: ended(whole, c.Goodput), within: 1e-9},
		{name: "load report, degraded", truth: hits, shown: float64(r.Load.Total.Degraded)},
		{name: "load report, good", truth: asked - hits, shown: float64(r.Load.Total.Good)},
		{name: "back, errors", truth: hits, shown: float64(serviceOf(t, r, "back").Errors)},
		{name: "middle, degraded", truth: hits, shown: float64(serviceOf(t, r, "middle").Degraded)},
		{name: "front, degraded", truth: hits, shown: float64(serviceOf(t, r, "front").Degraded)},
	}
	for i := range whole.Edges {
		switch e := &whole.Edges[i]; e.Callee {
		case "back":
			figures = append(figures, figure{name: "middle to back, fallbacks", truth: hits, shown: float64(e.Fallbacks)})
		case "middle":
			figures = append(figures, figure{name: "front to middle, degraded", truth: hits, shown: float64(e.Degraded)})
		}
	}
	compare(t, figures...)
}
