// Package remote is the contract between a runner and a generator, which is a
// program elsewhere, such as in a pod, that sends a share of the load. It defines
// the job that the generator gets, and the stream in which the generator reports
// the outcomes. Package model/control has the paths and the other bodies.
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

// A Line is one line of a stream. It has outcomes, or the end, or neither. A line
// with neither shows that the connection still works.
type Line struct {
	// Seq numbers the lines with outcomes from 1; a line without outcomes has the
	// number of the last line that had some.
	Seq int64 `json:"seq"`
	// Outcomes are packed, see AppendOutcome.
	Outcomes []byte `json:"outcomes,omitempty"`
	// Before counts the outcomes before this line. If it is more than the reader
	// has got, the generator has discarded the others, because nobody read them in
	// time.
	Before int64 `json:"before"`
	End    *End  `json:"end,omitempty"`
}

// An End is how the load of one generator ended.
type End struct {
	// Report has counted all outcomes, those that were lost as well.
	Report *result.LoadReport `json:"report,omitempty"`
	// Stopped is set where the load was stopped by control.LoadStopPath.
	Stopped bool `json:"stopped,omitempty"`
	// Error is the error that ended the load early; empty if there was none.
	Error string `json:"error,omitempty"`
}

const (
	// BatchEvery is how long an outcome waits at most for its line.
	BatchEvery = 100 * time.Millisecond
	// AliveEvery is the longest time between two lines.
	AliveEvery = 2 * time.Second
)
