// Package peer is a service's view of the others: the book of the services that may be
// called, and the client that calls them.
package peer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// A Request is one request to another service.
type Request struct {
	To *Replica
	// Method and Target are the method and the target in the request line.
	Method, Target string
	ContentType    string
	Body           []byte
	// Deadline bounds the call; zero means no bound. Told is the deadline that the
	// callee gets: the end of the whole request's time, because a caller does not
	// say how long it waits for one answer.
	Deadline, Told time.Time
	// Cancel ends the call early; it may be nil.
	Cancel context.Context
	// Keep is how many bytes of the answer are returned; Strict makes a longer
	// answer ErrTooLong.
	Keep   int64
	Strict bool

	// The other headers; a header without a value is not sent.
	ID, Hop, From, Trace, TraceState, Times, Authorization string
}

// A header is one line of a request's header; without a value it is not sent.
type header struct{ name, value string }

// headers returns the headers of the request, without its deadline and length.
func (o *Request) headers() [8]header {
	return [...]header{
		{control.RequestIDHeader, o.ID}, {control.TraceHeader, o.Trace}, {control.TraceStateHeader, o.TraceState}, {control.HopHeader, o.Hop}, {control.FromHeader, o.From},
		{control.TimesHeader, o.Times}, {control.AuthorizationHeader, o.Authorization}, {"Content-Type", o.ContentType},
	}
}

// An Answer is the answer to a Request.
type Answer struct {
	Status      int
	ContentType string
	// Body is the answer's beginning, up to Request.Keep bytes.
	Body []byte
	// Length is the length of the whole answer in bytes.
	Length int64
	// Times is the value of control.TimesHeader.
	Times string
	// Degraded is the value of control.DegradedHeader.
	Degraded int
	// RetryAfter is how long the answer asks the caller to wait before another request; 0
	// means that it does not ask for this.
	RetryAfter time.Duration
}

const retryAfterHeader = "Retry-After"

// longestWait bounds RetryAfter.
const longestWait = 24 * time.Hour

// retryAfter parses the value of the header Retry-After: seconds, or a date (RFC 9110,
// section 10.2.3). It returns 0 for any other value.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestWait)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), longestWait)
	}
	return 0
}

// Whole returns the body, or nil if it was too long to be kept.
func (a *Answer) Whole() []byte {
	if a.Length > int64(len(a.Body)) {
		return nil
	}
	return a.Body
}

// ErrTooLong is the error of an answer that is longer than Request.Keep, if the request
// is strict.
var ErrTooLong = errors.New("the answer is longer than the caller takes")

// A sender sends one request and reads the whole answer.
type sender interface {
	send(r *Request) (Answer, error)
	close()
}

// A Client sends the calls of one service. Its methods may be called from many
// goroutines.
type Client struct {
	// own sends to http URLs, foreign to https.
	own, foreign sender
	// pool is own; nil if the transport is not the client's.
	pool *poolSender
}

// NewClient returns a client that sends by a transport. For nil, it uses its own, which
// never sends a request twice, follows no redirects, and adds the bytes of its
// connections to traffic.
func NewClient(transport http.RoundTripper, traffic *http1.Traffic) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	if transport != nil {
		all := &transportSender{transport: transport, ctx: ctx, cancel: cancel}
		return &Client{own: all, foreign: all}
	}
	standard := &http.Transport{ForceAttemptHTTP2: false, MaxIdleConnsPerHost: http1.MaxIdle, IdleConnTimeout: http1.IdleTime, DialContext: traffic.Dial((&net.Dialer{Timeout: 30 * time.Second}).DialContext)}
	pool := newPoolSender(traffic)
	return &Client{
		own: pool, pool: pool,
		foreign: &transportSender{transport: standard, ctx: ctx, cancel: cancel, idle: standard.CloseIdleConnections},
	}
}

// Close ends the calls in flight with outcome.ErrStopping and closes every connection.
func (c *Client) Close() {
	c.own.close()
	c.foreign.close()
}

// KeepOnly closes idle connections to addresses that are not in the book.
func (c *Client) KeepOnly(b *Book) {
	if c.pool != nil {
		c.pool.keepOnly(b)
	}
}

// Send sends a request once and reads the answer to its end.
func (c *Client) Send(r *Request) (Answer, error) {
	if r.To.url.Scheme == "https" {
		return c.foreign.send(r) // TLS is left to the standard library
	}
	return c.own.send(r)
}

// timeLeft returns the value of the header Microsim-Deadline.
func timeLeft(deadline time.Time) string {
	return strconv.FormatInt(exec.MillisLeft(time.Until(deadline)), 10)
}
