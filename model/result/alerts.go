package result

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

// Alerts says which alerts a Prometheus saw fire during a run.
type Alerts struct {
	// Prometheus is where it listened, Version its version.
	Prometheus string `json:"prometheus"`
	Version    string `json:"version"`
	// Names are the alerts that it evaluated.
	Names []string `json:"names"`
	// Fired are the firings, by their beginning. Those that began before the load are
	// there, too, if they had not ended long before.
	Fired []AlertFiring `json:"fired"`
	// Until is when it was last asked, in seconds since the load started.
	Until float64 `json:"until"`
	// Uncertain is by how many seconds its times may be wrong, because its clock is
	// another.
	Uncertain float64 `json:"uncertain,omitempty"`
	// Trouble says why what is known is not all; empty if it is.
	Trouble string `json:"trouble,omitempty"`
	// UntilAt is Until, as a time.
	UntilAt time.Time `json:"-"`
}

// An AlertFiring is one instance of an alert while it fires.
type AlertFiring struct {
	Alert string `json:"alert"`
	// Labels are those of the instance, without its name.
	Labels map[string]string `json:"labels,omitempty"`
	// FiredAt is the evaluation by which it began to fire, LastAt the last one at which
	// it fired. ResolvedAt is a later one, at which it was known to fire no more; absent
	// where there was none.
	FiredAt    time.Time `json:"firedAt"`
	LastAt     time.Time `json:"lastAt"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	// From, Last and Resolved are the same, in seconds since the load started. Resolved
	// means nothing where ResolvedAt is absent.
	From     float64 `json:"from"`
	Last     float64 `json:"last"`
	Resolved float64 `json:"resolved,omitempty"`
}

// A Detection is the first alert of a name that began to fire while a fault acted.
type Detection struct {
	Alert string `json:"alert"`
	// After is in seconds since the fault was known to act; AfterOrder since it was asked
	// for. The fault began in between.
	After      float64 `json:"after"`
	AfterOrder float64 `json:"afterOrder"`
}

// SetAlerts takes in what a Prometheus saw of the run, and notes at the faults, which are
// known by then, what detected them.
func (r *Result) SetAlerts(a *Alerts) {
	if a == nil || r.LoadStarted.IsZero() {
		return
	}
	since := func(t time.Time) float64 { return t.Sub(r.LoadStarted).Seconds() }
	a.Until = since(a.UntilAt)
	for i := range a.Fired {
		f := &a.Fired[i]
		f.From, f.Last = since(f.FiredAt), since(f.LastAt)
		if !f.ResolvedAt.IsZero() {
			f.Resolved = since(f.ResolvedAt)
		}
	}
	r.Alerts = a
	for i := range r.Faults {
		if f := &r.Faults[i]; f.Applied() {
			f.Detections = a.detections(f)
		}
	}
}

func (a *Alerts) detections(f *FaultRecord) (found []Detection) {
	for _, firing := range a.Fired {
		ended := !f.ClearedAt.IsZero() && firing.From > f.To
		seen := slices.ContainsFunc(found, func(d Detection) bool { return d.Alert == firing.Alert })
		if seen || ended || firing.From < f.AskedFrom {
			continue
		}
		found = append(found, Detection{firing.Alert, max(0, firing.From-f.From), firing.From - f.AskedFrom})
	}
	return found
}

// judgeAlerts judges a check of alerts. named are those that checks name.
func (r *Result) judgeAlerts(judged *CheckResult, c experiment.Condition, named []string) {
	if r.Alerts == nil || r.Alerts.Trouble != "" {
		judged.NotKnown, judged.Why = true, "not known: no Prometheus watched the run"
		if r.Alerts != nil {
			judged.Why = "not known: " + r.Alerts.Trouble
		}
		return
	}
	var value Reading
	var found string
	if c.Metric == experiment.AlertsFired {
		value, found = r.countAlerts(judged.Service, c, named)
	} else {
		var ok bool
		if value, found, ok = r.timeAlert(judged.Service, c); !ok {
			judged.Why = found
			return
		}
	}
	verdict := value.judge(c)
	judged.Pass, judged.NotKnown, judged.Why = verdict == holds, verdict == notKnown, found
	if value.isWide() {
		between := value.between()
		judged.Between = &between
	} else {
		judged.Value = &value.Number
	}
	if judged.NotKnown {
		judged.Why = "not known: " + found
	}
}

// of lists the firings of an alert of a service; without a service, of all.
func (a *Alerts) of(alert, service string) (list []AlertFiring) {
	for _, f := range a.Fired {
		if (alert == "" || f.Alert == alert) && (service == "" || f.Labels["service"] == service) {
			list = append(list, f)
		}
	}
	return list
}

// countAlerts counts the alerts that fired at any time since the load began.
func (r *Result) countAlerts(service string, c experiment.Condition, named []string) (Reading, string) {
	var names []string
	for _, f := range r.Alerts.of("", service) {
		resolved := !f.ResolvedAt.IsZero() && f.Resolved < 0
		if !resolved && !slices.Contains(names, f.Alert) && !(c.Others && slices.Contains(named, f.Alert)) {
			names = append(names, f.Alert)
		}
	}
	found := "none fired"
	if len(names) > 0 {
		found = fmt.Sprintf("fired: %s", strings.Join(names, ", "))
	}
	return exactly(float64(len(names))), found
}

// timeAlert is how long an alert took after a fault, the longest time if the fault had
// rounds; false says that there is no such time.
func (r *Result) timeAlert(service string, c experiment.Condition) (longest Reading, found string, ok bool) {
	for i := range r.Faults {
		f := &r.Faults[i]
		if f.Fault.Name != c.Fault || !f.Applied() {
			continue
		}
		after := r.firesAfter
		if c.Metric == experiment.AlertResolves {
			after = r.resolvesAfter
		}
		v, text, known := after(f, r.Alerts.of(c.Alert, service), c)
		if !known {
			return Reading{}, text, false
		}
		if !ok || v.high > longest.high {
			longest, found = v, text
		}
		ok = true
	}
	if !ok {
		return Reading{}, fmt.Sprintf("no data: fault %q never acted", c.Fault), false
	}
	return longest, found, true
}

// firesAfter is the time from the beginning of a fault, which lies between the order and
// the moment when it was known to act, to the first firing.
func (r *Result) firesAfter(f *FaultRecord, firings []AlertFiring, c experiment.Condition) (Reading, string, bool) {
	for _, firing := range firings {
		if firing.From < f.AskedFrom && (firing.ResolvedAt.IsZero() || firing.Last >= f.AskedFrom) {
			return Reading{}, fmt.Sprintf("%s fired before the fault, since %s into the load", c.Alert, experiment.FormatSeconds(firing.From)), false
		}
		if firing.From >= f.AskedFrom {
			v := r.span(firing.From-f.From, firing.From-f.AskedFrom)
			return v, fmt.Sprintf("%s fired %s after the fault", c.Alert, v.Text(c)), true
		}
	}
	v := Reading{low: max(0, r.Alerts.Until-f.From), high: math.Inf(1)}
	v.Number = v.low
	return v, fmt.Sprintf("%s had not fired %s after the fault, when the run ended", c.Alert, c.Format(v.low)), true
}

// resolvesAfter is the time from the end of a fault to the moment from which no instance
// of the alert fired that had fired before.
func (r *Result) resolvesAfter(f *FaultRecord, firings []AlertFiring, c experiment.Condition) (Reading, string, bool) {
	if f.ClearedAt.IsZero() {
		return Reading{}, fmt.Sprintf("no data: fault %q did not end", c.Fault), false
	}
	fired := false
	v := exactly(0)
	for _, firing := range firings {
		if firing.From > f.To || !firing.ResolvedAt.IsZero() && firing.Resolved < f.AskedFrom {
			continue // of another time
		}
		fired = true
		if firing.ResolvedAt.IsZero() {
			v = Reading{low: max(0, r.Alerts.Until-f.AskedTo), high: math.Inf(1)}
			v.Number = v.low
			return v, fmt.Sprintf("%s still fired %s after the fault, when the run ended", c.Alert, c.Format(v.low)), true
		}
		one := r.span(firing.Last-f.To, firing.Resolved-f.AskedTo)
		v = Reading{max(v.Number, one.Number), max(v.low, one.low), max(v.high, one.high)}
	}
	if !fired {
		return Reading{}, fmt.Sprintf("no data: %s did not fire during the fault", c.Alert), false
	}
	return v, fmt.Sprintf("%s resolved %s after the fault", c.Alert, v.Text(c)), true
}

// span is a time between bounds, which the clock of the Prometheus widens.
func (r *Result) span(low, high float64) Reading {
	low, high = max(0, low-r.Alerts.Uncertain), max(0, high+r.Alerts.Uncertain)
	return Reading{(low + high) / 2, low, high}
}

// namedIn are the alerts that checks name.
func namedIn(checks []experiment.Check) (names []string) {
	for _, check := range checks {
		if c, err := experiment.ParseCheck(check.Expr); err == nil && c.Alert != "" {
			names = append(names, c.Alert)
		}
	}
	return names
}

// Detected returns the fault that an alert detected by this firing, and how many seconds
// after it was known to act: the firing is the first of its alert while the fault acted.
func (r *Result) Detected(firing *AlertFiring) (f *FaultRecord, after float64, ok bool) {
	for i := range r.Faults {
		f := &r.Faults[i]
		for _, d := range f.Detections {
			if d.Alert == firing.Alert && f.AskedFrom+d.AfterOrder == firing.From {
				return f, d.After, true
			}
		}
	}
	return nil, 0, false
}
