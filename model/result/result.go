// Package result says what an experiment showed: the result with its segments,
// checks and verdicts, the reports of loads, and the comparison of variants.
package result

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
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
	// Title and Doc are the experiment's.
	Title string `json:"title,omitempty"`
	Doc   string `json:"doc,omitempty"`
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
	// Changes are those that were made to the system, or to its load, while it ran.
	Changes []SystemChange `json:"changes,omitempty"`
	// Recoveries are the falls of replicas, whatever their reason.
	Recoveries []Recovery `json:"recoveries"`
	// Segments are the whole run, the phases of the load, and the parts before,
	// during and after the faults.
	Segments []Segment `json:"segments"`
	// Processes are those of the services whose replicas are processes on this
	// machine; absent elsewhere.
	Processes []ProcessStats `json:"processes,omitempty"`
	Load      *LoadReport    `json:"load,omitempty"`
	// Explanation says why requests went wrong, as far as a run in virtual time has
	// recorded it; absent in real ones.
	Explanation *Explanation `json:"explanation,omitempty"`
	// Prediction is what a run in virtual time said of this one, where it was asked.
	Prediction *Prediction `json:"prediction,omitempty"`
	// Traces is absent if no spans were gathered.
	Traces *Traces `json:"traces,omitempty"`
	// Logs is absent if no logs were kept.
	Logs *Logs `json:"logs,omitempty"`
	// OTLP is absent if nothing was sent to a collector.
	OTLP *OTLP `json:"otlp,omitempty"`
	// Fluent is absent if no lines of logs were sent by the forward protocol.
	Fluent *Fluent `json:"fluent,omitempty"`
	// Alerts is absent where no Prometheus watched the run.
	Alerts *Alerts `json:"alerts,omitempty"`
	// Standstills are when the program that runs the experiment did not run itself.
	Standstills []Standstill `json:"standstills,omitempty"`
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

// Traces says what was kept of the traces of a run.
type Traces struct {
	// Sample is the share of traces that were to be kept whatever became of the
	// request.
	Sample float64 `json:"sample"`
	// Traces are those kept, Failed those among them with a span that failed.
	Traces int `json:"traces"`
	Failed int `json:"failed"`
	Spans  int `json:"spans"`
	// Lost counts spans that were to be kept and are known to be missing.
	Lost int64 `json:"lost"`
	// Clocks are of the replicas on other machines, whose spans and lines of logs have
	// the times of these.
	Clocks []Clock `json:"clocks,omitempty"`
}

// A Clock says by how many seconds the clock of a replica is ahead of that of the
// program that ran the experiment; the truth is at most Within seconds from Offset.
type Clock struct {
	Service string  `json:"service"`
	Replica int     `json:"replica"`
	Offset  float64 `json:"offset"`
	Within  float64 `json:"within"`
}

// Logs says what was kept of the lines that services logged.
type Logs struct {
	// Requests says whether each request was to be logged.
	Requests bool `json:"requests"`
	Lines    int  `json:"lines"`
	// Share is that of the requests whose lines were kept: less than 1 if there was no
	// room for more. Dropped counts the lines that came and were not kept.
	Share   float64 `json:"share"`
	Dropped int64   `json:"dropped"`
	// Trouble says why more lines are missing, whose number is not known; empty where
	// that is not so.
	Trouble string `json:"trouble,omitempty"`
}

// OTLP says what was sent to an OpenTelemetry collector while the run went on.
type OTLP struct {
	URL    string     `json:"url"`
	Spans  SentCounts `json:"spans"`
	Logs   SentCounts `json:"logs"`
	Points SentCounts `json:"points"`
}

