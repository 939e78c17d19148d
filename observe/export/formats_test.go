package export

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	modelspan "github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// brokenRun is a run of a minute in which db is slow from the 30th second to the 50th,
// with a request of the load each second.
func brokenRun(t *testing.T) *Run {
	t.Helper()
	var rows []serviceRow
	for i := range 60 {
		slow := 0.01
		if i >= 30 && i < 50 {
			slow = 0.2
		}
		for _, s := range []string{"web", "db_1"} {
			l := latencies{slow, slow, slow, slow, slow}
			rows = append(rows, serviceRow{span: span{float64(i + 1), 1}, service: s, up: 1, replicas: 1, requests: 10, errors: 1, latencies: l, cpu: 0.5, memory: 1e6, netIn: unknown(), netOut: unknown()})
		}
	}
	r := runOf(rows...)
	for i := range 60 {
		r.edges = append(r.edges, edgeRow{span: span{float64(i + 1), 1}, caller: "web", callee: "db_1", calls: 10, attempts: 10, latencies: latencies{0.01, 0.01, 0.01, 0.01, 0.01}})
		r.clients = append(r.clients, clientRow{span: span{float64(i + 1), 1}, requests: 10, offered: 10, ended: 10, good: 9, errors: 1, latencies: latencies{0.01, 0.01, 0.01, 0.01, 0.01}})
	}
	f := fault.Fault{Name: "slow", Type: fault.Latency, Target: fault.Target{Service: "db_1"}, Probability: 1}
	r.Result.Name, r.Result.Kind, r.Result.Command = "shop", result.ResultKind, "kubectl microsim run shop"
	zero := r.Began()
	r.Result.Faults = []result.FaultRecord{{
		ID: "latency-1", Label: "slow", Fault: f, PlannedFrom: 30, PlannedTo: 50, AskedFrom: 30, AskedTo: 50, From: 30.2, To: 50.1,
		AppliedAt: zero.Add(30200 * time.Millisecond), ClearedAt: zero.Add(50100 * time.Millisecond),
	}}
	recorder := &Recorder{run: *r}
	var traces []trace.Trace
	var lines []logline.Line
	for i := range 60 {
		request := fmt.Sprint("r", i)
		at := zero.Add(time.Duration(i)*time.Second + 100*time.Millisecond)
		id := modelspan.NewTraces(1).Of(request)
		status, class := 200, outcome.OK
		if i%10 == 0 {
			status, class = 503, outcome.HTTPError
		}
		tr := trace.Trace{ID: id, Spans: []modelspan.Span{
			{Trace: id, Kind: modelspan.Root, Request: request, Path: "page", Start: at.UnixNano(), Duration: time.Duration(i+1) * time.Millisecond, Status: status, Class: class, Sampled: true},
			{Trace: id, Kind: modelspan.Server, Service: "db_1", Replica: 1, Request: request, Hop: "0", Method: "GET", Path: "/x", Start: at.UnixNano(), Duration: time.Millisecond, Status: status, Sampled: true},
		}}
		for k := range tr.Spans {
			tr.Spans[k].SetIDs()
		}
		traces = append(traces, tr)
		l, ok := logline.Parse([]byte(fmt.Sprintf(`{"time":%q,"level":"DEBUG","msg":"request","system":"shop","service":"db_1","replica":1,"request":%q,"trace":%q,"path":"/x","status":%d,"duration":0.001,"hop":"0","error":"503 by fault latency-1"}`,
			at.Format(time.RFC3339Nano), request, id.String(), status)))
		if !ok {
			t.Fatal("it is no line")
		}
		lines = append(lines, l)
	}
	told, _ := logline.Parse([]byte(`{"time":"2024-05-06T07:08:39.6Z","level":"INFO","msg":"fault applied","service":"db_1","fault":"latency-1"}`))
	lines = append(lines, told)
	failing := &traces[0].Spans[1]
	failing.Error, failing.Events = "503 by fault latency-1", []modelspan.Event{{Name: modelspan.FaultActed, Subject: "latency-1"}}
	recorder.Spans(trace.Origin{System: "shop"}, traces)
	recorder.Lines(lines)
	run := recorder.run
	return &run
}

