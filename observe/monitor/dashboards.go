package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Dashboard is one page of Grafana.
type Dashboard struct {
	// Name is system, service or experiment.
	Name        string
	system      string
	title       string
	service     bool
	panels      []panel
	annotations []annotation
}

// A panel is one chart.
type panel struct {
	title, about string
	unit         string
	series       []series
}

type series struct{ expr, legend string }

// An annotation marks the times at which its expression has a value.
type annotation struct{ name, expr, title, color string }

// The units of Grafana that the panels have.
const (
	perSecond = "reqps"
	share     = "percentunit"
	seconds   = "s"
	number    = "short"
	bytesUnit = "bytes"
)

// window is Grafana's variable for the time over which rates are taken, and serviceVar
// the one for the service that the reader has chosen.
const (
	window     = "$__rate_interval"
	serviceVar = "$service"
)

// Dashboards are those of a system: one of all services, one of a service that the
// reader chooses, and one of an experiment, where faults are marked.
func Dashboards(system *topology.System, o Options) []*Dashboard {
	return []*Dashboard{systemDashboard(system), serviceDashboard(system), experimentDashboard(system, o)}
}

func systemDashboard(system *topology.System) *Dashboard {
	q, by := query{system.Name}, []string{LabelService}
	edge := []string{LabelService, control.LabelCallee}
	d := &Dashboard{Name: "system", system: system.Name, title: "services", annotations: faultMarks(q)}
	d.panels = []panel{
		{"Requests", "answered, by service", perSecond, []series{{q.rate(control.RequestsTotal, window, by), "{{service}}"}}},
		{"Failed requests", "share answered with 5xx or not at all", share, []series{{q.failures(window, by), "{{service}}"}}},
		{"Latency, p95", "from the arrival of a request to its answer", seconds, []series{{q.quantile(0.95, control.RequestDurationSeconds, by), "{{service}}"}}},
		{"Replicas that answer", "", number, []series{{q.total("up", by, `service!=""`), "{{service}}"}}},
		{"In flight", "requests being worked on", number, []series{{q.total(control.InflightRequests, by), "{{service}}"}}},
		{"Waiting", "requests in queues", number, []series{{q.total(control.QueueLength, by), "{{service}}"}}},
		{"Alerts that fire", "", number, []series{{`count by (alertname, service) (ALERTS{alertstate="firing"})`, "{{alertname}} {{service}}"}}},
		{"Failed calls", "after all retries", perSecond, []series{{q.rate(control.CallsTotal, window, edge, `outcome!="ok"`), "{{service}} -> {{callee}}"}}},
		{"Attempts per call", "1 without retries and hedges", number,
			[]series{{q.rate(control.CallAttemptsTotal, window, edge) + " / " + q.rate(control.CallsTotal, window, edge), "{{service}} -> {{callee}}"}}},
	}
	if hasBreakers(system) {
		d.panels = append(d.panels, panel{"Breakers", "0 closed, 1 half-open, 2 open", number, []series{{q.most(control.BreakerState, edge), "{{service}} -> {{callee}}"}}})
	}
	if hasQueues(system) {
		group := []string{LabelService, control.LabelGroup}
		d.panels = append(d.panels,
			panel{"Lag", "messages that consumers have not consumed yet", number, []series{{q.most(control.StoreLagMessages, group), "{{group}} of {{service}}"}}},
			panel{"Age of the oldest message", "that consumers have not consumed yet", seconds, []series{{q.most(control.StoreLagSeconds, group), "{{group}} of {{service}}"}}})
	}
	return d
}

// hasQueues reports whether consumers of a system tell their lag.
func hasQueues(system *topology.System) bool {
	return slices.ContainsFunc(system.Services, func(s topology.Service) bool {
		return s.Kind == topology.Kafka && s.StoreSettings().Engine != topology.Real
	})
}

