// Package export makes data sets of what runs showed: tables of a fixed step, with
// labels that say what was broken, when, and what that did to the clients. The
// formats are those of public data sets, so that programs made for these read ours
// as they are.
package export

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// A Run is what an export is made of: the result of a run, and its rows of each
// second. It comes from a directory (Read) or from a run that goes on (Recorder);
// both give the same.
type Run struct {
	// Name tells the run from others of a data set.
	Name   string
	Result *result.Result
	// Traces and Logs are the paths of the files of spans and of log lines; empty
	// where the run has none.
	Traces, Logs string
	// SystemHash tells apart the systems of runs; empty where it is not known.
	SystemHash string

	services []serviceRow
	edges    []edgeRow
	clients  []clientRow
	// keptTraces, keptSpans and keptLines are what Traces and Logs have, once it is in memory.
	keptTraces []trace.Trace
	keptSpans  []spanRow
	keptLines  []logline.Line
}

// unknown is the value of a figure that nobody knows. It is written as an empty
// cell, never as 0.
func unknown() float64 { return math.NaN() }

func isKnown(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// A span is the stretch of time of a row, in seconds since the load began: the
// seconds before At.
type span struct{ at, seconds float64 }

// latencies are of the requests of a row; unknown where there were none.
type latencies struct{ mean, p50, p90, p95, p99 float64 }

func noLatencies() latencies {
	return latencies{unknown(), unknown(), unknown(), unknown(), unknown()}
}

// A serviceRow is what a service counted itself.
type serviceRow struct {
	span
	service string
	// up is how many replicas answered; with 0 all else is unknown.
	up, replicas               float64
	requests, errors, degraded float64
	latencies
	inFlight, queue, cpu, memory, netIn, netOut float64
}

// An edgeRow is what a caller saw of its calls.
type edgeRow struct {
	span
	caller, callee          string
	calls, errors, attempts float64
	latencies
}

// A clientRow is what the clients saw. Requests, errors and latencies are of the
// requests that were to start then, ended and good of those that ended.
type clientRow struct {
	span
	requests, errors, degraded, offered, ended, good float64
	latencies
}

// Began is the zero of elapsed times.
func (r *Run) Began() time.Time { return r.Result.LoadStarted }

// Services lists the services, in the order of their names.
func (r *Run) Services() []string {
	var names []string
	seen := map[string]bool{}
	for i := range r.services {
		if name := r.services[i].service; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// An Edge is a caller and what it called.
type Edge struct {
	Caller string `json:"caller"`
	Callee string `json:"callee"`
}

// Graph lists the edges on which calls were seen, in the order of their names.
func (r *Run) Graph() []Edge {
	var edges []Edge
	seen := map[Edge]bool{}
	for i := range r.edges {
		e := Edge{r.edges[i].caller, r.edges[i].callee}
		if r.edges[i].calls > 0 && !seen[e] {
			seen[e] = true
			edges = append(edges, e)
		}
	}
	slices.SortFunc(edges, compareEdges)
	return edges
}

func compareEdges(a, b Edge) int {
	if c := strings.Compare(a.Caller, b.Caller); c != 0 {
		return c
	}
	return strings.Compare(a.Callee, b.Callee)
}

// loaded is how many seconds the rows of clients reach.
func (r *Run) loaded() (end float64) {
	for i := range r.clients {
		end = max(end, r.clients[i].at)
	}
	return end
}

// length is how many seconds the rows reach.
func (r *Run) length() float64 {
	end := r.loaded()
	for i := range r.services {
		end = max(end, r.services[i].at)
	}
	return end
}
