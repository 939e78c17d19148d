package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// openrca2Format is the layout of OpenRCA 2's cases (arXiv 2510.04711), whose tables
// are those of RCABench: what was seen while nothing was broken, and while the fault
// acted, each in files of its own.
func openrca2Format() Format {
	return Format{
		Name:   "openrca2",
		Layout: "SET/CASE/{injection.json, causal_graph.json, env.json, conclusion.parquet} and {normal,abnormal}_{metrics,metrics_sum,metrics_histogram,traces,logs}.parquet; SET/manifest.jsonl; normal cases in SET-normal/CASE",
		Doc:    "long tables with columns time (UTC, nanoseconds), service_name, and attr.NAME; durations of spans in nanoseconds, of conclusion.parquet in seconds; the windows of env.json are full seconds and touch",
		traces: true,
		check: func(c *Case) error {
			if c.Normal() {
				return nil
			}
			_, _, _, err := c.windows()
			return err
		},
		place: func(c *Case) string {
			if c.Normal() {
				return path.Join(c.Set+"-normal", c.Name)
			}
			return path.Join(c.Set, c.Name)
		},
		write:  writeOpenRCA2,
		finish: finishOpenRCA2,
	}
}

// A window is a stretch of time from a full second to another, in seconds since 1970.
type window struct{ from, to int64 }

// has reports whether a time, in nanoseconds since 1970, lies in the window.
func (w window) has(at int64) bool { return at >= w.from*1e9 && at < w.to*1e9 }

// windows are the times before the fault, and while it acted, on the clock of the
// tables.
func (c *Case) windows() (l *Label, normal, abnormal window, err error) {
	if l, err = c.cause(); err != nil {
		return nil, window{}, window{}, err
	}
	end := c.Grid.Time(c.Grid.Steps)
	last := end
	for i := range c.Labels {
		if to := int64(math.Ceil(c.Labels[i].Asked.To)) + c.Grid.Start; i == 0 || to > last {
			last = min(to, end)
		}
	}
	if last <= l.InjectTime { // it acts for a moment
		last = min(l.InjectTime+Moment, end)
	}
	normal, abnormal = window{c.Grid.Start, l.InjectTime}, window{l.InjectTime, last}
	if normal.to <= normal.from || abnormal.to <= abnormal.from {
		return nil, window{}, window{}, fmt.Errorf("its fault begins in the first second or the last, and a case of this format has a time before the fault and one with it: let the fault begin later, or last longer")
	}
	return l, normal, abnormal, nil
}

func writeOpenRCA2(c *Case, dir string) error {
	if c.Normal() {
		all := window{c.Grid.Start, c.Grid.Time(c.Grid.Steps)}
		if err := c.writeWindow(dir, "normal", all); err != nil {
			return err
		}
		return c.writeEnv(dir, map[string]int64{"NORMAL_START": all.from, "NORMAL_END": all.to})
	}
	l, normal, abnormal, err := c.windows()
	if err != nil {
		return err
	}
	for prefix, w := range map[string]window{"normal": normal, "abnormal": abnormal} {
		if err := c.writeWindow(dir, prefix, w); err != nil {
			return err
		}
	}
	if err := c.writeEnv(dir, map[string]int64{"NORMAL_START": normal.from, "NORMAL_END": normal.to, "ABNORMAL_START": abnormal.from, "ABNORMAL_END": abnormal.to}); err != nil {
		return err
	}
	injection, err := c.injection(l, abnormal)
	if err != nil {
		return err
	}
	if err := writeJSONFile(filepath.Join(dir, "injection.json"), injection); err != nil {
		return err
	}
	if err := writeJSONFile(filepath.Join(dir, "causal_graph.json"), c.causalGraph(l, abnormal)); err != nil {
		return err
	}
	return c.writeConclusion(filepath.Join(dir, "conclusion.parquet"), l, normal, abnormal)
}

func writeJSONFile(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, func(w *bufio.Writer) { _, _ = w.Write(append(text, '\n')) })
}

