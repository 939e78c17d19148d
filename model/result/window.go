package result

import (
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A Window is what was counted in one of the run's equal stretches, the tail
// included. Unlike segments it counts requests by their end; one that was dropped
// by its intended start.
type Window struct {
	// From and To are seconds since the load started.
	From     float64         `json:"from"`
	To       float64         `json:"to"`
	Clients  WindowClients   `json:"clients"`
	Services []WindowService `json:"services"`
	Edges    []WindowEdge    `json:"edges"`
}

// WindowClients counts what came back to the load's clients.
type WindowClients struct {
	Requests int64                   `json:"requests"`
	Degraded int64                   `json:"degraded,omitempty"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
}

// WindowService counts the requests that a service dealt with.
type WindowService struct {
	Service  string `json:"service"`
	Requests int64  `json:"requests"`
	Errors   int64  `json:"errors"`
	Degraded int64  `json:"degraded,omitempty"`
}

// WindowEdge counts calls by what became of them.
type WindowEdge struct {
	Caller   string                  `json:"caller"`
	Callee   string                  `json:"callee"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
}
