package export

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A Label is the truth about a fault of a case, or about a case without faults.
type Label struct {
	// Case names the case in all formats.
	Case string `json:"case"`
	// Experiment, Variant and Seed say which run it is.
	Experiment string `json:"experiment"`
	Variant    string `json:"variant,omitempty"`
	Seed       uint64 `json:"seed"`
	Target     string `json:"target"`
	// Fault is the fault as it was asked for; nil in a normal case.
	Fault *fault.Fault `json:"fault,omitempty"`
	// Type, Service and Edge say what was broken; Edge is empty for faults of
	// services. Service is the root cause: the one called, for a fault of an edge.
	Type    fault.Type `json:"type,omitempty"`
	Service string     `json:"service,omitempty"`
	Edge    string     `json:"edge,omitempty"`
	// Kind is the word of RCAEval for the type, and Metric the figure in which it
	// expects the cause.
	Kind   string `json:"kind,omitempty"`
	Metric string `json:"metric,omitempty"`

	// Planned, Asked and Effective are when the fault was to act, when the target was
	// asked to begin and to end it, and when it was known to act and to be gone.
	Planned   Window `json:"planned,omitzero"`
	Asked     Window `json:"asked,omitzero"`
	Effective Window `json:"effective,omitzero"`
	// InjectTime is the effective start on the clock of the tables, whose steps
	// begin at full seconds.
	InjectTime int64 `json:"injectTime,omitempty"`
	// Moved is by how many seconds the clock of the tables is behind.
	Moved float64 `json:"moved"`
	// Hits counts the requests that the fault acted on; -1 where that is not known.
	Hits int64 `json:"hits"`
	// Impact is what the fault did to the clients; of a normal case it compares the
	// second half of the run with the first.
	Impact *Impact `json:"impact,omitempty"`
}

// A Window is a stretch of time; From and To are seconds since the load began.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	From  float64   `json:"from"`
	To    float64   `json:"to"`
}

func (r *Run) window(from, to float64) Window {
	at := func(s float64) time.Time { return r.Began().UTC().Add(time.Duration(s * 1e9)) }
	return Window{at(from), at(to), from, to}
}

// Moment is for how many seconds the clients are looked at after a fault that acts
// for less than one, such as a kill.
const Moment = 30

// NewLabels makes the labels of a run: one for each of its faults that acted, or one
// that says that it is normal. A fault that was to act and did not is an error.
func NewLabels(r *Run, name string, g Grid) ([]Label, error) {
	res := r.Result
	common := Label{Case: name, Experiment: res.Name, Variant: res.Variant, Seed: res.Seed, Target: res.Target, Moved: g.Moved, Hits: -1}
	if len(res.Faults) == 0 {
		// The halves of a normal run are to be alike.
		impact := r.Impact(0, r.loaded()/2, r.loaded()/2, r.loaded())
		common.Impact = &impact
		return []Label{common}, nil
	}
	first := res.Faults[0].AskedFrom
	for i := range res.Faults {
		f := &res.Faults[i]
		if f.Error != "" {
			return nil, fmt.Errorf("fault %s did not act as planned: %s", f.Label, f.Error)
		}
		first = min(first, f.AskedFrom)
	}
	var labels []Label
	for i := range res.Faults {
		f := &res.Faults[i]
		if !f.Applied() || f.Victim == fault.Nobody {
			continue
		}
		labels = append(labels, r.label(common, f, g, first))
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("none of its %d faults acted", len(res.Faults))
	}
	return labels, nil
}

func (r *Run) label(l Label, f *result.FaultRecord, g Grid, first float64) Label {
	asked := f.Fault
	l.Fault, l.Type, l.Hits = &asked, f.Fault.Type, f.Hits
	l.Service = cmp.Or(f.Victim, f.Fault.Target.Service)
	if f.Fault.Target.From != "" {
		l.Edge = f.Fault.Target.From + "->" + l.Service
	}
	l.Kind, l.Metric = kindOf(f.Fault.Type)
	l.Planned, l.Asked, l.Effective = r.window(f.PlannedFrom, f.PlannedTo), r.window(f.AskedFrom, f.AskedTo), r.window(f.From, f.To)
	entry, _ := fault.Lookup(f.Fault.Type)
	from := f.From
	if entry.Layer == fault.OnProcess {
		from = f.AskedFrom // what it does is done when it is known to have acted
	}
	l.InjectTime = g.OfElapsed(from)
	to := f.AskedTo
	if to < from+1 {
		to = from + Moment
	}
	impact := r.Impact(0, first, from, to)
	l.Impact = &impact
	return l
}

