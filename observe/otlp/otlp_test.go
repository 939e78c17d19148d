package otlp_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp/otlptest"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

func origin() trace.Origin { return trace.Origin{System: "shop", Target: "local", Version: "v1"} }

func sender(t *testing.T, o otlp.Options) *otlp.Sender {
	t.Helper()
	o.Every = time.Millisecond
	s, err := otlp.New(o, origin())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spans are n spans of one trace each.
func spans(n int) []span.Span {
	list := make([]span.Span, n)
	for i := range list {
		request := fmt.Sprint("request-", i)
		list[i] = span.Span{Trace: span.NewTraces(1).Of(request), Kind: span.Server, Service: "web", Replica: 1, Request: request, Method: "GET", Path: "/", Start: 1e18, Duration: time.Millisecond, Status: 503}
		list[i].SetIDs()
	}
	return list
}

func TestAllSignalsArrive(t *testing.T) {
	c := otlptest.New(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Tenant") != "lab 1" {
			t.Errorf("the headers are %v", r.Header)
		}
		return false
	})
	s := sender(t, otlp.Options{URL: c.URL + "/", Headers: map[string]string{"X-Tenant": "lab 1"}})
	const most = 5000 // more than one request takes
	list := spans(most)
	s.Spans(list)
	line, _ := logline.Parse([]byte(`{"time":"2026-11-27T13:24:22.5Z","level":"DEBUG","msg":"request","system":"shop","service":"web","replica":1,"request":"request-0","trace":"` +
		list[0].Trace.String() + `","method":"GET","path":"/","status":503,"duration":0.25}`))
	s.Line(line)
	var latency stats.Histogram
	latency.Add(7*time.Millisecond, 3)
	latency.Add(time.Minute, 1)
	at := time.Unix(1000, 0)
	s.Observe(runner.LoadBegun{At: at})
	for i := range 3 {
		s.Observe(runner.ServiceSampled{Sample: measure.Sample{At: at.Add(time.Duration(i+1) * time.Second), Elapsed: time.Second, Service: "web", Codes: map[string]int64{"200": 3, "aborted": 1}, Latency: latency, Up: 1, InFlight: int64(i)}})
	}
	s.Observe(runner.ServiceSampled{Sample: measure.Sample{At: at.Add(4 * time.Second), Service: "web"}})
	sent := s.Close(t.Context())
	if sent.Spans.Sent != most || sent.Logs.Sent != 1 || sent.Spans.Dropped+sent.Logs.Dropped+sent.Points.Dropped+sent.Spans.Refused > 0 || sent.Spans.Trouble != "" {
		t.Errorf("sent is %+v", sent)
	}
	if got := c.Spans(); len(got) != most {
		t.Fatalf("%d spans have arrived", len(got))
	}
	first := c.Spans()[0]
	root := span.IdsOf(list[0].Trace, "request-0").Root()
	if s := first.Item; string(s.GetTraceId()) != string(list[0].Trace[:]) || string(s.GetSpanId()) != string(list[0].ID[:]) || string(s.GetParentSpanId()) != string(root[:]) ||
		s.GetName() != "GET /" || s.GetStartTimeUnixNano() != 1e18 || s.GetEndTimeUnixNano() != 1e18+1e6 || otlptest.Attributes(s.GetAttributes())["http.response.status_code"] != "503" || s.GetStatus().GetCode() != 2 {
		t.Errorf("the span is %v", s)
	}
	if r := first.Resource; r["service.name"] != "web" || r["service.namespace"] != "shop" || r["service.instance.id"] != "web/1" {
		t.Errorf("the resource is %v", r)
	}
	record := c.Logs()[0]
	if l := record.Item; string(l.GetTraceId()) != string(list[0].Trace[:]) || string(l.GetSpanId()) != string(list[0].ID[:]) || l.GetBody().GetStringValue() != "request" || l.GetSeverityNumber() != 5 ||
		l.GetSeverityText() != "DEBUG" || l.GetTimeUnixNano() != uint64(line.Time.UnixNano()) || record.Resource["service.name"] != "web" {
		t.Errorf("the record is %v of %v", l, record.Resource)
	}
	attributes := otlptest.Attributes(record.Item.GetAttributes())
	if len(attributes) != 5 || attributes["http.response.status_code"] != "503" || attributes["microsim.duration"] != "0.25" || attributes["microsim.request.id"] != "request-0" {
		t.Errorf("the record's attributes are %v", attributes)
	}
	checkMetrics(t, c)
}

