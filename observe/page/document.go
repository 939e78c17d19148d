package page

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A document is the data of the page, as its program reads it. Times are
// seconds since the load began, spans seconds, shares 0 to 1; null is a figure
// that is not known.
type document struct {
	Title      string              `json:"title"`
	Story      story               `json:"story"`
	Inputs     string              `json:"inputs"`
	Classes    []outcome.Class     `json:"classes"`
	Runs       []runDocument       `json:"runs"`
	Comparison []segmentComparison `json:"comparison"`
	Overlays   []overlay           `json:"overlays"`
	// Processes are absent unless another program than the agent serves something.
	Processes  []processRow `json:"processes,omitempty"`
	Confidence float64      `json:"confidence"`
}

type runDocument struct {
	Variant     string             `json:"variant"`
	Seed        string             `json:"seed"` // a browser's numbers end at 2^53
	Name        string             `json:"name"`
	Target      string             `json:"target"`
	Versions    map[string]string  `json:"versions"`
	Environment result.Environment `json:"environment"`
	Command     string             `json:"command"`
	Started     time.Time          `json:"started"`
	Length      num                `json:"length"`
	Incomplete  bool               `json:"incomplete"`
	Why         string             `json:"why"`
	Standstill  string             `json:"standstill,omitempty"`
	Passed      bool               `json:"passed"`
	Tail        *tailDocument      `json:"tail"`
	Windows     *windowTable       `json:"windows"`
	Prediction  *predictionTable   `json:"prediction,omitempty"`
	// Alerts is absent where no Prometheus watched the run.
	Alerts *alertTable `json:"alerts,omitempty"`
	// Explanation is absent where the run was real.
	Explanation *result.Explanation `json:"explanation,omitempty"`
	Checks      []checkDocument     `json:"checks"`
	Faults      []faultDocument     `json:"faults"`
	Changes     []changeDocument    `json:"changes,omitempty"`
	Recoveries  []recoveryDocument  `json:"recoveries"`
	Segments    []segmentDocument   `json:"segments"`
	Histograms  []*histogram        `json:"histograms"`
	Drawing     drawing             `json:"drawing"`
	Clients     curves              `json:"clients"`
	Services    map[string]curves   `json:"services"`
	// WithoutCurves is how many services were sampled but have no curves here.
	WithoutCurves int `json:"withoutCurves,omitempty"`
}

// A predictionTable is what virtual time said of the run, in texts.
type predictionTable struct {
	Costs string `json:"costs"`
	// Rows are name, real, predicted and error of each figure.
	Rows  [][4]string `json:"rows"`
	Both  int         `json:"both"`
	Alike int         `json:"alike"`
}

func newPredictionTable(p *result.Prediction) *predictionTable {
	if p == nil {
		return nil
	}
	t := &predictionTable{Costs: p.Costs.Text(), Both: p.Both, Alike: p.Alike}
	for i := range p.Figures {
		f := &p.Figures[i]
		t.Rows = append(t.Rows, [4]string{f.Name, f.Format(f.Real), f.Format(f.Predicted), f.ErrorText()})
	}
	return t
}

// An alertTable is what a Prometheus saw fire.
type alertTable struct {
	Fired []alertDocument `json:"fired"`
	// Left is how many more fired; Evaluated how many alerts there are.
	Left      int    `json:"left"`
	Evaluated int    `json:"evaluated"`
	Trouble   string `json:"trouble"`
}

// An alertDocument is one instance of an alert while it fired.
type alertDocument struct {
	Alert    string `json:"alert"`
	Service  string `json:"service"`
	From     num    `json:"from"`
	Last     num    `json:"last"`
	Resolved bool   `json:"resolved"`
	// Fault is the one that it detected first, After the time that this took.
	Fault string `json:"fault"`
	After num    `json:"after"`
}

// maxAlerts bounds the firings on the page; result.json has all.
const maxAlerts = 200