// kindOf gives a type of fault the word that RCAEval has for it, or the type where
// it has none, and the metric in which the cause is expected.
func kindOf(t fault.Type) (kind, metric string) {
	switch t {
	case fault.CPU, fault.CPUStress:
		return "cpu", "cpu"
	case fault.MemoryLeak, fault.MemoryStress:
		return "mem", "mem"
	case fault.Latency, fault.NetDelay:
		return "delay", "latency-90"
	case fault.NetLoss:
		return "loss", "latency-90"
	case fault.IO, fault.IOStress:
		return "disk", "latency-90"
	case fault.Error, fault.Abort, fault.Panic, fault.Corrupt:
		return string(t), "error"
	default:
		return plainName(string(t)), "latency-90"
	}
}

// plainName writes a name without the underscore, at which readers split columns and
// directories.
func plainName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// labelColumns are those of labels.csv, in which an empty cell is what is not known
// or does not apply.
func labelColumns() []string {
	return []string{
		"case", "experiment", "variant", "seed", "target", "type", "kind", "service", "edge", "parameters", "probability",
		"planned_start", "planned_end", "asked_start", "asked_end", "effective_start", "effective_end", "inject_time_s", "hits", "verdict",
		"errors_change", "errors_low", "errors_high", "latency_change", "latency_low", "latency_high", "goodput_change", "goodput_low", "goodput_high",
	}
}

// WriteLabels writes labels.csv.
func WriteLabels(w io.Writer, labels []Label) error {
	out := csv.NewWriter(w)
	_ = out.Write(labelColumns()) // Error tells
	for i := range labels {
		cells, err := labels[i].cells()
		if err != nil {
			return err
		}
		_ = out.Write(cells) // Error tells
	}
	out.Flush()
	return out.Error()
}

func (l *Label) cells() ([]string, error) {
	cells := []string{l.Case, problem.Cell(l.Experiment), problem.Cell(l.Variant), strconv.FormatUint(l.Seed, 10), l.Target}
	if l.Fault == nil {
		return append(cells, slices.Repeat([]string{""}, len(labelColumns())-len(cells))...), nil
	}
	parameters, err := json.Marshal(l.Fault.Args)
	if err != nil {
		return nil, fmt.Errorf("writing the parameters of fault %s: %w", l.Fault.Label(), err)
	}
	cells = append(cells, string(l.Type), l.Kind, l.Service, l.Edge, string(parameters), number(float64(l.Fault.Probability)))
	for _, w := range []Window{l.Planned, l.Asked, l.Effective} {
		cells = append(cells, w.Start.Format(time.RFC3339Nano), w.End.Format(time.RFC3339Nano))
	}
	hits := ""
	if l.Hits >= 0 {
		hits = strconv.FormatInt(l.Hits, 10)
	}
	cells = append(cells, strconv.FormatInt(l.InjectTime, 10), hits, string(l.Impact.Verdict))
	for _, figure := range []string{"errors", "latency", "goodput"} {
		e := l.Impact.Effect(figure)
		if e == nil {
			cells = append(cells, "", "", "")
			continue
		}
		cells = append(cells, number(e.Change), number(e.Low), number(e.High))
	}
	return cells, nil
}

// Effect returns the effect on a figure, or nil where it was not measured.
func (p *Impact) Effect(figure string) *Effect {
	for i := range p.Effects {
		if p.Effects[i].Figure == figure {
			return &p.Effects[i]
		}
	}
	return nil
}

// number writes up to nine digits behind the point; nothing for what is unknown.
func number(v float64) string { return string(appendNumber(nil, v)) }

func appendNumber(to []byte, v float64) []byte {
	if !isKnown(v) {
		return to
	}
	begin := len(to)
	to = strconv.AppendFloat(to, v, 'f', 9, 64)
	for to[len(to)-1] == '0' {
		to = to[:len(to)-1]
	}
	if to[len(to)-1] == '.' {
		to = to[:len(to)-1]
	}
	if string(to[begin:]) == "-0" {
		to = append(to[:begin], '0')
	}
	return to
}
