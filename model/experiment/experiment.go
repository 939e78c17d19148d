// Package experiment describes experiments: a system, its load, its faults, the
// checks that judge it, and variants of all that.
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
	// Doc says in some paragraphs what to look at, and why. Reports print it.
	Doc    string          `json:"doc,omitempty"`
	Seed   uint64          `json:"seed"`
	System topology.System `json:"system"`
	Load   load.Profile    `json:"load"`
	Faults []fault.Fault   `json:"faults,omitempty"`
	Checks []Check         `json:"checks,omitempty"`
	// Alerts are rules that a Prometheus evaluates while the experiment runs, in place of
	// those that are made from the system.
	Alerts []Alert `json:"alerts,omitempty"`

	// Variants are the forms of the experiment that RunAll compares.
	Variants []Variant `json:"variants,omitempty"`
	// Rank is the figure by which variants are ranked; its zero value means the
	// clients' goodput in the whole run.
	Rank Rank `json:"rank,omitzero"`
	// AbortOn ends the run early as soon as one of its conditions holds. Each is
	// judged every second over the last AbortWindow, of which 0 means
	// DefaultAbortWindow.
	AbortOn     []Check       `json:"abortOn,omitempty"`
	AbortWindow unit.Duration `json:"abortWindow,omitzero"`
	// Tail is how long at most the system is watched after the load, until it is
	// idle. Faults without a duration act until then.
	Tail unit.Duration `json:"tail,omitzero"`
	// Window is the length of the stretches in which requests are counted for
	// the result; 0 means that they are not.
	Window unit.Duration `json:"window,omitzero"`

	// AppliedVariant is the name of the variant that Apply made this of.
	AppliedVariant string `json:"-"`
}

// DefaultAbortWindow is how far back the conditions of AbortOn look.
const DefaultAbortWindow = unit.Duration(5e9)

// NoRank is the metric of a rank by which variants have no order: they show
// something, and none is better.
const NoRank Metric = "none"

// Better is an end of the values of a figure.
type Better string

// The ends of the values.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// A Rank names the figure by which variants are ranked.
type Rank struct {
	// Metric is one that checks know, such as goodput or p99; none ranks nothing.
	Metric Metric `json:"metric"`
	// Better says which end comes first, where it is not the usual one of the
	// figure: fewer requests are better for a service that is asked too much.
	Better Better `json:"better,omitempty"`
	// Service, From and Phase say of what and when, as in a Check.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	Phase   string `json:"phase,omitempty"`
}

// A Check is a condition that the run is judged by.
type Check struct {
	// Expr compares a figure with a bound: "p99 < 300ms", "errors < 1%",
	// "rate >= 50"; or says what an alert has to do: "alert HighErrors fires < 30s after
	// FAULT", "alert HighErrors resolves < 60s after FAULT", "no other alert fires".
	Expr string `json:"check"`
	// Service or, with From, the edge from one service to another whose figure
	// is meant; both empty means what the load's clients saw.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	// Phase is a phase of the load, or before, during or after the faults; empty
	// means the whole run.
	Phase string `json:"phase,omitempty"`
}
