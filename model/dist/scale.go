package dist

import (
	"math"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Scale returns the delay whose every draw is that of d times a factor, to the
// nanosecond.
func (d Delay) Scale(factor float64) Delay {
	by := func(v unit.Duration) unit.Duration { return unit.Duration(math.Round(float64(v) * factor)) }
	scaled := Delay{Fixed: by(d.Fixed), Empirical: slices.Clone(d.Empirical)}
	if u := d.Uniform; u != nil {
		scaled.Uniform = &Uniform{Min: by(u.Min), Max: by(u.Max)}
	}
	if n := d.Normal; n != nil {
		scaled.Normal = &Normal{Mean: by(n.Mean), StdDev: by(n.StdDev)}
	}
	if l := d.LogNormal; l != nil {
		scaled.LogNormal = &LogNormal{P50: by(l.P50), P99: by(l.P99)}
	}
	if e := d.Exponential; e != nil {
		scaled.Exponential = &Exponential{Mean: by(e.Mean)}
	}
	if p := d.Pareto; p != nil {
		scaled.Pareto = &Pareto{Min: by(p.Min), Alpha: p.Alpha}
	}
	for i := range scaled.Empirical {
		scaled.Empirical[i] = by(scaled.Empirical[i])
	}
	return scaled
}