func serviceDashboard(system *topology.System) *Dashboard {
	q, one := query{system.Name}, is(LabelService, serviceVar)
	byEndpoint, byReplica, byCallee := []string{control.LabelEndpoint}, []string{LabelReplica}, []string{control.LabelCallee}
	latency := func(metric string, by []string, legend string) (list []series) {
		for _, p := range []float64{0.5, 0.95, 0.99} {
			list = append(list, series{q.quantile(p, metric, by, one), fmt.Sprintf("%s p%g", legend, 100*p)})
		}
		return list
	}
	d := &Dashboard{Name: "service", system: system.Name, title: "one service", service: true, annotations: faultMarks(q)}
	d.panels = []panel{
		{"Requests", "by endpoint and status", perSecond, []series{{q.rate(control.RequestsTotal, window, []string{control.LabelEndpoint, control.LabelCode}, one), "{{endpoint}} {{code}}"}}},
		{"Failed requests", "share answered with 5xx or not at all", share, []series{{q.failures(window, byEndpoint, one), "{{endpoint}}"}}},
		{"Latency", "from the arrival of a request to its answer", seconds, latency(control.RequestDurationSeconds, byEndpoint, "{{endpoint}}")},
		{"Degraded requests", "answered well, but with a fallback in place of a part", perSecond, []series{{q.rate(control.RequestsDegradedTotal, window, byEndpoint, one), "{{endpoint}}"}}},
		{"In flight", "by replica", number, []series{{q.total(control.InflightRequests, byReplica, one), "{{replica}}"}}},
		{"Waiting", "by replica", number, []series{{q.total(control.QueueLength, byReplica, one), "{{replica}}"}}},
		{"Memory held", "for the service, its requests and its leaks", bytesUnit, []series{{q.total(control.HeldMemoryBytes, byReplica, one), "{{replica}}"}}},
		{"Faults in the service", "that act now", number, []series{{q.most(control.FaultActive, []string{control.LabelFault}, one), "{{fault}}"}}},
		{"Calls", "by callee and outcome, after all retries", perSecond, []series{{q.rate(control.CallsTotal, window, []string{control.LabelCallee, control.LabelOutcome}, one), "{{callee}} {{outcome}}"}}},
		{"Latency of calls", "with all retries", seconds, latency(control.CallDurationSeconds, byCallee, "{{callee}}")},
		{"Attempts", "by callee and outcome", perSecond, []series{{q.rate(control.CallAttemptsTotal, window, []string{control.LabelCallee, control.LabelOutcome}, one), "{{callee}} {{outcome}}"}}},
	}
	if hasFallbacks(system) {
		d.panels = append(d.panels, panel{"Fallbacks", "by callee", perSecond, []series{{q.rate(control.FallbacksTotal, window, byCallee, one), "{{callee}}"}}})
	}
	return d
}

func hasFallbacks(system *topology.System) (has bool) {
	for i := range system.Services {
		system.Services[i].EachStep(func(step *topology.Step) {
			has = has || step.Call != nil && step.Call.Fallback != nil
		})
	}
	return has
}

func experimentDashboard(system *topology.System, o Options) *Dashboard {
	q, by := query{system.Name}, []string{LabelService}
	entry := LabelService + `=~"` + strings.Join(system.Entries(), "|") + `"`
	d := &Dashboard{Name: "experiment", system: system.Name, title: "experiment", annotations: faultMarks(q)}
	d.panels = []panel{
		{"Requests from outside", "answered by the services at the entrance", perSecond, []series{{q.rate(control.RequestsTotal, window, by, entry), "{{service}}"}}},
		{"Failed requests from outside", "share answered with 5xx or not at all", share, []series{{q.failures(window, by, entry), "{{service}}"}}},
		{"Latency from outside", "as the services at the entrance measure it", seconds, []series{
			{q.quantile(0.5, control.RequestDurationSeconds, by, entry), "{{service}} p50"},
			{q.quantile(0.99, control.RequestDurationSeconds, by, entry), "{{service}} p99"},
		}},
		{"Faults that act", "in services", number, []series{{q.total(control.FaultActive, []string{LabelService, control.LabelFault}) + " > 0", "{{fault}} in {{service}}"}}},
		{"Alerts that fire", "", number, []series{{`count by (alertname, service) (ALERTS{alertstate="firing"})`, "{{alertname}} {{service}}"}}},
	}
	for _, b := range o.burns() {
		d.panels = append(d.panels, panel{"Error budget, " + Span(b.long), fmt.Sprintf("how many times as fast as an objective of %s allows it is used up; %g alerts", o.Objective, b.rate), number,
			[]series{{fmt.Sprintf("(%s) / %.6g", q.failures(Span(b.long), by), o.budget()), "{{service}}"}}})
	}
	return d
}