func newAlertTable(r *result.Result) *alertTable {
	if r.Alerts == nil {
		return nil
	}
	t := &alertTable{Fired: []alertDocument{}, Left: max(0, len(r.Alerts.Fired)-maxAlerts), Evaluated: len(r.Alerts.Names), Trouble: r.Alerts.Trouble}
	for i := range r.Alerts.Fired[:min(len(r.Alerts.Fired), maxAlerts)] {
		f := &r.Alerts.Fired[i]
		d := alertDocument{Alert: f.Alert, Service: f.Labels["service"], From: num(f.From), Last: num(f.Last), Resolved: !f.ResolvedAt.IsZero()}
		if fault, after, ok := r.Detected(f); ok {
			d.Fault, d.After = fault.Label, num(after)
		}
		t.Fired = append(t.Fired, d)
	}
	return t
}

type checkDocument struct {
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Phase   string `json:"phase"`
	Pass    bool   `json:"pass"`
	Why     string `json:"why"`
}

type faultDocument struct {
	Label    string   `json:"label"`
	Service  string   `json:"service"`
	Caller   string   `json:"caller"`
	Victim   string   `json:"victim"`
	Round    int      `json:"round"`
	Replicas []string `json:"replicas"`
	Applied  bool     `json:"applied"`
	From     num      `json:"from"`
	To       num      `json:"to"`
	// Moment is set where the fault was over at once, as a kill is; Cleared is
	// false where it was there to the end.
	Moment      bool  `json:"moment"`
	Cleared     bool  `json:"cleared"`
	PlannedFrom num   `json:"plannedFrom"`
	PlannedTo   num   `json:"plannedTo"`
	Hits        int64 `json:"hits"`
	// Gaps say where it did not act all the time.
	Gaps  []string `json:"gaps"`
	Error string   `json:"error"`
}

type recoveryDocument struct {
	Service   string `json:"service"`
	Replica   string `json:"replica"`
	Fault     string `json:"fault"`
	DownAt    num    `json:"downAt"`
	Detected  bool   `json:"detected"`
	Detection num    `json:"detection"`
	Ready     bool   `json:"ready"`
	Took      num    `json:"took"`
}

type segmentDocument struct {
	// Key is the segment's place in the address and in comparisons.
	Key      string                `json:"key"`
	Kind     result.SegmentKind    `json:"kind"`
	Name     string                `json:"name"`
	From     num                   `json:"from"`
	To       num                   `json:"to"`
	Clients  result.ClientStats    `json:"clients"`
	Services []result.ServiceStats `json:"services"`
	Edges    []result.EdgeStats    `json:"edges"`
}

// newDocument gathers what the page shows.
func newDocument(p Page) (*document, error) {
	d := &document{Title: p.Title, Story: newStory(&p), Inputs: p.Inputs, Classes: outcome.Classes(), Confidence: result.Confidence}
	points, interest := pointsPerRun(p.Runs), interestOf(p.Runs)
	for i := range p.Runs {
		run, err := newRunDocument(&p.Runs[i], points, interest)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", i+1, err)
		}
		d.Runs = append(d.Runs, *run)
	}
	d.Comparison, d.Overlays = compare(p.Runs), newOverlays(p.Runs, points)
	d.Processes = processes(p.Runs)
	return d, nil
}