// writeEnv writes the windows, as the texts that readers expect.
func (c *Case) writeEnv(dir string, times map[string]int64) error {
	env := map[string]string{"NAMESPACE": plainName(c.Run.Result.Name), "TIMEZONE": "UTC", "DB_TIMEZONE": "UTC"}
	for name, at := range times {
		env[name] = strconv.FormatInt(at, 10)
	}
	return writeJSONFile(filepath.Join(dir, "env.json"), env)
}

// The rows of the tables. A nil pointer is what is not known, or does not apply.
type (
	rcaMetric struct {
		Time        int64   `parquet:"time,timestamp(nanosecond)"`
		Metric      string  `parquet:"metric,dict"`
		Value       float64 `parquet:"value"`
		Service     string  `parquet:"service_name,dict"`
		Source      *string `parquet:"attr.source_workload,optional,dict"`
		Destination *string `parquet:"attr.destination_workload,optional,dict"`
	}
	rcaHistogram struct {
		Time        int64    `parquet:"time,timestamp(nanosecond)"`
		Metric      string   `parquet:"metric,dict"`
		Service     string   `parquet:"service_name,dict"`
		Count       float64  `parquet:"count"`
		Sum         float64  `parquet:"sum"`
		Min         *float64 `parquet:"min,optional"`
		Max         *float64 `parquet:"max,optional"`
		Source      *string  `parquet:"attr.source,optional,dict"`
		Destination *string  `parquet:"attr.destination,optional,dict"`
	}
	rcaSpan struct {
		Time    int64   `parquet:"time,timestamp(nanosecond)"`
		Trace   string  `parquet:"trace_id"`
		Span    string  `parquet:"span_id"`
		Parent  string  `parquet:"parent_span_id"`
		Name    string  `parquet:"span_name,dict"`
		Kind    string  `parquet:"attr.span_kind,dict"`
		Service string  `parquet:"service_name,dict"`
		Took    uint64  `parquet:"duration"`
		Status  string  `parquet:"attr.status_code,dict"`
		Method  *string `parquet:"attr.http.request.method,optional,dict"`
		Code    *uint16 `parquet:"attr.http.response.status_code,optional"`
	}
	rcaLog struct {
		Time     int64   `parquet:"time,timestamp(nanosecond)"`
		Trace    *string `parquet:"trace_id,optional"`
		Span     *string `parquet:"span_id,optional"`
		Level    string  `parquet:"level,dict"`
		Service  string  `parquet:"service_name,dict"`
		Message  string  `parquet:"message"`
		Template string  `parquet:"attr.log_template,dict"`
	}
	rcaConclusion struct {
		SpanName            string
		Issues              string
		AbnormalAvgDuration *float64 `parquet:",optional"`
		NormalAvgDuration   *float64 `parquet:",optional"`
		AbnormalSuccRate    *float64 `parquet:",optional"`
		NormalSuccRate      *float64 `parquet:",optional"`
		AbnormalP90         *float64 `parquet:",optional"`
		NormalP90           *float64 `parquet:",optional"`
		AbnormalP95         *float64 `parquet:",optional"`
		NormalP95           *float64 `parquet:",optional"`
		AbnormalP99         *float64 `parquet:",optional"`
		NormalP99           *float64 `parquet:",optional"`
	}
)

