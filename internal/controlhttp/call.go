package controlhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// maxDocument bounds the response document of a chain, in bytes.
const maxDocument = 64 << 20

// A Call is a chain for a service, or for a control plane, which draws its
// probabilities.
type Call struct {
	// URL takes the chain.
	URL string
	// Chain is the request in JSON.
	Chain []byte
	// RequestID is the id that all hops get; empty leaves it to the receiver.
	RequestID string
	// Traceparent is the trace context of the request; it may be empty.
	Traceparent string
	// Times asks for the time that each hop took.
	Times bool
}

// An Answer is what came back for a Call, whatever its status.
type Answer struct {
	// Code is the HTTP status, Status the whole status line's, such as "404 Not Found".
	Code   int
	Status string
	// RequestID is the id that all hops had.
	RequestID string
	// Times are those of the hops, as control.TimesHeader has them.
	Times string
	// Body is the response document.
	Body []byte
	// Took is the time from sending the call to the end of its answer.
	Took time.Duration
}

// Send sends the call. An error means that there is no whole answer. The client
// must not follow redirects: a chain is meant for one service.
func (c *Call) Send(ctx context.Context, client Doer) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(c.Chain))
	if err != nil {
		// The error of url.Parse has the URL in it, password included.
		return nil, fmt.Errorf("%q is not a valid URL", problem.CleanURL(c.URL))
	}
	req.Header.Set("Content-Type", "application/json")
	if c.RequestID != "" {
		req.Header.Set(control.RequestIDHeader, c.RequestID)
	}
	if c.Traceparent != "" {
		req.Header.Set(control.TraceHeader, c.Traceparent)
	}
	if c.Times {
		req.Header.Set(control.TimesHeader, "1")
	}
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err == nil && len(body) > maxDocument {
		err = fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %q: %w", problem.CleanURL(c.URL), err)
	}
	return &Answer{
		Code: resp.StatusCode, Status: resp.Status, RequestID: resp.Header.Get(control.RequestIDHeader),
		Times: resp.Header.Get(control.TimesHeader), Body: body, Took: time.Since(start),
	}, nil
}
