package service

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

func (t *transportSender) send(o *outgoing) (answer, error) {
	ctx := t.ctx
	if o.cancel != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(o.cancel)
		defer cancel()
		defer context.AfterFunc(t.ctx, cancel)()
	}
	if !o.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.deadline)
		defer cancel()
	}
	request, err := http.NewRequestWithContext(ctx, o.method, o.to.url.Scheme+"://"+o.to.url.Host+o.target, bytes.NewReader(o.body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range o.headers() {
		if h.value != "" {
			request.Header[h.name] = []string{h.value}
		}
	}
	if !o.told.IsZero() {
		request.Header[control.DeadlineHeader] = []string{timeLeft(o.told)}
	}
	connected := false
	request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}))
	response, err := t.transport.RoundTrip(request)
	switch {
	case err != nil && !connected && errors.Is(err, context.DeadlineExceeded):
		return answer{}, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	case err != nil && t.ctx.Err() != nil:
		return answer{}, errStopping
	case err != nil && strings.Contains(err.Error(), "malformed HTTP"):
		// The transport has no other word for it.
		return answer{}, errors.Join(errMalformed, err)
	case err != nil:
		return answer{}, fmt.Errorf("sending the request: %w", err)
	}
	return readAnswer(response, o)
}

// readAnswer reads a body to its end, or to the bound.
func readAnswer(response *http.Response, o *outgoing) (a answer, err error) {
	defer response.Body.Close()
	a.status = response.StatusCode
	if t := response.Header["Content-Type"]; len(t) > 0 {
		a.contentType = t[0]
	}
	a.times = value(response.Header, control.TimesHeader, maxTimes)
	a.degraded = control.ParseDegraded(response.Header.Get(control.DegradedHeader))
	if n := response.ContentLength; n >= 0 && n <= o.keep {
		a.body = make([]byte, n)
		_, err = io.ReadFull(response.Body, a.body)
	} else {
		a.body, err = io.ReadAll(io.LimitReader(response.Body, o.keep))
	}
	a.length = int64(len(a.body))
	if err == nil && a.length == o.keep {
		var rest int64
		rest, err = io.Copy(io.Discard, response.Body)
		if a.length += rest; rest > 0 && o.strict {
			return a, tooLong(o.keep)
		}
	}
	if err != nil {
		return a, fmt.Errorf("reading the answer's body: %w", err)
	}
	return a, nil
}
