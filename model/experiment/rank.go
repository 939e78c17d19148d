package experiment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Condition returns the rank's figure as the condition of a check.
func (r Rank) Condition() (Condition, error) {
	c := Condition{Metric: r.Metric}
	if r.Metric == NoRank {
		return c, errors.New("nothing is ranked")
	}
	if !slices.Contains(Metrics(), r.Metric) {
		class, ok := classOf(string(r.Metric))
		if !ok {
			return c, fmt.Errorf("figure %q is not known: known are %s", r.Metric, metricNames())
		}
		c.Class, c.Dimension = class, Share
		return c, nil
	}
	switch {
	case r.Metric.IsLatency() || r.Metric.isSpan():
		c.Dimension = Seconds
	case r.Metric.IsRate():
		c.Dimension = PerSecond
	case r.Metric == Attempts:
		c.Dimension = PerCall
	case r.Metric == Requests:
		c.Dimension = Count
	default:
		c.Dimension = Share
	}
	return c, nil
}

// WithDefaults returns the rank with the default figure if it names none.
func (r Rank) WithDefaults() Rank {
	if r.Metric == "" {
		r.Metric = Goodput
	}
	return r
}

// HigherIsBetter reports whether a variant with more of the figure comes first.
func (r Rank) HigherIsBetter() bool {
	if r.Better != "" {
		return r.Better == Higher
	}
	switch r.Metric {
	case "", Offered, Rate, Goodput, Requests, Availability, Metric(outcome.OK):
		return true
	default:
		return false
	}
}

// Figure names the figure, with its subject and phase if these are not the clients
// and the whole run: "requests of leaf in during".
func (r Rank) Figure() string {
	text := r.Metric.Text()
	if r.Service != "" {
		text += " of " + (Check{Service: r.Service, From: r.From}).Subject()
	}
	if r.Phase != "" {
		text += " in " + r.Phase
	}
	return text
}

// Text describes the order: "requests of leaf in during, lowest first". It is empty
// if the variants have no order.
func (r Rank) Text() string {
	if r.Metric == NoRank {
		return ""
	}
	text := r.Figure()
	end := "lowest"
	if r.HigherIsBetter() {
		end = "highest"
	}
	if text += ", " + end + " first"; r.Metric.IsRate() {
		text += "; within 5 %, by p99"
	}
	return text
}

// Text returns the metric's name, with its unit if values are written without one.
func (m Metric) Text() string {
	if m.IsRate() {
		return string(m) + "/s"
	}
	return string(m)
}

// Format prints a value of the figure as people write it.
func (r Rank) Format(value float64) string {
	condition, err := r.WithDefaults().Condition()
	if err != nil {
		return fmt.Sprint(value)
	}
	return condition.Format(value)
}