func newRunDocument(run *Run, points int, interest map[string]float64) (*runDocument, error) {
	r := run.Result
	histograms, err := newHistograms(r.Load)
	if err != nil {
		return nil, err
	}
	d := &runDocument{
		Variant: run.Variant, Seed: strconv.FormatUint(run.Seed, 10), Name: r.Name, Target: r.Target, Versions: r.Versions,
		Environment: r.Environment, Command: r.Command, Started: r.Started.UTC(), Length: length(r),
		Incomplete: r.Incomplete, Why: r.Why, Standstill: r.StandstillText(), Passed: r.Passed, Histograms: histograms, Windows: newWindowTable(r), Prediction: newPredictionTable(r.Prediction), Alerts: newAlertTable(r), Explanation: r.Explanation,
		Checks: []checkDocument{}, Faults: []faultDocument{}, Recoveries: []recoveryDocument{}, Segments: []segmentDocument{},
		Drawing: newDrawing(run, interest), Clients: clientCurves(r.Timeline, points), Services: serviceCurves(run.Series, points),
	}
	if run.Series != nil {
		d.WithoutCurves = run.Series.left
	}
	if t := r.Tail; t != nil {
		d.Tail = &tailDocument{num(t.Length), t.Idle}
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		d.Checks = append(d.Checks, checkDocument{Check: c.Expr, Subject: c.Subject(), Phase: c.Phase, Pass: c.Pass, Why: c.Why})
	}
	for i := range r.Faults {
		d.Faults = append(d.Faults, newFaultDocument(&r.Faults[i], d.Length))
	}
	for i := range r.Recoveries {
		v := &r.Recoveries[i]
		d.Recoveries = append(d.Recoveries, recoveryDocument{
			Service: v.Service, Replica: fmt.Sprintf("%s/%d", v.Service, v.Replica), Fault: r.CauseOf(v), DownAt: num(v.DownAt.Sub(r.LoadStarted).Seconds()),
			Detected: !v.DetectedAt.IsZero(), Detection: num(v.Detection), Ready: !v.ReadyAt.IsZero(), Took: num(v.Took),
		})
	}
	d.Changes = changeDocuments(r.Changes)
	for i := range r.Segments {
		s := &r.Segments[i]
		d.Segments = append(d.Segments, segmentDocument{
			Key: segmentKey(s), Kind: s.Kind, Name: s.Name, From: num(s.From), To: num(s.To), Clients: s.Clients, Services: s.Services, Edges: s.Edges,
		})
	}
	return d, nil
}

// A changeDocument is something that was changed by hand while the system ran. At is when
// it was in force or, of one with an error, when it was asked for.
type changeDocument struct {
	At    num    `json:"at"`
	What  string `json:"what"`
	Error string `json:"error,omitempty"`
}

func changeDocuments(changes []result.SystemChange) (list []changeDocument) {
	for i := range changes {
		c := &changes[i]
		at := c.Done
		if c.Error != "" {
			at = c.Asked
		}
		list = append(list, changeDocument{num(at), c.Text(), c.Error})
	}
	return list
}

func newFaultDocument(f *result.FaultRecord, end num) faultDocument {
	d := faultDocument{
		Label: f.Label, Service: cmp.Or(f.Victim, f.Fault.Target.Service), Caller: f.Fault.Target.From, Victim: f.Victim, Round: f.Round,
		Replicas: f.Replicas, Applied: f.Applied(), Moment: isMoment(&f.Fault), From: num(f.From), To: num(f.To), Cleared: !f.ClearedAt.IsZero(),
		PlannedFrom: num(f.PlannedFrom), PlannedTo: num(f.PlannedTo), Hits: f.Hits, Gaps: append([]string{}, f.Gaps...), Error: f.Error,
	}
	switch {
	case d.Moment:
		d.To = d.From
	case !d.Cleared:
		d.To = end
	}
	if d.Replicas == nil {
		d.Replicas = []string{}
	}
	return d
}

// isMoment reports whether a fault is over as soon as it has acted.
func isMoment(f *fault.Fault) bool { return f.Type == fault.Kill || f.Type == fault.Restart }

// segmentKey names a segment: run, part:during, phase:steady.
func segmentKey(s *result.Segment) string {
	if s.Kind == result.WholeRun {
		return string(s.Kind)
	}
	return string(s.Kind) + ":" + s.Name
}

// length is how long the load lasted, in seconds.
func length(r *result.Result) num {
	for i := range r.Segments {
		if r.Segments[i].Kind == result.WholeRun {
			return num(r.Segments[i].To)
		}
	}
	if r.Load != nil {
		return num(r.Load.Elapsed.Seconds())
	}
	return 0
}

// A num is written with four significant digits, which no drawing can show
// more of; one that is not known as null.
type num float64

// MarshalJSON writes the number.
func (n num) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	digits := 4
	if v := math.Abs(v); v >= 1e4 {
		digits = 1 + int(math.Log10(v)) // whole numbers stay whole
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	return strconv.AppendFloat(nil, rounded, 'f', -1, 64), err
}

func unknown() num { return num(math.NaN()) }
