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
	"sync"
	"time"

	logspb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// mostItems is how many items one request has.
const mostItems = 2048

// A pipe sends the items of one signal, some at a time, in their order.
type pipe[T any] struct {
	options  Options
	courier  courier
	encode   func([]T) proto.Message
	response func() partial

	mu sync.Mutex
	// The fields below are guarded by mu. room is signalled when items have left
	// waiting, or when nobody is to wait for that.
	waiting []T
	room    *sync.Cond
	// failing says that the collector did not take the last request.
	failing, closed bool
	// under are those that are being sent.
	under  int
	counts result.OTLPCounts

	wake chan struct{}
	// hurry ends the waiting between two attempts, cut all sending.
	hurry chan struct{}
	cut   context.CancelFunc
	done  chan struct{}
}

func newPipe[T any](o Options, c courier, encode func([]T) proto.Message, response func() partial) *pipe[T] {
	p := &pipe[T]{options: o, courier: c, encode: encode, response: response, wake: make(chan struct{}, 1), hurry: make(chan struct{}), done: make(chan struct{})}
	p.room = sync.NewCond(&p.mu)
	var ctx context.Context
	ctx, p.cut = context.WithCancel(context.Background()) //nolint:gosec // close calls it
	go p.run(ctx)
	return p
}

// add takes items in. Those for which there is no room are counted as dropped.
func (p *pipe[T]) add(items []T) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(items) > 0 {
		for p.options.Pace && len(p.waiting) >= p.options.Queue && !p.failing && !p.closed {
			p.room.Wait()
		}
		if p.closed {
			break
		}
		n := min(len(items), p.options.Queue-len(p.waiting))
		if n == 0 {
			break
		}
		p.waiting = append(p.waiting, items[:n]...)
		items = items[n:]
		if len(p.waiting) >= mostItems {
			p.wakeUp()
		}
	}
	p.counts.Dropped += int64(len(items))
}

func (p *pipe[T]) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run sends until the pipe is closed and nothing is left, or all sending is cut.
func (p *pipe[T]) run(ctx context.Context) {
	defer close(p.done)
	ticker := time.NewTicker(p.options.Every)
	defer ticker.Stop()
	for {
		ending := false
		select {
		case <-ticker.C:
		case <-p.wake:
		case <-p.hurry:
			ending = true
		}
		for {
			batch := p.take()
			if len(batch) == 0 {
				break
			}
			p.deliver(ctx, batch)
		}
		if ending {
			return
		}
	}
}

// take takes the first items off the queue.
func (p *pipe[T]) take() []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), mostItems)
	batch := append([]T(nil), p.waiting[:n]...)
	rest := copy(p.waiting, p.waiting[n:])
	clear(p.waiting[rest:])
	p.waiting, p.under = p.waiting[:rest], n
	p.room.Broadcast()
	return batch
}

// The waits between two attempts to send the same, and the longest that a collector
// may ask for.
const (
	firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second
	longestAsked             = 30 * time.Second
)

// deliver sends items until the collector has taken or refused them, or all sending
// is cut.
func (p *pipe[T]) deliver(ctx context.Context, items []T) {
	body, err := proto.Marshal(p.encode(items))
	if err != nil {
		p.note(int64(len(items)), 0, 0, fmt.Errorf("writing the request: %w", err))
		return
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if ctx.Err() != nil {
			p.note(int64(len(items)), 0, 0, nil)
			return
		}
		response := p.response()
		asked, err := p.courier.post(ctx, body, response.message())
		if err == nil {
			refused, why := response.refused()
			refused = min(max(refused, 0), int64(len(items)))
			switch {
			case refused > 0:
				err = fmt.Errorf("the collector refuses %d of %d items: %q", refused, len(items), why)
			case why != "":
				err = fmt.Errorf("the collector warns: %q", why)
			}
			p.note(0, int64(len(items))-refused, refused, err)
			return
		}
		if refusal := (*refusal)(nil); errors.As(err, &refusal) {
			p.note(0, 0, int64(len(items)), err)
			return
		}
		if ctx.Err() == nil { // otherwise the reason is our own
			p.fail(err)
		}
		timer := time.NewTimer(max(pause, asked))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// note counts what became of items.
func (p *pipe[T]) note(dropped, sent, refused int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under = 0
	p.counts.Dropped += dropped
	p.counts.Sent += sent
	p.counts.Refused += refused
	if sent > 0 || refused > 0 {
		p.failing = false
	}
	if err != nil {
		p.counts.Trouble = err.Error()
	}
}

// fail notes that the collector could not be asked.
func (p *pipe[T]) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing, p.counts.Trouble = true, err.Error()
	p.room.Broadcast()
}

// close sends what is left, and ends the pipe.
func (p *pipe[T]) close(ctx context.Context) {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.room.Broadcast()
	p.mu.Unlock()
	if !closed {
		close(p.hurry)
	}
	late := time.NewTimer(p.options.Patience)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
	case <-ctx.Done():
	}
	p.cut()
	<-p.done
}

// sums are what became of all items.
func (p *pipe[T]) sums() result.OTLPCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := p.counts
	counts.Waiting = int64(len(p.waiting) + p.under)
	return counts
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
