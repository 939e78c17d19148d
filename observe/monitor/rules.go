package monitor

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// The names of the alerts of Rules.
const (
	QueueSaturated   = "QueueSaturated"
	WorkersSaturated = "WorkersSaturated"
	BreakerOpen      = "BreakerOpen"
	ServiceDown      = "ServiceDown"
)

// The values of a breaker's state.
const breakerIsOpen = 2

// nearlyFull is the share of a bound from which a queue counts as saturated.
const nearlyFull = 0.8

// Rules are groups of rules, in the form of Prometheus's rule files and of the spec of a
// PrometheusRule.
type Rules struct {
	Groups []Group `json:"groups" yaml:"groups"`
}

// A Group has rules that are evaluated one after the other.
type Group struct {
	Name string `json:"name" yaml:"name"`
	// Interval is how often, as PromQL writes times.
	Interval string `json:"interval,omitempty" yaml:"interval,omitempty"`
	Rules    []Rule `json:"rules" yaml:"rules"`
}

// A Rule is an alert: it fires while the expression has had a value for some time. Rules
// with the same alert have different labels, as promtool wants it.
type Rule struct {
	Alert       string            `json:"alert" yaml:"alert"`
	Expr        string            `json:"expr" yaml:"expr"`
	For         string            `json:"for,omitempty" yaml:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty" yaml:"annotations,omitempty"`
}

// YAML is the text of a rule file.
func (r *Rules) YAML() ([]byte, error) { return writeYAML(r) }

func writeYAML(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return b.Bytes(), encoder.Close()
}

// RulesOf are the alerts on a system: on error budgets, full queues, busy workers, open
// breakers and services that are away. Of bounds that a service does not have there is
// no alert.
func RulesOf(system *topology.System, o Options) *Rules {
	q := query{system.Name}
	g := Group{Name: "microsim-" + system.Name, Interval: Span(o.Interval)}
	for _, b := range o.burns() {
		g.Rules = append(g.Rules, burnRule(q, o, b))
	}
	g.Rules = append(g.Rules, saturation(q, system, o)...)
	if hasBreakers(system) {
		g.Rules = append(g.Rules, Rule{
			Alert: BreakerOpen, Expr: fmt.Sprintf("%s == %d", q.most(control.BreakerState, []string{LabelSystem, LabelService, control.LabelCallee}), breakerIsOpen),
			Labels:      map[string]string{"severity": "ticket"},
			Annotations: map[string]string{"summary": "{{ $labels.service }} of {{ $labels.system }} does not call {{ $labels.callee }}: a breaker is open"},
		})
	}
	for i := range system.Services {
		g.Rules = append(g.Rules, downRule(q, system.Services[i].Name, o))
	}
	return &Rules{Groups: []Group{g}}
}

func burnRule(q query, o Options, b burn) Rule {
	by := []string{LabelSystem, LabelService}
	bound := strconv.FormatFloat(b.rate*o.budget(), 'g', 6, 64)
	return Rule{
		Alert:  b.name,
		Expr:   fmt.Sprintf("(%s > %s)\nand\n(%s > %s)", q.failures(Span(b.long), by), bound, q.failures(Span(b.short), by), bound),
		Labels: map[string]string{"severity": b.severity},
		Annotations: map[string]string{"summary": fmt.Sprintf(
			"{{ $labels.service }} of {{ $labels.system }} uses up its error budget %g times as fast as %s allows: {{ $value | humanizePercentage }} of its requests fail", b.rate, o.Objective)},
	}
}

// saturation has a rule for each service with a bound on workers or on a queue.
func saturation(q query, system *topology.System, o Options) (rules []Rule) {
	add := func(alert, service, metric, bound, summary string) {
		rules = append(rules, Rule{
			Alert: alert, Expr: q.most(metric, []string{LabelSystem, LabelService, LabelReplica}, is(LabelService, service)) + " " + bound,
			For: Span(o.short()), Labels: map[string]string{"severity": "ticket", LabelService: service},
			Annotations: map[string]string{"summary": "{{ $labels.service }}/{{ $labels.replica }} of {{ $labels.system }} " + summary},
		})
	}
	for i := range system.Services {
		s := &system.Services[i]
		if s.Workers == 0 {
			continue
		}
		add(WorkersSaturated, s.Name, control.InflightRequests, fmt.Sprintf(">= %d", s.Workers), fmt.Sprintf("works on {{ $value }} requests, as many as it has workers (%d)", s.Workers))
		switch bound := queueBound(s); {
		case bound > 0:
			add(QueueSaturated, s.Name, control.QueueLength, ">= "+strconv.FormatFloat(nearlyFull*float64(bound), 'g', 6, 64), fmt.Sprintf("has {{ $value }} requests waiting of %d that may", bound))
		case s.Shed == nil:
			// The length of the machine's accept queue is not known here.
			add(QueueSaturated, s.Name, control.QueueLength, fmt.Sprintf(">= %d", s.Workers), "has {{ $value }} requests waiting, as many as are worked on")
		default: // nothing ever waits
		}
	}
	return rules
}

// queueBound is how many requests may wait at a replica; 0 if none does, or if that is
// not known.
func queueBound(s *topology.Service) int {
	if s.Shed != nil {
		return s.Shed.Queue
	}
	return s.Backlog
}

func hasBreakers(system *topology.System) (has bool) {
	for i := range system.Services {
		system.Services[i].EachStep(func(step *topology.Step) {
			has = has || step.Call != nil && step.Call.Breaker != nil
		})
	}
	return has
}

// downRule alerts if no replica of a service can be scraped. It looks for the absence of
// a scraped replica, because pods that are gone are not listed as targets. It does not
// alert before anything of the system was scraped, such as when Prometheus has just
// started. Absent series have no labels, so the rule contains the names.
func downRule(q query, service string, o Options) Rule {
	return Rule{
		Alert: ServiceDown, Expr: fmt.Sprintf("absent(%s == 1)\nand on () count(%s)", q.of("up", is(LabelService, service)), q.of("up", `service!=""`)),
		For: Span(3 * o.Interval), Labels: map[string]string{"severity": "page", LabelSystem: q.system, LabelService: service},
		Annotations: map[string]string{"summary": fmt.Sprintf("no replica of %s of %s answers a scrape", service, q.system)},
	}
}

// Alerts are the names of the alerts that rules have, each once.
func (r *Rules) Alerts() (names []string) {
	for i := range r.Groups {
		for _, rule := range r.Groups[i].Rules {
			if !slices.Contains(names, rule.Alert) {
				names = append(names, rule.Alert)
			}
		}
	}
	return names
}

// RulesFor are the alerts of an experiment.
func RulesFor(name string, alerts []experiment.Alert, o Options) *Rules {
	g := Group{Name: name, Interval: Span(o.Interval)}
	for _, a := range alerts {
		rule := Rule{Alert: a.Name, Expr: a.Expr}
		if a.For > 0 {
			rule.For = Span(a.For.Std())
		}
		g.Rules = append(g.Rules, rule)
	}
	return &Rules{Groups: []Group{g}}
}