// SentCounts say what became of the items of one kind: Sent were taken by the
// receiver, Refused were not, and Dropped could not be sent. Trouble is what the
// receiver, or the way to it, said last; empty if all went well. Waiting are those of
// a system that still runs.
type SentCounts struct {
	Sent    int64  `json:"sent"`
	Dropped int64  `json:"dropped"`
	Refused int64  `json:"refused"`
	Waiting int64  `json:"waiting,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// Fluent says which lines of logs a receiver of Fluentd's forward protocol has
// acknowledged while the run went on.
type Fluent struct {
	Address string     `json:"address"`
	Lines   SentCounts `json:"lines"`
}

// Environment is the machine that the experiment was driven from.
type Environment struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	// Calibration is what work costs there, if the services ran there.
	Calibration *Calibration `json:"calibration,omitempty"`
	// Costs says where a run in virtual time has from what requests, calls and sleeps
	// take there; absent in a real one.
	Costs *Costs `json:"costs,omitempty"`
	// Stores has the engine of each data store: what answered its operations.
	Stores map[string]topology.Engine `json:"stores,omitempty"`
	// Runtimes has the runtime of each service that another program than the agent
	// serves.
	Runtimes map[string]topology.RuntimeName `json:"runtimes,omitempty"`
}

// UsualCosts are those that runs in virtual time have without a calibration.
const UsualCosts = "defaults"

// Costs say where a run in virtual time has from what things take.
type Costs struct {
	// Of is UsualCosts, or the id of a calibration.
	Of string `json:"of"`
	// Measured is when the calibration was made, and Machine says where; absent
	// without one.
	Measured time.Time `json:"measured,omitzero"`
	Machine  string    `json:"machine,omitempty"`
}

// Text says it for people: "calibrated 2026-01-31 12:00 on linux/amd64, 2 processors".
func (c *Costs) Text() string {
	if c == nil || c.Of == UsualCosts {
		return "usual costs"
	}
	return fmt.Sprintf("calibrated %s on %s", c.Measured.UTC().Format("2006-01-02 15:04"), c.Machine)
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

// A Segment has the figures of a part of the run. The counts of clients are of
// requests that were meant to start in it, the rates are of requests that ended in
// it. A sample of a service belongs to the segment in which the middle of its
// interval lies.
//
// The part before the faults ends when the first fault is asked for. The part
// during them begins when it is known to act, and ends when the last fault is asked
// to end. The part after them begins when the last is known to be gone. Between
// these parts, a fault acts on some requests and not on others, so requests that
// started there belong to none of them; except that a request which is under way
// when the first fault is known to act belongs to the part during the faults. A
// kill or restart counts from when it was asked for, because it is known to act
// only when it is done.
//
// The whole run, the last phase and the last part last until the load's last
// request has ended. The tail begins already with the end of the load, so it
// overlaps with them.
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
	// Degraded ended well, but a fallback took the place of a part, or nothing
	// did, at any hop.
	Errors   int64                   `json:"errors"`
	Degraded int64                   `json:"degraded"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
	// OfferedRate is requests that were to start, per second of the load, by
	// intended start; dropped ones included, and those cut off by the end.
	OfferedRate float64 `json:"offeredRate"`
	// Ended counts the requests that ended in the segment, whenever they started;
	// dropped ones and those cut off by the end did not. Rate is their number per
	// second, Goodput that of those which ended well at every hop: without an
	// error and not degraded.
	Ended   int64   `json:"ended"`
	Rate    float64 `json:"rate"`
	Goodput float64 `json:"goodput"`
	// Latency counts from the intended start; absent where nothing was sent.
	Latency *Latency `json:"latency,omitempty"`
}

// ServiceStats are what a service counted itself, all its replicas together.
type ServiceStats struct {
	Service  string `json:"service"`
	Requests int64  `json:"requests"`
	Errors   int64  `json:"errors"`
	// Degraded were answered well, but a fallback took the place of a part.
	Degraded int64 `json:"degraded"`
	// Rate is requests that ended, per second, Goodput those that ended well at
	// every hop.
	Rate    float64 `json:"rate"`
	Goodput float64 `json:"goodput"`
	// Missed are look-ups of a data store that found nothing, Stale those of its reads
	// that were answered with an older version than there was; nil if not known.
	Missed *int64 `json:"missed,omitempty"`
	Stale  *int64 `json:"stale,omitempty"`
	// Lag and LagSeconds are the highest seen at any scrape: the messages that the group
	// of consumers furthest behind has not consumed, and the age of the oldest of them.
	// They are nil if not known.
	Lag        *int64   `json:"maxLag,omitempty"`
	LagSeconds *float64 `json:"maxLagSeconds,omitempty"`
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
	InFlight    int64 `json:"maxInFlight"`
	QueueLength int64 `json:"maxQueueLength"`
	// CPUCores is processor time per second, NetworkIn and NetworkOut the bytes per
	// second that the connections of the service carried; nil where they are not
	// known.
	CPUCores    *float64 `json:"cpuCores,omitempty"`
	NetworkIn   *float64 `json:"networkIn,omitempty"`
	NetworkOut  *float64 `json:"networkOut,omitempty"`
	MemoryBytes int64    `json:"maxMemoryBytes"`
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
	// Degraded counts calls whose answer was good, but in which a fallback took
	// the place of a part further down.
	Degraded int64 `json:"degraded,omitempty"`
	// OpenSeconds is for how long a breaker of the calls was seen open.
	OpenSeconds float64 `json:"openSeconds,omitempty"`
	// Rate is calls that ended, per second, Goodput those that ended well at
	// every hop.
	Rate    float64    `json:"rate"`
	Goodput float64    `json:"goodput"`
	Latency *Quantiles `json:"latency,omitempty"`
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
	Hits int64 `json:"hits"`
	// Gaps say where it is known not to have acted all the time.
	Gaps []string `json:"gaps,omitempty"`
	// Detections are the alerts that began to fire while it acted.
	Detections []Detection `json:"detections,omitempty"`
	Error      string      `json:"error,omitempty"`
	// Place is the record's index in Result.Faults: by begin as planned, and then as
	// in the file. Faults that begin at one moment are told in any order.
	Place int `json:"-"`
}