// checkMetrics looks at the last points of what TestAllSignalsArrive has sent.
func checkMetrics(t *testing.T, c *otlptest.Collector) {
	t.Helper()
	last := map[string]string{}
	points := 0
	for _, m := range c.Metrics() {
		name := m.Resource["service.name"] + " " + m.Item.GetName()
		for _, p := range m.Item.GetSum().GetDataPoints() {
			a := otlptest.Attributes(p.GetAttributes())
			last[name+" "+a["http.response.status_code"]+a["error.type"]] = fmt.Sprint(p.GetAsDouble(), m.Item.GetSum().GetIsMonotonic(), m.Item.GetSum().GetAggregationTemporality().Number(), p.GetStartTimeUnixNano()/1e9)
			points++
		}
		for _, p := range m.Item.GetGauge().GetDataPoints() {
			last[name] = fmt.Sprint(p.GetAsDouble(), p.GetTimeUnixNano()/1e9)
			points++
		}
		for _, p := range m.Item.GetHistogram().GetDataPoints() {
			last[name] = fmt.Sprint(p.GetCount(), p.GetSum(), p.GetBucketCounts(), len(p.GetExplicitBounds()))
			points++
		}
	}
	for name, want := range map[string]string{
		"web microsim.requests 200":        "9 true 2 1000",
		"web microsim.requests aborted":    "3 true 2 1000",
		"web http.server.request.duration": "12 180.063 [0 9 0 0 0 0 0 0 0 0 0 0 0 0 3] 14",
		"web http.server.active_requests":  "2 1003",
		"web microsim.replicas.up":         "0 1004",
	} {
		if last[name] != want {
			t.Errorf("%s is %q, not %q", name, last[name], want)
		}
	}
	if last["web process.cpu.time "] != "" || last["web process.memory.usage"] != "" {
		t.Errorf("what is not known is sent: %v", last)
	}
	if points == 0 {
		t.Error("no points")
	}
}

// Where nobody sends roots, the request at the first service is the top of its trace.
func TestRootless(t *testing.T) {
	c := otlptest.New(t, nil)
	s := sender(t, otlp.Options{URL: c.URL, Rootless: true})
	list := spans(1)
	s.Spans(list)
	if sent := s.Close(t.Context()); sent.Spans.Sent != 1 {
		t.Fatalf("sent is %+v", sent)
	}
	if got := c.Spans()[0].Item; len(got.GetParentSpanId()) != 0 || string(got.GetSpanId()) != string(list[0].ID[:]) {
		t.Errorf("the span is %v", got)
	}
}

// A collector in trouble takes what it can, and every span is accounted for.
func TestTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		// answer is that to the n-th request, from 1; nil is a good one.
		answer  func(w http.ResponseWriter, n int64) bool
		sent    int64
		refused int64
		trouble string
	}{
		"busy at first": {func(w http.ResponseWriter, n int64) bool {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n < 3
		}, 10, 0, "503"},
		"does not want it": {func(w http.ResponseWriter, _ int64) bool {
			http.Error(w, "no such tenant", http.StatusUnauthorized)
			return true
		}, 0, 10, `401 Unauthorized: "no such tenant"`},
		"moved": {func(w http.ResponseWriter, _ int64) bool {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusPermanentRedirect)
			return true
		}, 0, 10, "308"},
		"takes a part": {func(w http.ResponseWriter, _ int64) bool {
			body, _ := proto.Marshal(&tracepb.ExportTraceServiceResponse{PartialSuccess: &tracepb.ExportTracePartialSuccess{RejectedSpans: 4, ErrorMessage: "too old"}})
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(body)
			return true
		}, 6, 4, `refuses 4 of 10 items: "too old"`},
		"answers nonsense": {func(w http.ResponseWriter, _ int64) bool {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write([]byte("\xff\xff"))
			return true
		}, 10, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			collector := otlptest.New(t, func(w http.ResponseWriter, _ *http.Request) bool { return c.answer(w, n.Add(1)) })
			s := sender(t, otlp.Options{URL: collector.URL})
			s.Spans(spans(10))
			got := s.Close(t.Context()).Spans
			if got.Sent != c.sent || got.Refused != c.refused || got.Dropped != 0 || !strings.Contains(got.Trouble, c.trouble) || (c.trouble == "") != (got.Trouble == "") {
				t.Errorf("of 10 spans: %+v", got)
			}
		})
	}
}

// A collector that is away, or does not answer, costs nothing but spans: adding never
// waits, what has no room is counted, and the end comes within its bound.
func TestAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := "http://" + ln.Addr().String() // connections are accepted by the kernel, and nobody answers
	defer ln.Close()
	for name, o := range map[string]otlp.Options{
		"away":            {URL: "http://127.0.0.1:1"},
		"silent":          {URL: silent},
		"silent, in pace": {URL: silent, Pace: true, Timeout: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			o.Queue, o.Patience = 100, 100*time.Millisecond
			s := sender(t, o)
			for range 10 {
				s.Spans(spans(100))
			}
			got := s.Close(t.Context()).Spans
			if got.Sent != 0 || got.Dropped != 1000 || got.Refused != 0 {
				t.Errorf("of 1000 spans: %+v", got)
			}
			s.Spans(spans(1)) // too late, and no harm
		})
	}
}

// In pace, those who add wait for room, and nothing is lost.
func TestPace(t *testing.T) {
	c := otlptest.New(t, func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(time.Millisecond)
		return false
	})
	s := sender(t, otlp.Options{URL: c.URL, Queue: 50, Pace: true})
	for range 20 {
		s.Spans(spans(60))
	}
	if got := s.Close(t.Context()).Spans; got.Sent != 1200 || got.Dropped != 0 || len(c.Spans()) != 1200 {
		t.Errorf("of 1200 spans: %+v", got)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:4318": "", "https://collector.example/otlp": "",
		"localhost:4318": "is not the URL", "ftp://x": "is not the URL", "http://": "is not the URL", "http://x:4317": "gRPC", "http://x:4318/v1/traces": "leave /v1/traces out",
		"http://x:4318?a=b": "query", "http://u:secret@x:4317": "xxxxx", "http://x:a": "invalid port",
	} {
		_, err := otlp.ParseURL(text)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