// maybe is a pointer to text; nil for none.
func maybe(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// writeWindow writes the five tables of a window.
func (c *Case) writeWindow(dir, prefix string, w window) error {
	file := func(name string) string { return filepath.Join(dir, prefix+"_"+name+".parquet") }
	levels, sums, histograms := c.rcaMetrics(w)
	if err := writeRows(file("metrics"), levels); err != nil {
		return err
	}
	if err := writeRows(file("metrics_sum"), sums); err != nil {
		return err
	}
	if err := writeRows(file("metrics_histogram"), histograms); err != nil {
		return err
	}
	spans, err := c.rcaSpans(w)
	if err != nil {
		return err
	}
	if err := writeRows(file("traces"), spans); err != nil {
		return err
	}
	lines, err := c.rcaLogs(w)
	if err != nil {
		return err
	}
	return writeRows(file("logs"), lines)
}

// rcaMetrics are the figures of services: levels, sums since the load began, and for
// latencies the count and the sum of each step, whose least and greatest are not known.
func (c *Case) rcaMetrics(w window) (levels, sums []rcaMetric, histograms []rcaHistogram) {
	t := NewTable(c.Run, c.Grid, Metrics()...)
	slices.SortStableFunc(t.Columns, func(a, b Column) int { return strings.Compare(a.Name(), b.Name()) })
	workload := map[string][]float64{}
	for i := range t.Columns {
		if t.Columns[i].Metric.Name == "workload" {
			workload[t.Columns[i].Service] = t.Columns[i].Values
		}
	}
	total := make([]float64, len(t.Columns))
	seconds := c.Grid.Step.Seconds()
	for step := range c.Grid.Steps {
		at := c.Grid.Time(step) * 1e9
		for i := range t.Columns {
			col := &t.Columns[i]
			v, service := col.Values[step], plainName(col.Service)
			if !isKnown(v) {
				continue
			}
			if col.Metric.kind == counted {
				total[i] += v * seconds
			}
			if !w.has(at) {
				continue
			}
			switch {
			case col.Metric.kind == counted:
				sums = append(sums, rcaMetric{Time: at, Metric: "microsim." + col.Metric.Name, Value: total[i], Service: service})
			case col.Metric.Name == "latency-mean":
				n := workload[col.Service][step] * seconds
				histograms = append(histograms, rcaHistogram{Time: at, Metric: "http.server.request.duration", Service: service, Count: math.Round(n), Sum: v * n})
			}
			if col.Metric.kind != counted {
				levels = append(levels, rcaMetric{Time: at, Metric: "microsim." + col.Metric.Name, Value: v, Service: service})
			}
		}
	}
	cells := c.edgeCells()
	for _, e := range c.Run.Graph() {
		source, destination := plainName(e.Caller), plainName(e.Callee)
		var made [3]float64
		for step := range c.Grid.Steps {
			cell, at := &cells[e][step], c.Grid.Time(step)*1e9
			for i := range made {
				made[i] += cell.counts[i]
			}
			if !cell.seen || !w.has(at) {
				continue
			}
			for i, name := range edgeFigures() {
				sums = append(sums, rcaMetric{Time: at, Metric: "microsim.edge." + name, Value: made[i], Service: source, Source: &source, Destination: &destination})
			}
			if cell.weights[0] > 0 {
				histograms = append(histograms, rcaHistogram{Time: at, Metric: "microsim.call.duration", Service: source, Count: math.Round(cell.weights[0]), Sum: cell.sums[0], Source: &source, Destination: &destination})
			}
		}
	}
	byTime := func(a, b rcaMetric) int { return int(a.Time/1e9 - b.Time/1e9) }
	slices.SortStableFunc(sums, byTime)
	slices.SortStableFunc(histograms, func(a, b rcaHistogram) int { return int(a.Time/1e9 - b.Time/1e9) })
	return levels, sums, histograms
}

// rcaSpans are the spans that begin in a window.
func (c *Case) rcaSpans(w window) ([]rcaSpan, error) {
	all, err := c.Run.spans()
	if err != nil {
		return nil, err
	}
	rows := []rcaSpan{}
	for i := range all {
		s := &all[i]
		at := c.moved(s.start)
		if !w.has(at) {
			continue
		}
		row := rcaSpan{
			Time: at, Trace: s.trace.String(), Span: s.id.String(), Name: s.name, Kind: s.kind, Service: plainName(s.service),
			Took: uint64(max(s.end-s.start, 0)), Status: "Unset", Method: maybe(s.method),
		}
		if !s.parent.IsZero() {
			row.Parent = s.parent.String()
		}
		if s.failed {
			row.Status = "Error"
		}
		if s.status > 0 {
			code := uint16(s.status)
			row.Code = &code
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b rcaSpan) int { return int(a.Time - b.Time) })
	return rows, nil
}

// rcaLogs are the lines of a window.
func (c *Case) rcaLogs(w window) ([]rcaLog, error) {
	all, err := c.logRows()
	if err != nil {
		return nil, err
	}
	rows := []rcaLog{}
	for i := range all {
		l := &all[i]
		at := c.moved(l.Time.UnixNano())
		if !w.has(at) {
			continue
		}
		row := rcaLog{Time: at, Level: l.Level.String(), Service: plainName(l.Service), Message: l.message, Template: l.template}
		if !l.Trace.IsZero() {
			id := l.Trace.String()
			row.Trace, row.Span = &id, maybe(l.span)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// injection is injection.json: what was broken.
func (c *Case) injection(l *Label, w window) (any, error) {
	parameters, err := json.Marshal(l.Fault.Args)
	if err != nil {
		return nil, fmt.Errorf("writing the parameters of fault %s: %w", l.Fault.Label(), err)
	}
	service := plainName(l.Service)
	engine := map[string]any{"app": service, "chaos_type": string(l.Type), "parameters": l.Fault.Args, "probability": float64(l.Fault.Probability)}
	if from := l.Fault.Target.From; from != "" {
		engine["caller"] = plainName(from)
	}
	return map[string]any{
		"injection_name": c.Name, "state": "inject_success", "status": 2, "fault_type": string(l.Type),
		"start_time": time.Unix(w.from, 0).UTC().Format(time.RFC3339), "end_time": time.Unix(w.to, 0).UTC().Format(time.RFC3339),
		"engine_config": []any{engine}, "display_config": string(parameters),
		"ground_truth": []any{map[string]any{"service": []string{service}}},
		"impact":       l.Impact,
	}, nil
}

// stateOf returns the words of OpenRCA 2 for the effect of a type of fault on its
// service; none for types without such a word.
func stateOf(t fault.Type) []string {
	switch t {
	case fault.CPU, fault.CPUStress:
		return []string{"HIGH_CPU"}
	case fault.MemoryLeak, fault.MemoryStress:
		return []string{"HIGH_MEMORY"}
	case fault.IO, fault.IOStress:
		return []string{"HIGH_DISK_USAGE"}
	case fault.Latency:
		return []string{"HIGH_LATENCY"}
	case fault.NetDelay:
		return []string{"NETWORK_DELAY"}
	case fault.NetLoss:
		return []string{"NETWORK_LOSS"}
	case fault.Error:
		return []string{"HIGH_ERROR_RATE"}
	case fault.Kill, fault.Restart:
		return []string{"KILLED"}
	case fault.Pause:
		return []string{"PROCESS_PAUSED"}
	default:
		return []string{}
	}
}

type (
	causalNode struct {
		Component string   `json:"component"`
		Kind      string   `json:"kind"`
		State     []string `json:"state"`
		Timestamp int64    `json:"timestamp,omitempty"`
	}
	causalEdge struct {
		Source string `json:"source"`
		Target string `json:"target"`
		Kind   string `json:"kind"`
	}
)

// causalGraph is causal_graph.json: the cause, and the services that call it, directly
// or not. Only the cause has a state, because it is not measured whether the fault
// reached a caller.
func (c *Case) causalGraph(l *Label, w window) any {
	nodes, edges := []causalNode{}, []causalEdge{}
	reached := c.callersOf(l.Service)
	for _, service := range reached {
		n := causalNode{Component: plainName(service), Kind: "service", State: []string{}}
		if service == l.Service {
			n.State, n.Timestamp = stateOf(l.Type), w.from
		}
		nodes = append(nodes, n)
	}
	for _, e := range c.Run.Graph() {
		if slices.Contains(reached, e.Caller) && slices.Contains(reached, e.Callee) {
			edges = append(edges, causalEdge{plainName(e.Caller), plainName(e.Callee), "calls"})
		}
	}
	return map[string]any{
		"nodes": nodes, "edges": edges, "root_causes": nodes[:1], "component_to_service": map[string]string{},
		"alarm_nodes": []causalNode{{Component: plainName(c.entranceOf(l.Service)), Kind: "service", State: []string{}}},
	}
}

// writeConclusion compares the requests of the load in both windows, by the traces that
// were kept whatever became of them: those that are kept because they failed would not
// be a fair sample.
func (c *Case) writeConclusion(path string, l *Label, normal, abnormal window) error {
	all, err := c.Run.spans()
	if err != nil {
		return err
	}
	type sample struct {
		took []float64
		good int
	}
	seen := map[string]*[2]sample{}
	var names []string
	// Load from pods makes no spans; then the first service's stand for it.
	rooted := slices.ContainsFunc(all, func(s spanRow) bool { return s.root })
	for i := range all {
		s := &all[i]
		at := c.moved(s.start)
		first := s.root || !rooted && s.kind == "Server" && s.parent.IsZero()
		if !first || !s.sampled || !normal.has(at) && !abnormal.has(at) {
			continue
		}
		if seen[s.name] == nil {
			seen[s.name] = &[2]sample{}
			names = append(names, s.name)
		}
		one := &seen[s.name][0]
		if abnormal.has(at) {
			one = &seen[s.name][1]
		}
		one.took = append(one.took, float64(s.end-s.start)/1e9)
		if !s.failed {
			one.good++
		}
	}
	slices.Sort(names)
	rows := []rcaConclusion{}
	for _, name := range names {
		row := rcaConclusion{SpanName: name}
		for i, to := range [2][5]**float64{
			{&row.NormalAvgDuration, &row.NormalSuccRate, &row.NormalP90, &row.NormalP95, &row.NormalP99},
			{&row.AbnormalAvgDuration, &row.AbnormalSuccRate, &row.AbnormalP90, &row.AbnormalP95, &row.AbnormalP99},
		} {
			s := &seen[name][i]
			if len(s.took) == 0 {
				continue
			}
			slices.Sort(s.took)
			sum := 0.0
			for _, v := range s.took {
				sum += v
			}
			n := float64(len(s.took))
			quantile := func(q float64) float64 { return s.took[max(0, int(math.Ceil(q*n-1e-9))-1)] }
			for j, v := range []float64{sum / n, float64(s.good) / n, quantile(0.9), quantile(0.95), quantile(0.99)} {
				*to[j] = &v
			}
		}
		if row.Issues, err = row.issues(l); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return writeRows(path, rows)
}

// issues are the effects that were seen on all clients together and that the figures
// of the row show, too, as an object of JSON in text.
func (r *rcaConclusion) issues(l *Label) (string, error) {
	issues := map[string]Effect{}
	for _, e := range l.Impact.Effects {
		if !e.Seen || r.NormalAvgDuration == nil || r.AbnormalAvgDuration == nil {
			continue
		}
		switch e.Figure {
		case "errors":
			if *r.NormalSuccRate-*r.AbnormalSuccRate > e.Matters {
				issues[e.Figure] = e
			}
		case "latency":
			if *r.AbnormalAvgDuration > *r.NormalAvgDuration*(1+e.Matters) {
				issues[e.Figure] = e
			}
		}
	}
	text, err := json.Marshal(issues)
	return string(text), err
}

// finishOpenRCA2 writes the list of all cases.
func finishOpenRCA2(s *Set, dir string) error {
	var failed error
	err := s.put(path.Join(dir, plainName(s.name), "manifest.jsonl"), func(w *bufio.Writer) {
		encoder := json.NewEncoder(w)
		for _, r := range s.sorted() {
			l := &r.Labels[0]
			if l.Fault == nil {
				continue
			}
			if err := encoder.Encode(map[string]any{
				"name": r.Case, "system": plainName(l.Experiment), "primary_kind": string(l.Type), "hybrid": false,
				"root_services": []string{plainName(l.Service)}, "verdict": l.Impact.Verdict,
			}); err != nil {
				failed = err
			}
		}
	})
	if failed != nil {
		return failed
	}
	return err
}
