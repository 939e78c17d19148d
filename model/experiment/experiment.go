// Package experiment is the use case: deploy a system, load it while faults
// come and go, collect what happens, judge it, and clean up - always. It owns
// the narrow interfaces behind which the places to run stand.
package experiment

import (
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Experiment is what a file of kind Experiment describes.
type Experiment struct {
	Name   string          `json:"name"`
	Seed   uint64          `json:"seed"`
	System topology.System `json:"system"`
	Load   load.Profile    `json:"load"`
	Faults []fault.Fault   `json:"faults,omitempty"`
	Checks []Check         `json:"checks,omitempty"`
}

// A Check is a condition that the run is judged by.
type Check struct {
	// Expr compares a figure with a bound: "p99 < 300ms", "errors < 1%",
	// "rate >= 50".
	Expr string `json:"check"`
	// Service or, with From, the edge from one service to another whose figure
	// is meant; both empty means what the load's clients saw.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	// Phase is a phase of the load, or before, during or after the faults; empty
	// means the whole run.
	Phase string `json:"phase,omitempty"`
}
