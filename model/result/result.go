// Package result says what an experiment showed: the result with its segments,
// checks and verdicts, the reports of loads, and the comparison of variants.
package result

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// ResultVersion and ResultKind mark result.json.
const (
	ResultVersion = "microsim.dev/v1alpha1"
	ResultKind    = "Result"
)

// A Result says what an experiment showed, and all that is needed to repeat it.
// Its JSON is result.json. Unless a name says otherwise times are UTC, spans in
// seconds, shares from 0 to 1. Fields may be added to it, but not renamed.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// Variant is the name of the variant that was run, where there are some.
	Variant string `json:"variant,omitempty"`
	Seed    uint64 `json:"seed"`
	// Target is where the system ran: local, kind, cluster or virtual.
	Target string `json:"target"`
	// Versions are those of the program and of what it ran on, by name.
	Versions    map[string]string `json:"versions,omitempty"`
	Environment Environment       `json:"environment"`
	// Command repeats the run; the command line fills it in.
	Command string `json:"command,omitempty"`

	// Started is when the deployment began, LoadStarted the zero of all elapsed
	// times, Ended when the load and the watching were over.
	Started     time.Time `json:"started"`
	LoadStarted time.Time `json:"loadStarted,omitzero"`
	Ended       time.Time `json:"ended"`
	// Incomplete is set where the run ended before its end; Why says for what.
	Incomplete bool   `json:"incomplete"`
	Why        string `json:"incompleteBecause,omitempty"`
	// Aborted is set where a condition of the experiment ended the run early.
	Aborted *Abort `json:"aborted,omitempty"`

	// Passed is set where the run is complete and no check failed.
	Passed bool          `json:"passed"`
	Checks []CheckResult `json:"checks"`
	// Faults are the ground truth: what really acted, on what, when.
	Faults []FaultRecord `json:"faults"`
	// Recoveries are the falls of replicas, whatever their reason.
	Recoveries []Recovery `json:"recoveries"`
	// Segments are the whole run, the phases of the load, and the parts before,
	// during and after the faults.
	Segments []Segment   `json:"segments"`
	Load     *LoadReport `json:"load,omitempty"`
	// Tail is absent where the system was not watched after the load.
	Tail *Tail `json:"tail,omitempty"`
	// Windows are the counts in equal stretches, where they were asked for.
	Windows []Window `json:"windows,omitempty"`

	// Timeline has a row for each second of the load. It is kept out of the JSON
	// because timeline.csv has it.
	Timeline []ClientSecond `json:"-"`
}

// Encode writes the result as the JSON of result.json, for people to read, too.
func (r *Result) Encode(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("writing the result of %q: %w", r.Name, err)
	}
	return nil
}

// Environment is the machine that the experiment was driven from.
type Environment struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	// Calibration is what work costs there, if the services ran there.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// A Calibration is what the work of services costs on a processor, in seconds.
type Calibration struct {
	// CPUUnit is the processor time of a unit of CPU (cpuUnits).
	CPUUnit float64 `json:"cpuUnitSeconds"`
	// CPUStep is how much longer than asked work of a given time (cpu) may take,
	// which looks at the clock so often.
	CPUStep float64 `json:"cpuStepSeconds"`
}

