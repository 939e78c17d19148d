// Package experiment describes experiments: a system, its load, its faults, the
// checks that judge it, and variants of these.
package experiment

import (
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An Experiment is what a file of kind Experiment describes.
type Experiment struct {
	Name string `json:"name"`
	// Title says in one line what the experiment shows. Reports print it.
	Title string `json:"title,omitempty"`
	// Doc explains in some paragraphs which results are of interest, and why.
	// Reports print it.
	Doc    string          `json:"doc,omitempty"`
	Seed   uint64          `json:"seed"`
	System topology.System `json:"system"`
	Load   load.Profile    `json:"load"`
	Faults []fault.Fault   `json:"faults,omitempty"`
	Checks []Check         `json:"checks,omitempty"`
	// Alerts are rules that a Prometheus evaluates while the experiment runs, in place of
	// the rules that are generated from the system.
	Alerts []Alert `json:"alerts,omitempty"`

	// Variants are the forms of the experiment that RunAll compares.
	Variants []Variant `json:"variants,omitempty"`
	// Rank is the figure by which variants are ranked; its zero value means the
	// clients' goodput in the whole run.
	Rank Rank `json:"rank,omitzero"`
	// AbortOn ends the run early as soon as one of its conditions holds. Each
	// condition is judged every second, for the time of the last abortWindow; 0
	// means 5s.
	AbortOn     []Check       `json:"abortOn,omitempty"`
	AbortWindow unit.Duration `json:"abortWindow,omitzero"`
	// Tail is the longest time for which the system is observed after the load,
	// until it is idle. Faults without a duration act until then.
	Tail unit.Duration `json:"tail,omitzero"`
	// Window is the length of the intervals in which the result counts requests; 0
	// means that it has no such intervals.
	Window unit.Duration `json:"window,omitzero"`

	// AppliedVariant is the name of the variant from which Apply made this
	// experiment.
	AppliedVariant string `json:"-"`
}

// DefaultAbortWindow is the length of the time for which conditions of AbortOn are
// judged.
const DefaultAbortWindow = unit.Duration(5e9)

// NoRank is the metric of a rank without an order: the variants demonstrate
// something, and none is better.
const NoRank Metric = "none"

// Better says whether high or low values of a figure are better.
type Better string

// The values of Better.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// A Rank names the figure by which variants are ranked.
type Rank struct {
	// Metric is a metric of checks, such as goodput or p99; none means no order.
	Metric Metric `json:"metric"`
	// Better says whether high or low values come first, if it is not the usual
	// direction of the figure: fewer requests are better for a service that gets
	// too many.
	Better Better `json:"better,omitempty"`
	// Service, From and Phase say whose figure it is, and of which time, as in a
	// check.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	Phase   string `json:"phase,omitempty"`
}

// A Check is a condition by which the run is judged.
type Check struct {
	// Expr compares a figure with a bound: "p99 < 300ms", "errors < 1%", "rate >= 50";
	// or says how an alert has to behave: "alert HighErrors fires < 30s after FAULT",
	// "alert HighErrors resolves < 60s after FAULT", "no other alert fires".
	Expr string `json:"check"`
	// Service is the service whose figure is judged; with From, the figure is that
	// of the edge from one service to the other. If both are empty, the figure is
	// that of the load's clients.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	// Phase is a phase of the load, or before, during or after the faults; empty
	// means the whole run.
	Phase string `json:"phase,omitempty"`
}