// exported writes a broken case and a normal one in a format.
func exported(t *testing.T, format string) string {
	t.Helper()
	formats, err := FindFormats(format)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	set, err := OpenSet(dir, "my_set", formats, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	normal := brokenRun(t)
	healthy := *normal.Result
	healthy.Faults = nil
	normal.Result = &healthy
	for name, r := range map[string]*Run{"case-0001": brokenRun(t), "case-0002": normal} {
		c, err := NewCase(r, name, "my_set", time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := set.Finish(2, nil); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, format)
}

func readFile(t *testing.T, parts ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readJSON(t *testing.T, into any, parts ...string) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, parts...), into); err != nil {
		t.Fatal(err)
	}
}

func readTable[T any](t *testing.T, parts ...string) []T {
	t.Helper()
	rows, err := parquet.ReadFile[T](filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// A case of OpenRCA 2 passes the checks that readers of its set make, and its rows are
// those of the run.
func TestOpenRCA2(t *testing.T) {
	dir := exported(t, "openrca2")
	c := filepath.Join(dir, "my-set", "case-0001")
	var env map[string]string
	readJSON(t, &env, c, "env.json")
	began := runOf().Began().Unix()
	want := map[string]string{
		"NORMAL_START": fmt.Sprint(began), "NORMAL_END": fmt.Sprint(began + 30), "ABNORMAL_START": fmt.Sprint(began + 30), "ABNORMAL_END": fmt.Sprint(began + 50),
		"NAMESPACE": "shop", "TIMEZONE": "UTC", "DB_TIMEZONE": "UTC",
	}
	if fmt.Sprint(env) != fmt.Sprint(want) {
		t.Errorf("env.json has %v, not %v", env, want)
	}
	var injection struct {
		Name  string    `json:"injection_name"`
		State string    `json:"state"`
		Type  string    `json:"fault_type"`
		Start time.Time `json:"start_time"`
		Truth []struct {
			Service []string `json:"service"`
		} `json:"ground_truth"`
		Engine []map[string]any `json:"engine_config"`
	}
	readJSON(t, &injection, c, "injection.json")
	if injection.Name != "case-0001" || injection.State != "inject_success" || injection.Type != "latency" || injection.Start.Unix() != began+30 ||
		len(injection.Truth) != 1 || !slices.Equal(injection.Truth[0].Service, []string{"db-1"}) || len(injection.Engine) != 1 {
		t.Errorf("the injection is %+v", injection)
	}
	var graph struct {
		Edges []causalEdge `json:"edges"`
		Roots []causalNode `json:"root_causes"`
	}
	readJSON(t, &graph, c, "causal_graph.json")
	if len(graph.Edges) != 1 || graph.Edges[0] != (causalEdge{"web", "db-1", "calls"}) || len(graph.Roots) != 1 || graph.Roots[0].Component != "db-1" || graph.Roots[0].State[0] != "HIGH_LATENCY" {
		t.Errorf("the graph is %+v", graph)
	}
	for prefix, w := range map[string]window{"normal": {began, began + 30}, "abnormal": {began + 30, began + 50}} {
		spans := readTable[rcaSpan](t, c, prefix+"_traces.parquet")
		lines := readTable[rcaLog](t, c, prefix+"_logs.parquet")
		n := int(w.to - w.from)
		if len(spans) != 2*n || len(lines) != n {
			t.Errorf("%s: %d spans and %d lines of %d requests", prefix, len(spans), len(lines), n)
		}
		for _, s := range spans {
			if !w.has(s.Time) || len(s.Trace) != 32 || len(s.Span) != 16 || s.Status != "Error" && s.Status != "Unset" || s.Kind != "Server" && s.Kind != "Client" {
				t.Fatalf("%s: the span %+v", prefix, s)
			}
		}
		for _, l := range lines {
			if !w.has(l.Time) || l.Trace == nil || l.Service != "db-1" || !strings.HasPrefix(l.Message, "request path=/x status=") || !strings.Contains(l.Template, "duration=<*>") {
				t.Fatalf("%s: the line %+v", prefix, l)
			}
			if !slices.ContainsFunc(spans, func(s rcaSpan) bool { return s.Span == *l.Span && s.Trace == *l.Trace }) {
				t.Fatalf("%s: the line %+v is of no span", prefix, l)
			}
		}
		sums := readTable[rcaMetric](t, c, prefix+"_metrics_sum.parquet")
		last := sums[len(sums)-1]
		for _, m := range append(readTable[rcaMetric](t, c, prefix+"_metrics.parquet"), sums...) {
			if !w.has(m.Time) {
				t.Fatalf("%s: the point %+v", prefix, m)
			}
			if m.Metric == "microsim.workload" && m.Service == "web" && m.Time == last.Time && m.Value != float64(w.to-began)*10 {
				t.Errorf("%s: the sum of requests is %v", prefix, m.Value)
			}
		}
		if h := readTable[rcaHistogram](t, c, prefix+"_metrics_histogram.parquet"); len(h) != 3*n || h[0].Count != 10 {
			t.Errorf("%s: %d histograms, the first is %+v", prefix, len(h), h[0])
		}
	}
	conclusion := readTable[rcaConclusion](t, c, "conclusion.parquet")
	if len(conclusion) != 1 || conclusion[0].SpanName != "page" || *conclusion[0].NormalSuccRate != 0.9 || *conclusion[0].AbnormalP90 != 0.048 {
		t.Errorf("the conclusion is %+v", conclusion)
	}
	if list := string(readFile(t, dir, "my-set", "manifest.jsonl")); strings.Count(list, "\n") != 1 || !strings.Contains(list, `"root_services":["db-1"]`) {
		t.Errorf("manifest.jsonl is %s", list)
	}
	if rows := readTable[rcaSpan](t, dir, "my-set-normal", "case-0002", "normal_traces.parquet"); len(rows) != 120 {
		t.Errorf("the normal case has %d spans", len(rows))
	}
}

// The tables that RCAEval makes of logs and traces add up to those.
func TestRCAEvalSources(t *testing.T) {
	c := filepath.Join(exported(t, "rcaeval"), "my-set", "db-1_delay", "case-0001")
	began := runOf().Began().Unix()
	sum := func(file string) (total float64, rows int) {
		lines := strings.Split(strings.TrimSpace(string(readFile(t, c, file))), "\n")
		for i, line := range lines[1:] {
			cells := strings.Split(line, ",")
			if cells[0] != fmt.Sprint(began+int64(i)*15) {
				t.Errorf("%s: row %d is of %s", file, i, cells[0])
			}
			for _, cell := range cells[1:] {
				v, err := strconv.ParseFloat(cell, 64)
				if err != nil {
					t.Errorf("%s: %v", file, err)
				}
				total += v
			}
		}
		for _, column := range strings.Split(lines[0], ",")[1:] {
			if strings.Count(column, "_") != 1 || !strings.HasPrefix(column, "db-1_") {
				t.Errorf("%s has a column %q", file, column)
			}
		}
		return total, len(lines) - 1
	}
	for file, want := range map[string]float64{"logts.csv": 60, "tracets_err.csv": 6, "tracets_lat.csv": 4000} {
		if total, rows := sum(file); total != want || rows != 4 {
			t.Errorf("%s has %d rows with a sum of %v, not %v", file, rows, total, want)
		}
	}
	if n := bytes.Count(readFile(t, c, "traces.csv"), []byte("\n")); n != 121 {
		t.Errorf("traces.csv has %d lines", n)
	}
	if logs := string(readFile(t, c, "logs.csv")); strings.Count(logs, "\n") != 61 || !strings.Contains(logs, ",db-1,request path=/x status=503 duration=0.001 error=503 Service Unavailable,debug,/x,503 Service Unavailable\n") {
		t.Errorf("logs.csv is %.500s", logs)
	}
}

func TestPetShop(t *testing.T) {
	dir := filepath.Join(exported(t, "petshop"), "my-set")
	var answer petshopAnswer
	readJSON(t, &answer, dir, "test", "case-0001", "target.json")
	began := runOf().Began().Unix()
	if answer.Target != (petshopSeen{"web", "latency", "Average", began + 30}) || answer.RootCause.Node != "db-1" || *answer.RootCause.Metric != "latency" {
		t.Errorf("the target is %+v", answer)
	}
	if graph := string(readFile(t, dir, "graph.csv")); graph != ",db-1,web\ndb-1,0,0\nweb,1,0\n" {
		t.Errorf("the graph is %q", graph)
	}
	rows := strings.Split(strings.TrimSpace(string(readFile(t, dir, "noissue", "metrics.csv"))), "\n")
	if len(rows) != 64 || strings.Count(rows[0], ",") != 14 || !strings.HasPrefix(rows[3], "unix_timestamp,,") || !strings.HasPrefix(rows[4], fmt.Sprint(began)+",") {
		t.Errorf("noissue/metrics.csv has %d rows:\n%s", len(rows), strings.Join(rows[:5], "\n"))
	}
	heads := [3][]string{strings.Split(rows[0], ","), strings.Split(rows[1], ","), strings.Split(rows[2], ",")}
	first := strings.Split(rows[4], ",")
	for i := 1; i < len(first); i++ {
		want := map[string]string{"latency": "0.01", "requests": "10", "availability": "90"}[heads[1][i]]
		if first[i] != want {
			t.Errorf("%s %s %s is %s", heads[0][i], heads[1][i], heads[2][i], first[i])
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "train")); err != nil || len(entries) > 0 {
		t.Errorf("train has %v, %v", entries, err)
	}
}

// The lines of the files of OTLP are read by the official types, once ids are as their
// JSON has them.
func TestOTLPFiles(t *testing.T) {
	c := filepath.Join(exported(t, "otlp"), "case-0001")
	records, points := 0, 0
	for line := range bytes.Lines(readFile(t, c, "logs.jsonl")) {
		m := &logspb.ExportLogsServiceRequest{}
		unmarshalOTLP(t, line, m)
		for _, r := range m.GetResourceLogs() {
			for _, l := range r.GetScopeLogs()[0].GetLogRecords() {
				if records++; len(l.GetTraceId()) != 16 || len(l.GetSpanId()) != 8 {
					t.Fatalf("the record is %v", l)
				}
			}
		}
	}
	for line := range bytes.Lines(readFile(t, c, "metrics.jsonl")) {
		m := &metricspb.ExportMetricsServiceRequest{}
		unmarshalOTLP(t, line, m)
		for _, r := range m.GetResourceMetrics() {
			for _, one := range r.GetScopeMetrics()[0].GetMetrics() {
				points += len(one.GetGauge().GetDataPoints())
			}
		}
	}
	if records != 60 || points == 0 || points%60 != 0 {
		t.Errorf("%d records and %d points", records, points)
	}
	if n := bytes.Count(readFile(t, c, "traces.jsonl"), []byte("\n")); n != 60 {
		t.Errorf("%d traces", n)
	}
}

// No log and no trace of a set names a fault.
func TestSignalsNameNoFault(t *testing.T) {
	for format, files := range map[string][]string{
		"otlp":     {"case-0001/traces.jsonl", "case-0001/logs.jsonl"},
		"rcaeval":  {"my-set/db-1_delay/case-0001/logs.csv", "my-set/db-1_delay/case-0001/traces.csv"},
		"openrca2": {"my-set/case-0001/normal_logs.parquet", "my-set/case-0001/abnormal_logs.parquet"},
	} {
		dir := exported(t, format)
		for _, file := range files {
			if text := readFile(t, dir, filepath.FromSlash(file)); bytes.Contains(text, []byte("latency-1")) || bytes.Contains(text, []byte("fault")) {
				t.Errorf("%s of %s names the fault", file, format)
			}
		}
	}
}

// A format with traces refuses a run without.
func TestTracesAreNeeded(t *testing.T) {
	for _, f := range Formats() {
		r := brokenRun(t)
		r.keptSpans, r.keptTraces = nil, nil
		c, err := NewCase(r, "case-0001", "set", time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		set, err := OpenSet(t.TempDir(), "set", []Format{f}, time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		err = set.Add(c)
		if f.traces != (err != nil) || err != nil && !strings.Contains(err.Error(), "it has no traces") {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// unmarshalOTLP reads a line of OTLP's JSON into an official type, whose own JSON has
// ids in base64.
func unmarshalOTLP(t *testing.T, line []byte, into proto.Message) {
	t.Helper()
	ids := regexp.MustCompile(`"(traceId|spanId)":"([0-9a-f]*)"`)
	line = ids.ReplaceAllFunc(line, func(field []byte) []byte {
		m := ids.FindSubmatch(field)
		id, err := hex.DecodeString(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, `"%s":"%s"`, m[1], base64.StdEncoding.EncodeToString(id))
	})
	if err := (protojson.UnmarshalOptions{}).Unmarshal(line, into); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
}
