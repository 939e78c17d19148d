// Package search answers questions about a system by experiments on it: the highest
// load that it bears, how figures change with settings, and which faults hurt it
// most. The package chooses the experiments and judges their results; the caller
// runs them.
package search

import (
	"errors"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A Requirement is one condition of a service-level objective: a check that
// bounds a figure from the side on which it gets worse.
type Requirement struct {
	experiment.Check
	Condition experiment.Condition `json:"-"`
}

// ParseRequirement parses a requirement in the words of checks: "p99 < 300ms" for
// clients, "cart: p99 < 50ms" for a service, "web->cart: errors < 1%" for its
// calls.
func ParseRequirement(text string) (Requirement, error) {
	subject, expr, has := strings.Cut(text, ":")
	if !has {
		subject, expr = "", text
	}
	check := experiment.Check{Expr: strings.TrimSpace(expr)}
	if has {
		t, err := fault.ParseTarget(strings.TrimSpace(subject))
		if err != nil || t.Replica != 0 || t.Endpoint != "" {
			return Requirement{}, fmt.Errorf("requirement %q: %q is neither a service (cart: p99 < 50ms) nor a pair of caller and callee (web->cart: errors < 1%%)", text, subject)
		}
		check.Service, check.From = t.Service, t.From
	}
	return newRequirement(check)
}

// RequirementsOf returns those of an experiment's checks that are requirements:
// they bound a figure from the side where it gets worse, at any time of the run.
func RequirementsOf(e *experiment.Experiment) (list []Requirement) {
	for _, check := range e.Checks {
		if r, err := newRequirement(check); err == nil && check.Phase == "" {
			list = append(list, r)
		}
	}
	return list
}

func newRequirement(check experiment.Check) (Requirement, error) {
	c, err := experiment.ParseCheck(check.Expr)
	if err != nil {
		return Requirement{}, err
	}
	if err := suits(check.Expr, c); err != nil {
		return Requirement{}, fmt.Errorf("requirement %q: %w", check.Expr, err)
	}
	return Requirement{check, c}, nil
}

// suits returns an error if a condition is not a requirement; it says what to write
// instead.
func suits(expr string, c experiment.Condition) error {
	_, bound, _ := strings.Cut(expr, c.Op)
	bound = strings.TrimSpace(bound)
	switch {
	case c.Metric.IsAboutAlerts():
		return fmt.Errorf("what alerts do is told by a Prometheus, and not a figure of requests: bound a latency or errors")
	case c.Metric.IsRate() || c.Metric == experiment.Requests:
		return fmt.Errorf("%s grows and falls with the load itself: bound what the load does to a request, such as errors < 1%% or availability > 99%%", c.Metric)
	case c.Metric == experiment.RecoveryTime || c.Metric == experiment.DetectionTime || c.Metric == experiment.TailTime:
		return fmt.Errorf("%s is a time of the whole run, not a figure of its requests: bound a latency or errors", c.Metric)
	}
	if c.Dimension == experiment.Count {
		return fmt.Errorf("a count depends on how long the runs are: write a share, such as %s < 0.1%%", c.Metric)
	}
	want := "<"
	if c.Metric == experiment.Availability || c.Class == outcome.OK {
		want = ">"
	}
	if !strings.HasPrefix(c.Op, want) {
		return fmt.Errorf("%s gets worse on the other side of %s: write %s %s %s", c.Metric, c.Op, c.Metric, want, bound)
	}
	if want == "<" && c.Bound == 0 && c.Op == "<" {
		return fmt.Errorf("nothing is below 0: write %s <= %s", c.Metric, bound)
	}
	if want == ">" && c.Bound == 1 && c.Op == ">" {
		return fmt.Errorf("nothing is above all: write %s >= %s", c.Metric, bound)
	}
	return nil
}

// Text returns the requirement as it is written on the command line.
func (r Requirement) Text() string {
	if r.Service == "" {
		return r.Expr
	}
	return r.Subject() + ": " + r.Expr
}

// Fit returns an error if the system does not have the subjects of the
// requirements.
func Fit(e *experiment.Experiment, requirements []Requirement) error {
	if len(requirements) == 0 {
		return errors.New("there is no requirement")
	}
	judged := *e
	judged.Checks, judged.Variants, judged.AbortOn = nil, nil, nil
	judged.Load = judged.Load.WithDefaults()
	if err := judged.Validate().Err(); err != nil {
		return err
	}
	for _, r := range requirements {
		check := r.Check
		check.Phase = ""
		judged.Checks = []experiment.Check{check}
		if problems := judged.Validate(); problems.Err() != nil {
			for i := range problems {
				problems[i].Path = "" // the text tells more than its place among checks
			}
			return fmt.Errorf("requirement %q: %w", r.Text(), problems.Err())
		}
	}
	return nil
}

// BoundsErrors reports whether a requirement limits the number of failed requests.
// Without one, a system that fails fast meets every bound on latency.
func BoundsErrors(requirements []Requirement) bool {
	for _, r := range requirements {
		if r.Condition.Dimension == experiment.Share && r.Condition.Metric != experiment.Fallbacks && r.Condition.Metric != experiment.Degraded {
			return true
		}
	}
	return false
}

// A reading is the figure of a requirement in one run.
type reading struct {
	// low and high are bounds of the figure; high may be infinite.
	low, high float64
	// n is the number of requests to which a share refers; 0 if the figure is not a
	// share of requests.
	n int64
	// missing says why there is no value.
	missing string
}

// read returns a requirement's figure in the named segment.
func (r Requirement) read(of *result.Result, phase string) reading {
	check := r.Check
	check.Phase = phase
	v, why := of.Value(check, r.Condition)
	if why != "" {
		return reading{missing: why}
	}
	var got reading
	got.low, got.high = v.Bounds()
	if r.Condition.Dimension == experiment.Share {
		got.n = r.requests(of, phase)
	}
	return got
}

// requests returns the number of requests to which a share refers.
func (r Requirement) requests(of *result.Result, phase string) int64 {
	s := segment(of, phase)
	switch {
	case s == nil:
	case r.Service == "":
		return s.Clients.Requests
	case r.From == "" && r.Condition.Metric == experiment.Availability:
		return 0 // a share of time
	case r.From == "":
		for i := range s.Services {
			if s.Services[i].Service == r.Service {
				return s.Services[i].Requests
			}
		}
	default:
		for i := range s.Edges {
			if e := &s.Edges[i]; e.Caller == r.From && e.Callee == r.Service {
				return e.Calls
			}
		}
	}
	return 0
}

// segment returns the segment of a name; nil if the run ended before it.
func segment(of *result.Result, name string) *result.Segment {
	for i := range of.Segments {
		if of.Segments[i].Name == name {
			return &of.Segments[i]
		}
	}
	return nil
}
