package mock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An ending is how a request, or a branch of it, ends: by respond, abort or fail.
type ending struct {
	kind       kind
	status     int
	text, body string
}

const (
	keepOfAnswer = 64 << 10
	maxAnswers   = 16 << 20
)

// An exchange is a request being answered. Branches run at the same time, so what
// they share has a lock.
type exchange struct {
	service  *Service
	request  *Request
	id, hop  string
	from     string
	key      key
	deadline time.Time
	chain    bool
	faults   *faultSet

	mu        sync.Mutex
	notes     []string
	documents []string
	times     []string
	answered  int
	degraded  int
	corrupt   bool
	held      []func()
}

func (x *exchange) release() {
	for _, free := range x.held {
		free()
	}
}

func (x *exchange) degrade(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.degraded += n
}

func (x *exchange) timeOver() *ending {
	if x.deadline.IsZero() || time.Now().Before(x.deadline) {
		return nil
	}
	return &ending{kind: opFail, status: http.StatusGatewayTimeout, text: "the time of the request is over"}
}

// run does the operations up to one that ends the request; nil if none does.
func (x *exchange) run(ops []op) *ending {
	for i := range ops {
		if f := ops[i].fault; f != nil {
			f.hits.Add(1)
		}
		if e := x.do(&ops[i]); e != nil {
			return e
		}
	}
	return nil
}

func (x *exchange) do(o *op) *ending {
	var e *ending
	switch o.kind {
	case opRespond, opAbort:
		return &ending{kind: o.kind}
	case opFail:
		by := "the service's error rate"
		if o.fault != nil {
			by = "fault " + o.fault.id
		} else if x.chain {
			by = "the chain's fault"
		}
		return &ending{kind: opFail, status: o.status, text: fmt.Sprintf("%d by %s", o.status, by)}
	case opCorrupt:
		x.corrupt = true
		return nil
	case opLeak:
		return x.leak(o)
	case opHang:
		return x.hang(o)
	case opRoute:
		x.callRoute(o)
		return nil
	case opCall:
		e = x.call(o)
	case opParallel:
		e = x.parallel(o)
	case opHold:
		free, err := x.service.memory.take(o.bytes)
		if err != nil {
			return &ending{kind: opFail, status: http.StatusServiceUnavailable, text: "memory: " + err.Error()}
		}
		x.mu.Lock()
		x.held = append(x.held, free)
		x.mu.Unlock()
	default:
		e = x.work(o)
	}
	if e != nil {
		return e
	}
	return x.timeOver()
}

func (x *exchange) work(o *op) *ending {
	switch o.kind {
	case opSleep:
		d := o.time
		if !x.deadline.IsZero() {
			d = min(d, time.Until(x.deadline))
		}
		sleep(x.service.stopping, d)
	case opUnits:
		burnUnits(o.units)
	case opCPU:
		if o.cores == 1 {
			burnTime(o.time)
		} else {
			burnCores(o.cores, o.time)
		}
	case opIO:
		if err := writeAndSync(o.bytes); err != nil {
			return x.broke(o, "io: "+err.Error())
		}
	}
	return nil
}

// broke notes in a chain what went wrong. It ends a request to an endpoint, unless
// a fault could not act.
func (x *exchange) broke(o *op, text string) *ending {
	switch {
	case x.chain:
		x.notes = append(x.notes, text)
		x.degraded++
	case o.fault == nil:
		return &ending{kind: opFail, status: http.StatusInternalServerError, text: text}
	}
	return nil
}

func (x *exchange) leak(o *op) *ending {
	free, err := x.service.memory.take(o.bytes)
	if err != nil {
		return x.broke(o, "memory-leak: "+err.Error())
	}
	time.AfterFunc(o.time, free)
	return nil
}

// hang waits until the fault is cleared, the client leaves, or the service ends.
func (x *exchange) hang(o *op) *ending {
	cleared := context.Background()
	if o.fault != nil {
		cleared = o.fault.cleared
	}
	select {
	case <-cleared.Done():
		return x.timeOver()
	case <-x.request.Gone:
	case <-x.service.stopping.Done():
	}
	return &ending{kind: opAbort}
}

func (x *exchange) parallel(o *op) *ending {
	endings := make([]*ending, len(o.branches))
	var wait sync.WaitGroup
	for i, branch := range o.branches {
		wait.Go(func() { endings[i] = x.run(branch) })
	}
	wait.Wait()
	for _, e := range endings {
		if e != nil {
			return e
		}
	}
	return nil
}

// An outgoing request is one to a service. Without a path it is sent to that of
// the service's URL.
type outgoing struct {
	method, path string
	body         []byte
	contentType  string
	timeout      time.Duration
	keep         int
	times        string
}

// send sends one request to a replica of a service.
func (x *exchange) send(to string, urls []*url.URL, index int, out outgoing) (*reply, error) {
	if len(urls) == 0 {
		return nil, &callError{outcome: "connection_error", text: "no address of it is known"}
	}
	n := 0
	if len(urls) > 1 {
		n = x.key.with("replica").withInt(index).intN(len(urls))
	}
	path := out.path
	if path == "" {
		path = "/"
	}
	if f := x.faults.unreachableBy(x.key, x.service.Name, to, path, n+1, index); f != nil {
		f.hits.Add(1)
		return nil, &callError{outcome: "connection_error", text: "a fault lets nobody answer"}
	}
	u := *urls[n]
	if out.path != "" {
		u.Path = out.path
	}
	var body io.Reader = once{bytes.NewReader(nil)}
	switch {
	case len(out.body) > 0:
		body = bytes.NewReader(out.body)
	case out.method != http.MethodGet && out.method != http.MethodHead:
		body = nil
	}
	req, err := http.NewRequestWithContext(x.service.stopping, out.method, u.String(), body)
	if err != nil {
		return nil, &callError{outcome: "connection_error", text: err.Error()}
	}
	x.identify(req.Header, to, index, &out)
	deadline := x.deadline
	if own := time.Now().Add(out.timeout); out.timeout > 0 && (deadline.IsZero() || own.Before(deadline)) {
		deadline = own
	}
	return send(x.service.client, req, deadline, out.keep)
}

