package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A transportSender sends by an http.RoundTripper. It follows no redirects.
type transportSender struct {
	transport http.RoundTripper
	// ctx ends the calls in flight.
	ctx    context.Context
	cancel context.CancelFunc
	// idle closes idle connections; nil where the transport is not ours.
	idle func()
}

func (t *transportSender) close() {
	t.cancel()
	if t.idle != nil {
		t.idle()
	}
}

func (t *transportSender) send(o *Request) (Answer, error) {
	ctx := t.ctx
	if o.Cancel != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(o.Cancel)
		defer cancel()
		defer context.AfterFunc(t.ctx, cancel)()
	}
	if !o.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.Deadline)
		defer cancel()
	}
	request, err := http.NewRequestWithContext(ctx, o.Method, o.To.url.Scheme+"://"+o.To.url.Host+o.Target, bytes.NewReader(o.Body))
	if err != nil {
		return Answer{}, err
	}
	for _, h := range o.headers() {
		if h.value != "" {
			request.Header[h.name] = []string{h.value}
		}
	}
	if !o.Told.IsZero() {
		request.Header[control.DeadlineHeader] = []string{timeLeft(o.Told)}
	}
	connected := false
	request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}))
	response, err := t.transport.RoundTrip(request)
	switch {
	case err != nil && !connected && errors.Is(err, context.DeadlineExceeded):
		return Answer{}, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	case err != nil && t.ctx.Err() != nil:
		return Answer{}, outcome.ErrStopping
	case err != nil && strings.Contains(err.Error(), "malformed HTTP"):
		// The transport has no other error for it.
		return Answer{}, errors.Join(outcome.ErrMalformed, err)
	case err != nil:
		return Answer{}, fmt.Errorf("sending the request: %w", err)
	}
	return readAnswer(response, o)
}

// readAnswer reads a body to its end, or to the bound.
func readAnswer(response *http.Response, o *Request) (a Answer, err error) {
	defer response.Body.Close()
	a.Status = response.StatusCode
	if t := response.Header["Content-Type"]; len(t) > 0 {
		a.ContentType = t[0]
	}
	if t := response.Header.Get(control.TimesHeader); len(t) <= control.MaxTimes {
		a.Times = t
	}
	if t := response.Header[retryAfterHeader]; len(t) > 0 {
		a.RetryAfter = retryAfter(t[0])
	}
	a.Degraded = control.ParseDegraded(response.Header.Get(control.DegradedHeader))
	if n := response.ContentLength; n >= 0 && n <= o.Keep {
		a.Body = make([]byte, n)
		_, err = io.ReadFull(response.Body, a.Body)
	} else {
		a.Body, err = io.ReadAll(io.LimitReader(response.Body, o.Keep))
	}
	a.Length = int64(len(a.Body))
	if err == nil && a.Length == o.Keep {
		var rest int64
		rest, err = io.Copy(io.Discard, response.Body)
		if a.Length += rest; rest > 0 && o.Strict {
			return a, ErrTooLong
		}
	}
	if err != nil {
		return a, fmt.Errorf("reading the answer's body: %w", err)
	}
	return a, nil
}
