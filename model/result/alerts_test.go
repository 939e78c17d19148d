package result

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

func at(seconds float64) time.Time { return zero.Add(time.Duration(seconds * 1e9)) }

// A firing lasts from, to the last evaluation, and was seen to be over at another; 0
// stands for never.
func firing(alert, service string, from, last, resolved float64) AlertFiring {
	f := AlertFiring{Alert: alert, Labels: map[string]string{"service": service}, FiredAt: at(from), LastAt: at(last)}
	if resolved != 0 {
		f.ResolvedAt = at(resolved)
	}
	return f
}

// broken is a fault from 10 s to 20 s; it was asked for, and asked to end, half a second
// before.
func broken() FaultRecord {
	return FaultRecord{
		Fault: fault.Fault{Name: "broken"}, OrderedAt: at(9.5), AppliedAt: at(10), ClearOrderedAt: at(19.5), ClearedAt: at(20),
		AskedFrom: 9.5, From: 10, AskedTo: 19.5, To: 20,
	}
}

func TestChecksOfAlerts(t *testing.T) {
	const fires, resolves = "alert A fires < 5s after broken", "alert A resolves < 5s after broken"
	for _, tt := range []struct {
		name    string
		check   string
		service string
		fired   []AlertFiring
		change  func(*Result)
		verdict string // pass, fail or not known
		why     string
	}{
		{"in time", fires, "", []AlertFiring{firing("A", "x", 13, 20, 21)}, nil, "pass", "fired between 3s and 3.5s after the fault"},
		{"late", fires, "", []AlertFiring{firing("A", "x", 15.5, 20, 21)}, nil, "fail", "between 5.5s and 6s"},
		{"in time or late", fires, "", []AlertFiring{firing("A", "x", 14.8, 20, 21)}, nil, "not known", "between 4.8s and 5.3s"},
		{"the first of several", fires, "", []AlertFiring{firing("A", "x", 12, 13, 14), firing("A", "y", 18, 20, 21)}, nil, "pass", "between 2s and 2.5s"},
		{"another alert", fires, "", []AlertFiring{firing("B", "x", 12, 13, 14)}, nil, "fail", "had not fired 30s after the fault, when the run ended"},
		{"another service", fires, "y", []AlertFiring{firing("A", "x", 12, 13, 14)}, nil, "fail", "had not fired"},
		{"its service", fires, "x", []AlertFiring{firing("A", "x", 12, 13, 14)}, nil, "pass", "fired"},
		{"before the fault", fires, "", []AlertFiring{firing("A", "x", 4, 20, 21)}, nil, "fail", "fired before the fault, since 4s"},
		{"long before", fires, "", []AlertFiring{firing("A", "x", 4, 5, 6), firing("A", "x", 12, 13, 14)}, nil, "pass", "fired"},
		{"the run ends too early", fires, "", nil, func(r *Result) { r.Alerts.UntilAt = at(13) }, "not known", "had not fired 3s after"},
		{"a fault that never acted", fires, "", nil, func(r *Result) { r.Faults[0].AppliedAt = time.Time{} }, "fail", "never acted"},
		{"the worst of two rounds", fires, "", []AlertFiring{firing("A", "x", 12, 20, 21), firing("A", "x", 37, 38, 39)}, func(r *Result) {
			second := broken()
			second.AskedFrom, second.From = 29.5, 30
			r.Faults = append(r.Faults, second)
		}, "fail", "between 7s and 7.5s"},
		{"another clock", fires, "", []AlertFiring{firing("A", "x", 13, 20, 21)}, func(r *Result) { r.Alerts.Uncertain = 2 }, "not known", "between 1s and 5.5s"},

		{"resolved", resolves, "", []AlertFiring{firing("A", "x", 13, 22, 23)}, nil, "pass", "resolved between 2s and 3.5s after the fault"},
		{"resolved late", resolves, "", []AlertFiring{firing("A", "x", 13, 27, 28)}, nil, "fail", "between 7s and 8.5s"},
		{"resolved in time or late", resolves, "", []AlertFiring{firing("A", "x", 13, 24, 25)}, nil, "not known", "between 4s and 5.5s"},
		{"resolved before the end", resolves, "", []AlertFiring{firing("A", "x", 13, 15, 16)}, nil, "pass", "resolved 0s after"},
		{"the last of several", resolves, "", []AlertFiring{firing("A", "x", 13, 15, 16), firing("A", "y", 14, 27, 28)}, nil, "fail", "between 7s and 8.5s"},
		{"still firing", resolves, "", []AlertFiring{firing("A", "x", 13, 40, 0)}, nil, "fail", "still fired 20.5s after the fault"},
		{"still firing at an early end", resolves, "", []AlertFiring{firing("A", "x", 13, 22, 0)}, func(r *Result) { r.Alerts.UntilAt = at(22) }, "not known", "still fired 2.5s after"},
		{"did not fire", resolves, "", nil, nil, "fail", "did not fire during the fault"},
		{"fired afterwards", resolves, "", []AlertFiring{firing("A", "x", 25, 26, 27)}, nil, "fail", "did not fire during the fault"},
		{"a fault that did not end", resolves, "", []AlertFiring{firing("A", "x", 13, 22, 23)}, func(r *Result) { r.Faults[0].ClearedAt = time.Time{} }, "fail", "did not end"},

		{"none", "no alert fires", "", nil, nil, "pass", "none fired"},
		{"one", "no alert fires", "", []AlertFiring{firing("A", "x", 13, 22, 23)}, nil, "fail", "fired: A"},
		{"two", "no alert fires", "", []AlertFiring{firing("A", "x", 13, 22, 23), firing("B", "x", 14, 22, 23), firing("B", "y", 14, 22, 23)}, nil, "fail", "fired: A, B"},
		{"of another service", "no alert fires", "y", []AlertFiring{firing("A", "x", 13, 22, 23)}, nil, "pass", "none fired"},
		{"over before the load", "no alert fires", "", []AlertFiring{firing("A", "x", -13, -3, -2)}, nil, "pass", "none fired"},
		{"into the load", "no alert fires", "", []AlertFiring{firing("A", "x", -13, 3, 4)}, nil, "fail", "fired: A"},
		{"no other", "no other alert fires", "", []AlertFiring{firing("A", "x", 13, 22, 23)}, nil, "pass", "none fired"},
		{"another", "no other alert fires", "", []AlertFiring{firing("A", "x", 13, 22, 23), firing("B", "x", 14, 22, 23)}, nil, "fail", "fired: B"},

		{"nobody watched", fires, "", nil, func(r *Result) { r.Alerts = nil }, "not known", "no Prometheus watched the run"},
		{"it died", "no alert fires", "", nil, func(r *Result) { r.Alerts.Trouble = "Prometheus ended" }, "not known", "Prometheus ended"},
	} {
		r := &Result{LoadStarted: zero, Faults: []FaultRecord{broken()}, Alerts: &Alerts{Fired: tt.fired, UntilAt: at(40)}}
		if tt.change != nil {
			tt.change(r)
		}
		r.SetAlerts(r.Alerts)
		check := experiment.Check{Expr: tt.check, Service: tt.service}
		r.Judge([]experiment.Check{check, {Expr: fires}})
		got := r.Checks[0]
		verdict := map[bool]string{true: "pass", false: "fail"}[got.Pass]
		if got.NotKnown {
			verdict = "not known"
		}
		if verdict != tt.verdict || !strings.Contains(got.Why, tt.why) || got.Pass && got.NotKnown {
			t.Errorf("%s: %s, %q; want %s, %q", tt.name, verdict, got.Why, tt.verdict, tt.why)
		}
	}
}

// The ground truth has what detected a fault, and when.
func TestDetections(t *testing.T) {
	r := &Result{LoadStarted: zero, Faults: []FaultRecord{broken()}}
	r.SetAlerts(&Alerts{UntilAt: at(40), Fired: []AlertFiring{
		firing("Early", "x", 5, 30, 31), firing("A", "x", 9.8, 10, 11), firing("B", "x", 12, 13, 14), firing("B", "y", 14, 15, 16), firing("Late", "x", 21, 22, 23),
	}})
	var got []string
	for _, d := range r.Faults[0].Detections {
		got = append(got, fmt.Sprintf("%s %.1f to %.1f", d.Alert, d.After, d.AfterOrder))
	}
	if text := strings.Join(got, ", "); text != "A 0.0 to 0.3, B 2.0 to 2.5" {
		t.Errorf("%s", text)
	}
}
