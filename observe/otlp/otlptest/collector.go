// Package otlptest is an OpenTelemetry collector for tests: it receives OTLP over HTTP
// and reads it with the official types.
package otlptest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Collector keeps what it receives.
type Collector struct {
	// URL is where it listens.
	URL string

	mu      sync.Mutex
	spans   []Of[*trace.Span]
	logs    []Of[*logs.LogRecord]
	metrics []Of[*metrics.Metric]
}

// Of is an item with the attributes of the resource that it is of.
type Of[T any] struct {
	Resource map[string]string
	Item     T
}

// New starts a collector, which ends with the test. before, which may be nil, may
// answer a request in its place, and then returns true.
func New(t testing.TB, before func(http.ResponseWriter, *http.Request) bool) *Collector {
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before != nil && before(w, r) {
			return
		}
		response, err := c.receive(r)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body, err := proto.Marshal(response)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) receive(r *http.Request) (response proto.Message, err error) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("it is a %s of %q", r.Method, r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		m := &tracepb.ExportTraceServiceRequest{}
		if err := proto.Unmarshal(body, m); err != nil {
			return nil, err
		}
		for _, resource := range m.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					c.spans = append(c.spans, Of[*trace.Span]{Attributes(resource.GetResource().GetAttributes()), s})
				}
			}
		}
		return &tracepb.ExportTraceServiceResponse{}, nil
	case "/v1/logs":
		m := &logspb.ExportLogsServiceRequest{}
		if err := proto.Unmarshal(body, m); err != nil {
			return nil, err
		}
		for _, resource := range m.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				for _, l := range scope.GetLogRecords() {
					c.logs = append(c.logs, Of[*logs.LogRecord]{Attributes(resource.GetResource().GetAttributes()), l})
				}
			}
		}
		return &logspb.ExportLogsServiceResponse{}, nil
	case "/v1/metrics":
		m := &metricspb.ExportMetricsServiceRequest{}
		if err := proto.Unmarshal(body, m); err != nil {
			return nil, err
		}
		for _, resource := range m.GetResourceMetrics() {
			for _, scope := range resource.GetScopeMetrics() {
				for _, one := range scope.GetMetrics() {
					c.metrics = append(c.metrics, Of[*metrics.Metric]{Attributes(resource.GetResource().GetAttributes()), one})
				}
			}
		}
		return &metricspb.ExportMetricsServiceResponse{}, nil
	}
	return nil, fmt.Errorf("path %q is none of OTLP's", r.URL.Path)
}

// Attributes are attributes as text, by their keys.
func Attributes(list []*commonpb.KeyValue) map[string]string {
	texts := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			texts[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			texts[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_DoubleValue:
			texts[a.GetKey()] = fmt.Sprint(v.DoubleValue)
		case *commonpb.AnyValue_BoolValue:
			texts[a.GetKey()] = fmt.Sprint(v.BoolValue)
		}
	}
	return texts
}

// Spans, Logs and Metrics are what has been received.
func (c *Collector) Spans() []Of[*trace.Span] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Of[*trace.Span](nil), c.spans...)
}

// Logs are the records that have been received.
func (c *Collector) Logs() []Of[*logs.LogRecord] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Of[*logs.LogRecord](nil), c.logs...)
}

// Metrics are the metrics that have been received, each with some points.
func (c *Collector) Metrics() []Of[*metrics.Metric] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Of[*metrics.Metric](nil), c.metrics...)
}