func ThisEnvironment() Environment {
	return Environment{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
}

// SegmentKind says what a segment is a part of.
type SegmentKind string

// The kinds of segments.
const (
	WholeRun  SegmentKind = "run"
	LoadPhase SegmentKind = "phase"
	FaultPart SegmentKind = "part"
	TailPart  SegmentKind = "tail"
)

// A Segment is a stretch of the run with what was seen in it. Requests of
// clients belong to it by when they were meant to start; those of services by the
// middle of the interval in which they were counted.
//
// The part before the faults ends when the first is asked for, that during them
// begins when it is known to act and ends when the last is asked to end, and the
// part after them begins when the last is known to be gone. In between, faults
// act on some and not on others, so what started then is in none of these parts;
// except that a request which is under way when the first fault is known to act
// belongs to the part during the faults. Kills and restarts have acted when they
// are known to, so they count from when they were asked for.
type Segment struct {
	Kind SegmentKind `json:"kind"`
	// Name is empty for the whole run.
	Name string `json:"name"`
	// From and To are seconds since the load started.
	From     float64        `json:"from"`
	To       float64        `json:"to"`
	Clients  ClientStats    `json:"clients"`
	Services []ServiceStats `json:"services"`
	Edges    []EdgeStats    `json:"edges"`
}

// ClientStats are what the load's clients saw.
type ClientStats struct {
	// Requests were to be sent; those cut off by the end of the run are left out.
	Requests int64 `json:"requests"`
	// Errors are all of them that did not end well, dropped ones included.
	Errors   int64                   `json:"errors"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
	// Rate is requests that were sent and came to an end, per second.
	Rate float64 `json:"rate"`
	// Latency counts from the intended start; absent where nothing was sent.
	Latency *Latency `json:"latency,omitempty"`
}

// ServiceStats are what a service counted itself, all its replicas together.
type ServiceStats struct {
	Service  string  `json:"service"`
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"`
	Rate     float64 `json:"rate"`
	// Codes counts the requests by HTTP status, or by what became of them.
	Codes   map[string]int64 `json:"codes,omitempty"`
	Latency *Quantiles       `json:"latency,omitempty"`
	// Seconds were watched.
	Seconds float64 `json:"seconds"`
	// Availability is the share of the time in which a replica was ready, Up the
	// mean number of replicas that answered the watcher.
	Availability float64 `json:"availability"`
	Up           float64 `json:"up"`
	// InFlight and QueueLength are the highest seen at any scrape.
	InFlight    int64   `json:"maxInFlight"`
	QueueLength int64   `json:"maxQueueLength"`
	CPUCores    float64 `json:"cpuCores"`
	MemoryBytes int64   `json:"maxMemoryBytes"`
}

// EdgeStats are what one service saw of its calls to another.
type EdgeStats struct {
	Caller   string                  `json:"caller"`
	Callee   string                  `json:"callee"`
	Calls    int64                   `json:"calls"`
	Errors   int64                   `json:"errors"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
	// Attempts counts what was sent for the calls, by outcome.
	Attempts  map[outcome.Class]int64 `json:"attempts,omitempty"`
	Fallbacks int64                   `json:"fallbacks,omitempty"`
	// OpenSeconds is for how long a breaker of the calls was seen open.
	OpenSeconds float64    `json:"openSeconds,omitempty"`
	Rate        float64    `json:"rate"`
	Latency     *Quantiles `json:"latency,omitempty"`
}

// A FaultRecord is the truth about one fault, or one round of it.
type FaultRecord struct {
	ID    string      `json:"id"`
	Label string      `json:"label"`
	Fault fault.Fault `json:"fault"`
	// Round counts from 1 where the fault has rounds; Victim is the service that
	// was drawn, or nobody.
	Round  int    `json:"round,omitempty"`
	Victim string `json:"victim,omitempty"`
	// Replicas are those it acted on, as service/index.
	Replicas []string `json:"replicas"`
	// PlannedFrom and PlannedTo are seconds since the load started.
	PlannedFrom float64 `json:"plannedFrom"`
	PlannedTo   float64 `json:"plannedTo"`
	// OrderedAt is when the fault was asked for, AppliedAt when it was known to
	// act, ClearOrderedAt when its end was asked for, ClearedAt when it was known
	// to be gone.
	OrderedAt      time.Time `json:"orderedAt,omitzero"`
	AppliedAt      time.Time `json:"appliedAt,omitzero"`
	ClearOrderedAt time.Time `json:"clearOrderedAt,omitzero"`
	ClearedAt      time.Time `json:"clearedAt,omitzero"`
	// AskedFrom, From, AskedTo and To are the same, in seconds since the load
	// started. A moment that is absent above is 0 here.
	AskedFrom float64 `json:"askedFrom"`
	AskedTo   float64 `json:"askedTo"`
	From      float64 `json:"from"`
	To        float64 `json:"to"`
	// Hits counts the requests it acted on; -1 where that is not known.
	Hits  int64  `json:"hits"`
	Error string `json:"error,omitempty"`
}

// Applied reports whether the fault acted.
func (f *FaultRecord) Applied() bool { return !f.AppliedAt.IsZero() }

// A Recovery is the fall of a replica and its return.
type Recovery struct {
	Service string `json:"service"`
	Replica int    `json:"replica"`
	// Fault is the id of the fault that brought the replica down; empty where no
	// fault is known to have done it.
	Fault string `json:"fault,omitempty"`
	// DownAt is when the replica could no longer answer, DetectedAt when the
	// watching saw it, ReadyAt when it could answer again; ReadyAt is absent
	// where the run ended before.
	DownAt     time.Time `json:"downAt"`
	DetectedAt time.Time `json:"detectedAt"`
	ReadyAt    time.Time `json:"readyAt,omitzero"`
	// Detection and Took are seconds since DownAt.
	Detection float64 `json:"detection"`
	Took      float64 `json:"took,omitempty"`
}

// A CheckResult is a check, judged.
type CheckResult struct {
	experiment.Check
	// Value and Bound are in the dimension; Value is absent without data.
	Value     *float64             `json:"value,omitempty"`
	Bound     float64              `json:"bound"`
	Dimension experiment.Dimension `json:"dimension"`
	Pass      bool                 `json:"pass"`
	// Why says for people what was found.
	Why string `json:"why"`
}

// A ClientSecond is what the clients saw in one second, or since the last one.
type ClientSecond struct {
	// At is the end of the second, counted from the start of the load.
	At       time.Duration
	Seconds  float64
	Phase    int
	Outcomes map[outcome.Class]int64
	Latency  *Latency
}

// Requests counts the outcomes without those cut off, Errors those of them that
// did not end well.
func (s *ClientSecond) Requests() int64 { return CountRequests(s.Outcomes) }

// Errors counts the requests that did not end well.
func (s *ClientSecond) Errors() int64 { return CountRequests(s.Outcomes) - s.Outcomes[outcome.OK] }

// CountRequests counts outcomes without those that the end of the run cut off.
func CountRequests(outcomes map[outcome.Class]int64) (n int64) {
	for class, count := range outcomes {
		if class != outcome.Cancelled {
			n += count
		}
	}
	return n
}

// An Abort says why a run was ended early, as its experiment asked.
type Abort struct {
	experiment.Check
	// At is in seconds since the load started, Value in the dimension of the
	// condition.
	At    float64 `json:"at"`
	Value float64 `json:"value"`
	Why   string  `json:"why"`
}

// A Tail says how long the system was busy after the load.
type Tail struct {
	// Length is in seconds, from the end of the load until the system was idle:
	// no request in work and none in a queue. Where it was not idle before the
	// watching ended, it is how long it was watched.
	Length float64 `json:"length"`
	Idle   bool    `json:"idle"`
}
