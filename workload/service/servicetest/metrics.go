package servicetest

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A line of Prometheus' text format: a name, labels, a value.
var (
	seriesLine = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? (\S+)`)
	seriesPair = regexp.MustCompile(`([a-z_]+)="((?:\\.|[^"\\])*)"`)
)

// find returns the value of the series with exactly the labels, which are names
// and values in turn, beside that of the service.
func find(text, name string, labels ...string) (value float64, ok bool) {
	want := map[string]string{control.LabelService: "subject"}
	for i := 0; i < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
	for line := range strings.Lines(text) {
		m := seriesLine.FindStringSubmatch(line)
		if m == nil || m[1] != name {
			continue
		}
		pairs := seriesPair.FindAllStringSubmatch(m[2], -1)
		same := len(pairs) == len(want)
		for _, p := range pairs {
			same = same && want[p[1]] == p[2]
		}
		if same {
			value, err := strconv.ParseFloat(m[3], 64)
			return value, err == nil
		}
	}
	return 0, false
}

// value asks for the metrics and returns that of one series, or ends the case.
func value(t T, url, name string, labels ...string) float64 {
	t.Helper()
	v, ok := find(string(do(t, "GET", url+control.MetricsPath, "").body), name, labels...)
	if !ok {
		t.Fatalf("the metrics lack %s%q", name, labels)
	}
	return v
}

// A series is one of those that a case looks for.
type series struct {
	name   string
	labels []string
	want   float64
}

func checkSeries(t T, text string, list []series) {
	t.Helper()
	for _, s := range list {
		if got, ok := find(text, s.name, s.labels...); !ok {
			t.Errorf("the metrics lack %s%q", s.name, s.labels)
		} else if got != s.want {
			t.Errorf("%s%q is %v, want %v", s.name, s.labels, got, s.want)
		}
	}
}

func testMetrics(t T, start Start) {
	url := start(t, plain(topology.CallTo("child")))
	read := func(path string) string { return string(do(t, "GET", url+path, "").body) }
	request := func(endpoint, code string) []string {
		return []string{control.LabelEndpoint, endpoint, control.LabelCode, code}
	}
	call := func(outcome string) []string {
		return []string{control.LabelCallee, "child", control.LabelOutcome, outcome}
	}
	endpoint, callee := []string{control.LabelEndpoint, "/"}, []string{control.LabelCallee, "child"}
	checkSeries(t, read(control.MetricsPath), []series{
		{control.RequestsTotal, request("/", "200"), 0}, {control.RequestsTotal, request("/", "504"), 0}, {control.RequestsTotal, request("/", control.CodeAborted), 0},
		{control.RequestsTotal, request(control.EndpointChain, "200"), 0}, {control.RequestsTotal, request(control.EndpointOther, "404"), 0},
		{control.RequestDurationSeconds + "_count", endpoint, 0}, {control.RequestsDegradedTotal, endpoint, 0},
		{control.CallsTotal, call("ok"), 0}, {control.CallsTotal, call("connection_error"), 0}, {control.CallAttemptsTotal, call("timeout"), 0},
		{control.CallDurationSeconds + "_count", callee, 0}, {control.CallsDegradedTotal, callee, 0},
		{control.InflightRequests, nil, 0}, {control.QueueLength, nil, 0}, {control.HeldMemoryBytes, nil, 0},
		{control.FaultActive, []string{control.LabelFault, "latency"}, 0},
	})
	do(t, "GET", url+"/", "")
	do(t, "GET", url+"/nowhere", "")
	do(t, "POST", url+"/", `{"designation":"subject"}`)
	text := read(control.MetricsPath)
	checkSeries(t, text, []series{
		{control.RequestsTotal, request("/", "502"), 1}, {control.RequestsTotal, request(control.EndpointOther, "404"), 1}, {control.RequestsTotal, request(control.EndpointChain, "200"), 1},
		{control.CallsTotal, call("connection_error"), 1}, {control.CallAttemptsTotal, call("connection_error"), 1},
		{control.RequestDurationSeconds + "_count", endpoint, 1}, {control.CallDurationSeconds + "_count", callee, 1},
	})
	for _, bound := range control.DurationBuckets() {
		if !hasBucket(text, bound) {
			t.Errorf("%s has no bucket up to %v s", control.RequestDurationSeconds, bound)
		}
	}
	testFineHistograms(t, read(control.MetricsPath+"?"+control.FineQuery))
}

// hasBucket reports whether the histogram of GET / has a bucket, whose bound is
// written as a number of any form.
func hasBucket(text string, bound float64) bool {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, control.RequestDurationSeconds+"_bucket{") {
			continue
		}
		pairs := map[string]string{}
		for _, p := range seriesPair.FindAllStringSubmatch(line, -1) {
			pairs[p[1]] = p[2]
		}
		if le, err := strconv.ParseFloat(pairs["le"], 64); err == nil && le == bound && pairs[control.LabelEndpoint] == "/" {
			return true
		}
	}
	return false
}

// A service may leave fine histograms out, but not count otherwise in them.
func testFineHistograms(t T, fine string) {
	t.Helper()
	if got, ok := find(fine, control.RequestsTotal, control.LabelEndpoint, "/", control.LabelCode, "502"); !ok || got != 1 {
		t.Errorf("the metrics with fine histograms count %v requests", got)
	}
	for line := range strings.Lines(fine) {
		if !strings.HasPrefix(line, control.RequestDurationFine+`{endpoint="/"}`) && !strings.HasPrefix(line, control.CallDurationFine+`{callee="child"}`) {
			continue
		}
		if fields := strings.Fields(line); len(fields) != 3 || !strings.HasSuffix(fields[2], ":1") {
			t.Errorf("after one request the fine histogram is %q", line)
		}
	}
}
