// Package otlp sends the spans, metrics and logs of a system to an OpenTelemetry
// collector, or to anything else that receives OTLP over HTTP, while the system runs.
// It never waits for the collector: what waits to be sent is bounded, and what
// does not fit is counted.
//
// Messages are those of OTLP 1.x (opentelemetry.io/docs/specs/otlp), in the official
// protobuf types.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/outbox"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The paths of the three signals below the collector's URL.
const (
	tracesPath  = "/v1/traces"
	metricsPath = "/v1/metrics"
	logsPath    = "/v1/logs"
)

// Options say where and how to send. Zero fields have good defaults.
type Options struct {
	// URL is the collector's, such as http://localhost:4318; the paths of the signals
	// are added to it.
	URL string
	// Headers are sent with each request, such as those that authorize.
	Headers map[string]string
	// Queue is how many items of a signal may wait: 65536.
	Queue int
	// Every is how long an item waits for others at most: a second.
	Every time.Duration
	// Timeout bounds a request: 10 s. Patience bounds the sending of what is left at the
	// end: 10 s.
	Timeout, Patience time.Duration
	// Pace has those who add items wait while there is no room, as long as the
	// collector takes what it is sent: for items that are not of real time.
	Pace bool
	// Rootless says that nobody sends the roots of traces, so that the request at the
	// first service is the top of its trace.
	Rootless bool
}

// ParseURL checks the URL of a collector.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL of a collector %q: %w", problem.CleanURL(text), errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%q is not the URL of a collector: write one such as http://localhost:4318, where it receives OTLP over HTTP", problem.CleanURL(text))
	case u.Port() == "4317":
		return nil, fmt.Errorf("%q has the port of OTLP over gRPC, which is not spoken here: write that of OTLP over HTTP, mostly 4318", problem.CleanURL(text))
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q has a query or a fragment, and paths are added to it: leave them out", problem.CleanURL(text))
	case strings.HasSuffix(u.Path, tracesPath), strings.HasSuffix(u.Path, metricsPath), strings.HasSuffix(u.Path, logsPath):
		return nil, fmt.Errorf("%q is for one signal, and the paths of all three are added: leave %s out", problem.CleanURL(text), u.Path[strings.LastIndex(u.Path, "/v1/"):])
	}
	return u, nil
}

// A Sender sends what one system shows. Its methods may be called by several
// goroutines at once.
type Sender struct {
	url     string
	spans   *outbox.Box[span.Span]
	logs    *outbox.Box[logline.Line]
	metrics *outbox.Box[point]
	client  *http.Client
	account account
}

// New begins to send. Close must be called.
func New(o Options, origin trace.Origin) (*Sender, error) {
	u, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Sender{url: problem.CleanURL(o.URL), client: &http.Client{
		Timeout: o.Timeout,
		// A request that is sent again elsewhere would lose its body or its headers.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 3, IdleConnTimeout: time.Minute},
	}}
	at := func(path string) courier { return courier{s.client, u.JoinPath(path).String(), o.Headers} }
	s.spans = newPipe(o, at(tracesPath), func(spans []span.Span) proto.Message {
		if !o.Rootless {
			spans = belowRoots(spans)
		}
		return &tracepb.ExportTraceServiceRequest{ResourceSpans: spansOf(&origin, spans)}
	}, func() partial { return &tracePartial{} })
	s.logs = newPipe(o, at(logsPath), func(lines []logline.Line) proto.Message {
		return &logspb.ExportLogsServiceRequest{ResourceLogs: logsOf(&origin, lines)}
	}, func() partial { return &logsPartial{} })
	s.metrics = newPipe(o, at(metricsPath), func(points []point) proto.Message {
		return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: metricsOf(&origin, points)}
	}, func() partial { return &metricsPartial{} })
	s.account = newAccount()
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	return o
}

// Spans sends spans. The slice may be used again.
func (s *Sender) Spans(spans []span.Span) { s.spans.Add(spans...) }

// Line sends a line of a log.
func (s *Sender) Line(l logline.Line) { s.logs.Add(l) }

// Observe sends the figures of services and clients, which an event of a run may tell.
func (s *Sender) Observe(event runner.Event) { s.metrics.Add(s.account.observe(event)...) }

// Close sends what is left, as far as the collector takes it within the patience of
// the options or until ctx ends, and says what became of everything.
func (s *Sender) Close(ctx context.Context) *result.OTLP {
	var closing sync.WaitGroup
	for _, end := range []func(context.Context){s.spans.Close, s.logs.Close, s.metrics.Close} {
		closing.Go(func() { end(ctx) })
	}
	closing.Wait()
	s.client.CloseIdleConnections()
	return s.Sums()
}

// Sums says what has become of everything so far.
func (s *Sender) Sums() *result.OTLP {
	return &result.OTLP{URL: s.url, Spans: s.spans.Sums(), Logs: s.logs.Sums(), Points: s.metrics.Sums()}
}
