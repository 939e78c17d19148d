package otlp

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"regexp"
	"time"

	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricscollector "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// WriteLogs writes lines of logs as requests of OTLP in JSON, one a line.
func WriteLogs(w io.Writer, origin trace.Origin, lines []logline.Line) error {
	out := newJSONLines(w)
	for len(lines) > 0 {
		n := min(len(lines), mostItems)
		if err := out.write(&logspb.ExportLogsServiceRequest{ResourceLogs: logsOf(&origin, lines[:n])}); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return out.w.Flush()
}

// A Gauge is a value of a metric of a service at a time.
type Gauge struct {
	Service, Name, Unit, Description string
	At                               time.Time
	Value                            float64
}

// WriteGauges writes values as requests of OTLP in JSON, one a line. Values of one
// time should follow on each other.
func WriteGauges(w io.Writer, origin trace.Origin, gauges []Gauge) error {
	out := newJSONLines(w)
	for len(gauges) > 0 {
		n := min(len(gauges), mostItems)
		if err := out.write(&metricscollector.ExportMetricsServiceRequest{ResourceMetrics: gaugesOf(&origin, gauges[:n])}); err != nil {
			return err
		}
		gauges = gauges[n:]
	}
	return out.w.Flush()
}

func gaugesOf(origin *trace.Origin, gauges []Gauge) []*metricspb.ResourceMetrics {
	scopes, messages := map[string]*metricspb.ScopeMetrics{}, []*metricspb.ResourceMetrics{}
	data := map[[2]string]*metricspb.Gauge{}
	for i := range gauges {
		g := &gauges[i]
		scope := scopes[g.Service]
		if scope == nil {
			scope = &metricspb.ScopeMetrics{Scope: scopeOf(origin.Scope())}
			scopes[g.Service] = scope
			messages = append(messages, &metricspb.ResourceMetrics{Resource: resourceOf(origin.Resource(g.Service, 0)), ScopeMetrics: []*metricspb.ScopeMetrics{scope}})
		}
		key := [2]string{g.Service, g.Name}
		if data[key] == nil {
			data[key] = &metricspb.Gauge{}
			scope.Metrics = append(scope.Metrics, &metricspb.Metric{Name: g.Name, Unit: g.Unit, Description: g.Description, Data: &metricspb.Metric_Gauge{Gauge: data[key]}})
		}
		data[key].DataPoints = append(data[key].DataPoints, &metricspb.NumberDataPoint{TimeUnixNano: uint64(g.At.UnixNano()), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: g.Value}})
	}
	return messages
}

// jsonLines writes messages in OTLP's JSON encoding, which differs from that of
// protobuf: ids are hexadecimal digits and enums are numbers
// (opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
type jsonLines struct {
	w   *bufio.Writer
	ids *regexp.Regexp
}

func newJSONLines(w io.Writer) *jsonLines {
	// Quotes within values have a backslash, so what looks like a key is one.
	return &jsonLines{bufio.NewWriterSize(w, 64<<10), regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([A-Za-z0-9+/=]*)"`)}
}

func (j *jsonLines) write(m proto.Message) error {
	loose, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(m)
	if err != nil {
		return err
	}
	// protojson has spaces in places that it draws.
	var text bytes.Buffer
	if err := json.Compact(&text, loose); err != nil {
		return err
	}
	line := j.ids.ReplaceAllFunc(text.Bytes(), func(field []byte) []byte {
		parts := j.ids.FindSubmatch(field)
		id, err := base64.StdEncoding.DecodeString(string(parts[2]))
		if err != nil {
			return field
		}
		return []byte(`"` + string(parts[1]) + `":"` + hex.EncodeToString(id) + `"`)
	})
	_, _ = j.w.Write(line) // Flush tells
	return j.w.WriteByte('\n')
}
