package collect

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// page is what a service of two endpoints and a few callees serves at /metrics,
// n requests after its start.
func page(service string, n int, callees ...string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	histogram := func(name, labels string) {
		seen := 0
		for _, le := range []string{"0.0002", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "15", "25"} {
			seen = min(n, seen+n/10)
			line(`%s_bucket{%s,service="%s",le="%s"} %d`, name, labels, service, le, seen)
		}
		line(`%s_bucket{%s,service="%s",le="+Inf"} %d`, name, labels, service, n)
		line(`%s_sum{%s,service="%s"} %v`, name, labels, service, float64(n)*0.004)
		line(`%s_count{%s,service="%s"} %d`, name, labels, service, n)
	}
	if len(callees) > 0 {
		line("# HELP microsim_call_duration_seconds Time of calls, whatever their outcome.\n# TYPE microsim_call_duration_seconds histogram")
		for _, c := range callees {
			histogram("microsim_call_duration_seconds", `callee="`+c+`"`)
		}
		line("# HELP microsim_calls_total Calls made, by callee and outcome.\n# TYPE microsim_calls_total counter")
		for _, c := range callees {
			for _, outcome := range []string{"ok", "http_error", "connection_error", "timeout", "breaker_open", "rejected", "cancelled", "malformed"} {
				line(`microsim_calls_total{callee="%s",outcome="%s",service="%s"} %d`, c, outcome, service, map[bool]int{true: n}[outcome == "ok"])
			}
		}
	}
	line("# TYPE microsim_requests_degraded_total counter")
	for _, e := range []string{"/", "chain", "other"} {
		line(`microsim_requests_degraded_total{endpoint="%s",service="%s"} %d`, e, service, n/10)
	}
	if len(callees) > 0 {
		line("# TYPE microsim_calls_degraded_total counter")
	}
	for _, c := range callees {
		line(`microsim_calls_degraded_total{callee="%s",service="%s"} %d`, c, service, n/5)
	}
	line("# TYPE microsim_inflight_requests gauge\nmicrosim_inflight_requests{service=\"%s\"} %d", service, n%7)
	line("# TYPE microsim_queue_length gauge\nmicrosim_queue_length{service=\"%s\"} 2", service)
	line("# TYPE microsim_held_memory_bytes gauge\nmicrosim_held_memory_bytes{service=\"%s\"} 1.048576e+06", service)
	line("# TYPE microsim_fault_active gauge")
	for _, f := range []string{"latency", "error", "abort", "hang", "corrupt", "memory-leak", "cpu", "io", "panic"} {
		line(`microsim_fault_active{fault="%s",service="%s"} 0`, f, service)
	}
	line("# TYPE microsim_request_duration_seconds histogram")
	for _, e := range []string{"/", "chain", "other"} {
		histogram("microsim_request_duration_seconds", `endpoint="`+e+`"`)
	}
	line("# TYPE microsim_requests_total counter")
	for _, e := range []string{"/", "chain", "other"} {
		for _, code := range []string{"200", "500", "502", "503", "504", "aborted"} {
			line(`microsim_requests_total{code="%s",endpoint="%s",service="%s"} %d`, code, e, service, map[bool]int{true: n}[code == "200"])
		}
	}
	return []byte(b.String())
}

func BenchmarkExpfmt(b *testing.B) {
	text := page("cart", 12345, "db", "cache", "auth")
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// finePage is the page that our own services answer a scraper with: the same
// without wide buckets, and with latencies of a long tail in fine ones.
func finePage(service string, n int, callees ...string) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(page(service, n, callees...))) {
		if !strings.Contains(line, "_duration_seconds") {
			b.WriteString(line)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	fine := func(series string) {
		var h stats.Histogram
		for range n {
			h.Add(time.Duration(math.Exp(random.NormFloat64())*float64(5*time.Millisecond)), 1)
		}
		b.Write(append(h.AppendText([]byte(series+" ")), '\n'))
	}
	fine(`microsim_request_duration_fine{endpoint="/"}`)
	b.WriteString(`microsim_request_duration_fine{endpoint="chain"} 0` + "\n" + `microsim_request_duration_fine{endpoint="other"} 0` + "\n")
	for _, c := range callees {
		fine(`microsim_call_duration_fine{callee="` + c + `"}`)
	}
	return b.Bytes()
}