// identify sets the headers of a call.
func (x *exchange) identify(h http.Header, to string, index int, out *outgoing) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	in := x.request.Header
	hop := strconv.Itoa(index)
	if x.hop != "" {
		hop = x.hop + "." + hop
	}
	set("X-Request-ID", x.id)
	set("Microsim-Hop", hop)
	set("Microsim-From", x.service.Name)
	set("Microsim-Times", out.times)
	set("Content-Type", out.contentType)
	set("Traceparent", traceparent(in))
	if in.Get("Traceparent") != "" {
		set("Tracestate", valueOf(in, "Tracestate", 512))
	}
	if to != "external" {
		set("Authorization", valueOf(in, "Authorization", 8192))
	}
	if !x.deadline.IsZero() {
		left := math.Ceil(float64(time.Until(x.deadline)) / 1e6)
		set("Microsim-Deadline", strconv.Itoa(int(max(left, 0))))
	}
}

func (x *exchange) call(o *op) *ending {
	c, began := o.call, time.Now()
	out := outgoing{method: c.Method, path: c.Endpoint, timeout: time.Duration(c.Timeout), keep: keepOfAnswer}
	if c.RequestSize > 0 {
		out.body, _ = payload(int64(c.RequestSize))
		out.contentType = "application/octet-stream"
	}
	got, err := x.send(c.To, x.service.peers.of(c.To), o.index, out)
	switch {
	case err != nil:
	case got.status >= 400:
		err = &callError{outcome: "http_error", text: "it answered " + statusText(got.status), status: got.status}
	case got.contentType == "application/json" && got.whole && len(got.body) > 0 && !json.Valid(got.body):
		err = &callError{outcome: "malformed", text: "the answer is no JSON"}
	}
	failed := (*callError)(nil)
	if !errors.As(err, &failed) {
		x.service.metrics.call(c.To, "ok", time.Since(began), got.degraded)
		x.degrade(got.degraded)
		return nil
	}
	x.service.metrics.call(c.To, failed.outcome, time.Since(began), 0)
	x.degrade(1)
	text := fmt.Sprintf("calling %s: %s: %s", c.To, failed.outcome, failed.text)
	for _, name := range []string{strconv.Itoa(failed.status), failed.outcome, "other"} {
		if a, ok := c.Answers[name]; ok {
			return &ending{kind: opFail, status: a.Status, text: text, body: a.Body}
		}
	}
	switch {
	case c.OnError == "ignore":
		return nil
	case failed.outcome == "timeout":
		return &ending{kind: opFail, status: http.StatusGatewayTimeout, text: text}
	}
	return &ending{kind: opFail, status: http.StatusBadGateway, text: text}
}

// callRoute sends a route of a chain on, and keeps the document that came back.
func (x *exchange) callRoute(o *op) {
	began, document, times := time.Now(), "null", ""
	name, got, err := x.sendRoute(o)
	failed := (*callError)(nil)
	switch {
	case err == nil:
		x.service.metrics.call(name, "ok", time.Since(began), got.degraded)
		x.answered += len(got.body)
		x.degraded += got.degraded
		document, times = string(got.body), got.times
	case errors.As(err, &failed):
		x.service.metrics.call(name, failed.outcome, time.Since(began), 0)
	}
	if err != nil {
		text := err.Error()
		if failed != nil && failed.outcome != "http_error" {
			text = failed.outcome + ": " + text
		}
		x.notes = append(x.notes, fmt.Sprintf("calling %.128s: %s", o.route.designation, text))
		x.degraded++
	}
	x.documents, x.times = append(x.documents, document), append(x.times, times)
}

func (x *exchange) sendRoute(o *op) (name string, got *reply, err error) {
	name, urls, err := x.service.peers.locate(o.route.designation)
	if err != nil {
		return "", nil, err
	}
	body, err := encodeJSON(o.route.document)
	if err != nil {
		return "", nil, err
	}
	got, err = x.send(name, urls, o.index, outgoing{
		method: http.MethodPost, body: body, contentType: jsonType, keep: maxAnswers - x.answered, times: valueOf(x.request.Header, "Microsim-Times", 16384),
	})
	switch {
	case err != nil:
	case got.status >= 400:
		err = &callError{outcome: "http_error", text: "it answered " + statusText(got.status) + reasonOf(got.body)}
	case !got.whole:
		err = &callError{outcome: "malformed", text: fmt.Sprintf("the answers of all routes have more than %d bytes", maxAnswers)}
	case !json.Valid(got.body) || !bytes.HasPrefix(bytes.TrimSpace(got.body), []byte("{")):
		err = &callError{outcome: "malformed", text: "the answer is no JSON object"}
	}
	return name, got, err
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

func reasonOf(body []byte) string {
	var document struct{ Errors []string }
	if json.Unmarshal(body, &document) != nil || len(document.Errors) == 0 {
		return ""
	}
	return fmt.Sprintf(": %.128s", document.Errors[0])
}

func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// payload is a body of exactly so many bytes, and its type.
func payload(n int64) (body []byte, contentType string) {
	if n > 0 && n < 15 {
		return bytes.Repeat([]byte("0"), int(n)), "text/plain"
	}
	return fmt.Appendf(nil, "{\"payload\":\"%s\"}\n", strings.Repeat("0", int(max(n-15, 0)))), jsonType
}
