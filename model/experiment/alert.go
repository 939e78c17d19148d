package experiment

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An Alert is a rule of Prometheus that the experiment tests.
type Alert struct {
	// Name is the name of the alert, such as HighErrors.
	Name string `json:"alert"`
	// Expr is the expression, in PromQL; the alert fires while it has a value. It uses the
	// metrics of services, with the labels system, service and replica.
	Expr string `json:"expr"`
	// For is how long the expression has to have a value before the alert fires.
	For unit.Duration `json:"for,omitzero"`
}

// The metrics of checks of alerts, whose values a Prometheus gives.
const (
	// AlertFires is the time from the beginning of a fault until an alert fires.
	// AlertResolves is the time from the end of a fault until no instance of the
	// alert fires.
	AlertFires    Metric = "fires"
	AlertResolves Metric = "resolves"
	// AlertsFired is the number of alerts that fired at any time of the run: among all
	// alerts, or among those that no other check names.
	AlertsFired Metric = "alerts"
)

// alertName matches the names of alerts that Prometheus accepts.
var alertName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// IsAboutAlerts reports whether a Prometheus gives the values of the metric.
func (m Metric) IsAboutAlerts() bool {
	return m == AlertFires || m == AlertResolves || m == AlertsFired
}

// IsAboutAlerts reports whether a Prometheus judges the check.
func (c Check) IsAboutAlerts() bool {
	words := strings.Fields(strings.ToLower(c.Expr))
	return len(words) > 1 && (words[0] == "alert" || words[0] == "no")
}

// AboutAlerts returns the checks of the experiment and of its variants that a
// Prometheus judges.
func (e *Experiment) AboutAlerts() (checks []Check) {
	all := slices.Clone(e.Checks)
	for i := range e.Variants {
		all = append(all, e.Variants[i].Checks...)
	}
	return slices.DeleteFunc(all, func(c Check) bool { return !c.IsAboutAlerts() })
}

// NeedsPrometheus names the part of the experiment that needs a Prometheus; empty if no
// part does.
func (e *Experiment) NeedsPrometheus() string {
	if about := e.AboutAlerts(); len(about) > 0 {
		return fmt.Sprintf("the check %q is judged by a Prometheus", about[0].Expr)
	}
	if len(e.Alerts) > 0 {
		return fmt.Sprintf("the alert %q is evaluated by a Prometheus", e.Alerts[0].Name)
	}
	for i := range e.Variants {
		if alerts := e.Variants[i].Alerts; len(alerts) > 0 {
			return fmt.Sprintf("the alert %q is evaluated by a Prometheus", alerts[0].Name)
		}
	}
	return ""
}

const alertForms = "write alert HighErrors fires < 30s after FAULT, alert HighErrors resolves < 60s after FAULT, no alert fires, or no other alert fires"

// parseAlertCheck parses a check of alerts.
func parseAlertCheck(expr string) (Condition, error) {
	switch strings.Join(strings.Fields(strings.ToLower(expr)), " ") {
	case "no alert fires":
		return Condition{Metric: AlertsFired, Op: "==", Dimension: Count}, nil
	case "no other alert fires":
		return Condition{Metric: AlertsFired, Op: "==", Dimension: Count, Others: true}, nil
	}
	words := strings.Fields(spaced(expr))
	bad := fmt.Errorf("check %q is not one of alerts: %s", expr, alertForms)
	if len(words) < 7 || !strings.EqualFold(words[0], "alert") || !strings.EqualFold(words[5], "after") {
		return Condition{}, bad
	}
	c := Condition{Metric: Metric(strings.ToLower(words[2])), Alert: words[1], Op: words[3], Dimension: Seconds, Fault: strings.Join(words[6:], " ")}
	switch {
	case c.Metric != AlertFires && c.Metric != AlertResolves:
		return Condition{}, bad
	case !alertName.MatchString(c.Alert):
		return Condition{}, fmt.Errorf("check %q: %q cannot name an alert; use letters, digits and _", expr, c.Alert)
	case c.Op != "<" && c.Op != "<=":
		return Condition{}, fmt.Errorf("check %q compares by %q, but an alert has to come soon: write <", expr, c.Op)
	}
	bound, err := unit.ParseDuration(words[4])
	if err != nil {
		return Condition{}, fmt.Errorf("check %q: %w", expr, err)
	}
	if bound <= 0 {
		return Condition{}, fmt.Errorf("check %q leaves the alert no time: write a duration such as 30s", expr)
	}
	c.Bound = bound.Seconds()
	return c, nil
}

// comparison is an operator in a check of alerts, with the spaces around it.
var comparison = regexp.MustCompile(`\s*([<>=!]+)\s*`)

// spaced returns an expression with spaces around its operator: fires < 30s for
// fires<30s.
func spaced(expr string) string { return comparison.ReplaceAllString(expr, " $1 ") }

// alertText writes a condition on an alert with another bound, in seconds.
func (c Condition) alertText(bound float64) string {
	return fmt.Sprintf("alert %s %s %s %ss after %s", c.Alert, c.Metric, c.Op, strconv.FormatFloat(bound, 'f', -1, 64), c.Fault)
}

// checkAlerts checks the alerts of the experiment.
func (v *validator) checkAlerts() {
	named := map[string]int{}
	for i := range v.experiment.Alerts {
		a := &v.experiment.Alerts[i]
		path := problem.Index("alerts", i)
		if !alertName.MatchString(a.Name) {
			v.problems.AddHint(path+".alert", "use letters, digits and _", "%q cannot name an alert", a.Name)
		}
		if j, dup := named[a.Name]; dup {
			v.problems.AddHint(path+".alert", "give each alert its own name", "alert %q is already described at alerts[%d]", a.Name, j)
			continue
		}
		named[a.Name] = i
		if strings.TrimSpace(a.Expr) == "" {
			v.problems.AddHint(path+".expr", "write an expression in PromQL", "alert %q has no expression", a.Name)
		}
		if a.For < 0 {
			v.problems.AddHint(path+".for", "write a duration such as 5s, or leave it out", "a time of %s is not possible", a.For)
		}
	}
}

// checkFaultOf refuses a check of a fault that the experiment does not have.
func (v *validator) checkFaultOf(path string, c Condition) {
	var known []string
	for i := range v.experiment.Faults {
		name := v.experiment.Faults[i].Name
		if name == c.Fault {
			return
		}
		if name != "" {
			known = append(known, name)
		}
	}
	hint := "give the fault this name"
	if len(known) > 0 {
		hint = "known are " + strings.Join(known, ", ")
	}
	v.problems.AddHint(path+".check", problem.DidYouMean(c.Fault, known, hint), "there is no fault with the name %q", c.Fault)
}