// InsertFault adds a record to a list that is in the order of places.
func InsertFault(records []FaultRecord, rec FaultRecord) []FaultRecord {
	at, _ := slices.BinarySearchFunc(records, rec.Place, func(f FaultRecord, place int) int { return cmp.Compare(f.Place, place) })
	return slices.Insert(records, at, rec)
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
	// DownAt is when the replica could no longer answer, DetectedAt when a health
	// check or an observer of the system, such as its supervisor, could tell, and
	// ReadyAt when it could answer again. DetectedAt is absent where none could
	// before the replica was back, ReadyAt where the run ended before.
	DownAt     time.Time `json:"downAt"`
	DetectedAt time.Time `json:"detectedAt,omitzero"`
	ReadyAt    time.Time `json:"readyAt,omitzero"`
	// Detection and Took are seconds since DownAt; Detection means nothing where
	// DetectedAt is absent.
	Detection float64 `json:"detection"`
	Took      float64 `json:"took,omitempty"`
}

// CauseOf names what brought a replica down, as the faults are named elsewhere; empty if
// no fault is known to have done it.
func (r *Result) CauseOf(v *Recovery) string {
	for i := range r.Faults {
		if f := &r.Faults[i]; f.ID == v.Fault && f.Label != "" {
			return f.Label
		}
	}
	return v.Fault
}

// A SystemChange is one that was made to a running system, or to its load, by hand or by
// another program.
type SystemChange struct {
	// What lists the differences, service by service.
	What []string `json:"what"`
	// AskedAt is when it was asked for, DoneAt when every service was as wanted.
	AskedAt time.Time `json:"askedAt"`
	DoneAt  time.Time `json:"doneAt,omitzero"`
	// Asked and Done are the same in seconds since the load began.
	Asked float64 `json:"asked"`
	Done  float64 `json:"done,omitempty"`
	// Load says how the load was changed; absent if the system was.
	Load *LoadChange `json:"load,omitempty"`
	// Elsewhere is set if another program made the change. All times are then of when it
	// was seen, up to a few seconds later.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Error says why the system stayed as it was.
	Error string `json:"error,omitempty"`
}

// Text names what was changed, and who did it if that was another program.
func (c *SystemChange) Text() string {
	text := strings.Join(c.What, "; ")
	if c.Elsewhere {
		text += ", by another program"
	}
	return text
}

// A LoadChange multiplies the rate and the users of a load that runs. Both are factors
// of what the load began with; 0 pauses it.
type LoadChange struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// A CheckResult is a check, judged.
type CheckResult struct {
	experiment.Check
	// Value and Bound are in the dimension; Value is absent without data, and
	// where Between says what is known of it instead.
	Value     *float64             `json:"value,omitempty"`
	Between   *Range               `json:"between,omitempty"`
	Bound     float64              `json:"bound"`
	Dimension experiment.Dimension `json:"dimension"`
	Pass      bool                 `json:"pass"`
	// NotKnown is set where the figure is not known well enough to judge it, so
	// that the check did not pass.
	NotKnown bool `json:"notKnown,omitempty"`
	// Why says for people what was found.
	Why string `json:"why"`
}

// A ClientSecond is what the clients saw in one second, or since the last one.
type ClientSecond struct {
	// At is the end of the second, counted from the start of the load.
	At      time.Duration
	Seconds float64
	Phase   int
	// Outcomes, Latency and Degraded are of the requests that were to start in
	// the second; of one that is told while the run goes on, of those that ended.
	Outcomes map[outcome.Class]int64
	Degraded int64
	Latency  *Latency
	// Ended counts the requests that ended in the second, Good those of them that
	// ended well at every hop.
	Ended, Good int64
}

// Requests counts the outcomes without those cut off, Errors those of them that
// did not end well.
func (s *ClientSecond) Requests() int64 { return CountRequests(s.Outcomes) }

// Errors counts the requests that did not end well.
func (s *ClientSecond) Errors() int64 { return CountRequests(s.Outcomes) - s.Outcomes[outcome.OK] }

// OfferedRate is requests that were to start, per second, by intended start;
// dropped ones and those cut off by the end included.
func (s *ClientSecond) OfferedRate() float64 {
	return float64(s.Requests()+s.Outcomes[outcome.Cancelled]) / s.Seconds
}

// Rate is requests that ended, per second, by their end.
func (s *ClientSecond) Rate() float64 { return float64(s.Ended) / s.Seconds }

// Goodput is requests that ended well at every hop, per second, by their end.
func (s *ClientSecond) Goodput() float64 { return float64(s.Good) / s.Seconds }

// CountRequests counts outcomes without those that the end of the run cut off.
func CountRequests(outcomes map[outcome.Class]int64) (n int64) {
	for class, count := range outcomes {
		if class != outcome.Cancelled {
			n += count
		}
	}
	return n
}

// Ended reports whether a request of a class was sent and came to an end of its
// own: it was not dropped, nor cut off by the end of the run.
func Ended(class outcome.Class) bool { return class != outcome.Dropped && class != outcome.Cancelled }

// CountEnded counts outcomes without dropped requests and those that the end of
// the run cut off.
func CountEnded(outcomes map[outcome.Class]int64) (n int64) {
	for class, count := range outcomes {
		if Ended(class) {
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
