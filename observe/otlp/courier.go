package otlp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/observe/outbox"
)

// mostItems is how many items one request has.
const mostItems = 2048

// longestAsked is the longest that a collector may want to be left alone.
const longestAsked = 30 * time.Second

// newPipe begins to send the items of one signal.
func newPipe[T any](o Options, c courier, encode func([]T) proto.Message, response func() partial) *outbox.Box[T] {
	options := outbox.Options{Queue: o.Queue, Most: mostItems, Every: o.Every, Patience: o.Patience, Pace: o.Pace}
	return outbox.New(options, func(ctx context.Context, items []T) outbox.Answer {
		body, err := proto.Marshal(encode(items))
		if err != nil {
			return outbox.Answer{Refused: int64(len(items)), Trouble: fmt.Errorf("writing the request: %w", err)}
		}
		return c.deliver(ctx, body, len(items), response())
	})
}

// deliver sends a request with so many items, and reads the response.
func (c *courier) deliver(ctx context.Context, body []byte, items int, response partial) outbox.Answer {
	asked, err := c.post(ctx, body, response.message())
	if refusal := (*refusal)(nil); errors.As(err, &refusal) {
		return outbox.Answer{Refused: int64(items), Trouble: err}
	}
	if err != nil {
		return outbox.Answer{Again: true, Wait: asked, Trouble: err}
	}
	refused, why := response.refused()
	switch {
	case refused > 0:
		return outbox.Answer{Refused: refused, Trouble: fmt.Errorf("the collector refuses %d of %d items: %q", min(refused, int64(items)), items, why)}
	case why != "":
		return outbox.Answer{Trouble: fmt.Errorf("the collector warns: %q", why)}
	}
	return outbox.Answer{}
}

// A courier posts messages to one address.
type courier struct {
	client  *http.Client
	address string
	headers map[string]string
}

// A refusal is the answer of a collector that does not want a request, now or later.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// post sends a message, and reads the answer. An error that is no refusal may be over
// later; asked is how long the collector wants to be left alone.
func (c *courier) post(ctx context.Context, body []byte, into proto.Message) (asked time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return 0, &refusal{err.Error()}
	}
	request.Header.Set("User-Agent", "kubectl-microsim/"+version.String())
	for name, value := range c.headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := c.client.Do(request)
	if err != nil {
		if outer := (*url.Error)(nil); errors.As(err, &outer) {
			err = outer.Err // the address is told beside it, without its password
		}
		return 0, fmt.Errorf("sending to the collector: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch response.StatusCode {
	case http.StatusOK:
		// An answer that is cut short, or none of OTLP's, was a good one all the same.
		if err == nil && strings.HasPrefix(response.Header.Get("Content-Type"), "application/x-protobuf") {
			_ = proto.Unmarshal(answer, into)
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// These alone are to be tried again (OTLP, "Failures").
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return min(time.Duration(max(seconds, 0))*time.Second, longestAsked), fmt.Errorf("the collector answers %s", response.Status)
	default:
		return 0, &refusal{fmt.Sprintf("the collector answers %s%s", response.Status, excerpt(response, answer))}
	}
}

// excerpt is the beginning of an answer in words.
func excerpt(r *http.Response, answer []byte) string {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, "text/plain") && !strings.HasPrefix(t, "application/json") {
		return ""
	}
	text := strings.Join(strings.Fields(string(answer)), " ")
	const most = 200
	if len(text) > most {
		text = text[:most] + "..."
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": %q", text)
}

// A partial is the answer to a request, which may say that a part was refused.
type partial interface {
	message() proto.Message
	refused() (n int64, why string)
}

type (
	tracePartial struct {
		tracepb.ExportTraceServiceResponse
	}
	logsPartial struct {
		logspb.ExportLogsServiceResponse
	}
	metricsPartial struct {
		metricspb.ExportMetricsServiceResponse
	}
)

func (p *tracePartial) message() proto.Message { return &p.ExportTraceServiceResponse }
func (p *tracePartial) refused() (int64, string) {
	s := p.GetPartialSuccess()
	return s.GetRejectedSpans(), s.GetErrorMessage()
}

func (p *logsPartial) message() proto.Message { return &p.ExportLogsServiceResponse }
func (p *logsPartial) refused() (int64, string) {
	s := p.GetPartialSuccess()
	return s.GetRejectedLogRecords(), s.GetErrorMessage()
}

func (p *metricsPartial) message() proto.Message { return &p.ExportMetricsServiceResponse }
func (p *metricsPartial) refused() (int64, string) {
	s := p.GetPartialSuccess()
	return s.GetRejectedDataPoints(), s.GetErrorMessage()
}