// faultMarks mark faults: those that services know of and, on this machine, all others.
func faultMarks(q query) []annotation {
	return []annotation{
		{"Faults in services", q.most(control.FaultActive, []string{LabelService, control.LabelFault}) + " > 0", "{{fault}} in {{service}}", "red"},
		{"Faults", q.most(FaultActs, []string{"id", "type", "target"}), "{{type}} on {{target}}", "orange"},
	}
}

// Queries are the expressions of the page, with Grafana's variables filled in: rates are
// taken over a window, and the service is one of the system's.
func (d *Dashboard) Queries(rateOver, service string) (list []string) {
	fill := strings.NewReplacer(window, rateOver, serviceVar, service)
	for _, p := range d.panels {
		for _, s := range p.series {
			list = append(list, fill.Replace(s.expr))
		}
	}
	for _, a := range d.annotations {
		list = append(list, fill.Replace(a.expr))
	}
	return list
}

// FileName is the name of the page's file.
func (d *Dashboard) FileName() string { return "microsim-" + d.system + "-" + d.Name + ".json" }

// uid is what Grafana knows the page by, 40 letters at most.
func (d *Dashboard) uid() string {
	sum := sha256.Sum256([]byte(d.system))
	return "microsim-" + d.Name + "-" + hex.EncodeToString(sum[:6])
}

// The grid of Grafana has 24 columns.
const (
	panelWidth  = 12
	panelHeight = 8
)

type object = map[string]any

// source is the data source that the reader chooses.
func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

// JSON is the page in Grafana's format (schema 36, Grafana 8.5 and newer).
func (d *Dashboard) JSON() ([]byte, error) {
	panels := []object{}
	for i, p := range d.panels {
		targets := []object{}
		for j, s := range p.series {
			targets = append(targets, object{"datasource": source(), "expr": s.expr, "legendFormat": s.legend, "refId": string(rune('A' + j))})
		}
		panels = append(panels, object{
			"id": i + 1, "type": "timeseries", "title": p.title, "description": p.about, "datasource": source(), "targets": targets,
			"gridPos":     object{"x": i % 2 * panelWidth, "y": i / 2 * panelHeight, "w": panelWidth, "h": panelHeight},
			"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
		})
	}
	marks := []object{}
	for _, a := range d.annotations {
		marks = append(marks, object{"name": a.name, "datasource": source(), "enable": true, "expr": a.expr, "titleFormat": a.title, "iconColor": a.color, "step": "1s"})
	}
	variables := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}}
	if d.service {
		variables = append(variables, object{
			"name": "service", "label": "Service", "type": "query", "datasource": source(), "refresh": 1, "sort": 1,
			"query": object{"query": fmt.Sprintf("label_values(%s, service)", query{d.system}.of("up", `service!=""`)), "refId": "service"},
		})
	}
	text, err := json.MarshalIndent(object{
		"uid": d.uid(), "title": "MicroSim / " + d.system + " / " + d.title, "tags": []string{"microsim"}, "schemaVersion": 36, "editable": true,
		"time": object{"from": "now-15m", "to": "now"}, "refresh": "5s", "panels": panels,
		"annotations": object{"list": marks}, "templating": object{"list": variables},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the dashboard %q: %w", d.Name, err)
	}
	return append(text, '\n'), nil
}
