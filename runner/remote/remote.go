// Package remote is the contract between whoever wants load and a program
// elsewhere, such as a pod, that generates a share of it: what the generator is
// told, and the stream in which it tells what became of the load. The paths and
// the other bodies are those of model/control.
package remote

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Job is the whole of a load, of which each generator sends its share.
type Job struct {
	Profile load.Profile `json:"profile"`
	// System has the endpoints of the services that the profile names.
	System topology.System `json:"system"`
	// URLs are the base URLs of services as the generators reach them.
	URLs map[string][]string `json:"urls,omitempty"`
	Seed uint64              `json:"seed"`
	// Of is the number of generators.
	Of int `json:"of"`
	// TraceSample is the share of traces that are kept in any case; 0 makes no spans.
	TraceSample float64 `json:"traceSample,omitempty"`
}

// A Line is one line of a stream. It has outcomes, or the end, or nothing: then
// it only shows that the connection is whole.
type Line struct {
	// Seq numbers the lines with outcomes from 1; a line without any has the
	// number of the last one that had some.
	Seq int64 `json:"seq"`
	// Outcomes are packed, see AppendOutcome.
	Outcomes []byte `json:"outcomes,omitempty"`
	// Before counts the outcomes before this line. Where that is more than were
	// read, the others are no longer there, since nobody asked for them in time.
	Before int64 `json:"before"`
	End    *End  `json:"end,omitempty"`
}

// An End is how the load of one generator ended.
type End struct {
	// Report has counted all outcomes, those that were lost as well.
	Report *result.LoadReport `json:"report,omitempty"`
	// Stopped is set where the load was stopped by control.LoadStopPath.
	Stopped bool `json:"stopped,omitempty"`
	// Error is what else ended the load early.
	Error string `json:"error,omitempty"`
}

const (
	// BatchEvery is how long an outcome waits at most for its line.
	BatchEvery = 100 * time.Millisecond
	// AliveEvery is the longest time between two lines.
	AliveEvery = 2 * time.Second
)
