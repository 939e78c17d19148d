package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// An AdminClient calls the /admin endpoints of replicas, over the network or in
// this process.
type AdminClient struct {
	token string
	http  *http.Client
}

// AdminTimeout bounds one request. A replica that takes longer is broken.
const AdminTimeout = 5 * time.Second

// NewAdminClient returns a client whose requests bear the token.
func NewAdminClient(token string) *AdminClient {
	// Close connections after use: requests are rare, and replicas are many.
	return &AdminClient{token: token, http: &http.Client{
		Timeout:       AdminTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// PutPeers gives a replica the addresses that it may call.
func (a *AdminClient) PutPeers(ctx context.Context, to supervise.Target, peers map[string][]string) error {
	return a.order(ctx, to, http.MethodPut, control.PeersPath, control.Peers(peers), nil)
}

// PutDescription makes a replica follow another description of its service.
func (a *AdminClient) PutDescription(ctx context.Context, to supervise.Target, d *control.Description) error {
	return a.order(ctx, to, http.MethodPut, control.ServicePath, d, nil)
}

// PutFault makes a fault act in a replica until the deadline; the zero time means
// no deadline.
func (a *AdminClient) PutFault(ctx context.Context, to supervise.Target, id string, f fault.Fault, deadline time.Time) error {
	return a.order(ctx, to, http.MethodPut, control.FaultPath(id), control.FaultRequest{Fault: f, Deadline: deadline}, nil)
}

// DeleteFault ends a fault. It returns nil if the fault has already ended.
func (a *AdminClient) DeleteFault(ctx context.Context, to supervise.Target, id string) error {
	return a.order(ctx, to, http.MethodDelete, control.FaultPath(id), nil, nil)
}

// Hits returns how often each fault of the replica has acted.
func (a *AdminClient) Hits(ctx context.Context, to supervise.Target) (map[string]int64, error) {
	var active []control.Injection
	if err := a.order(ctx, to, http.MethodGet, control.FaultsPath, nil, &active); err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, f := range active {
		counts[f.ID] = f.Hits
	}
	return counts, nil
}

// Spans returns spans of a replica.
func (a *AdminClient) Spans(ctx context.Context, to supervise.Target, q control.SpanQuery) (spans control.Spans, err error) {
	err = a.order(ctx, to, http.MethodPost, control.SpansPath, q, &spans)
	return spans, err
}

func (a *AdminClient) order(ctx context.Context, to supervise.Target, method, path string, body, answer any) error {
	if to.Handler == nil {
		return a.send(ctx, method, to.Base+path, body, answer)
	}
	direct := &AdminClient{token: a.token, http: &http.Client{Transport: handlerTransport{to.Handler}, CheckRedirect: a.http.CheckRedirect}}
	return direct.send(ctx, method, to.Base+path, body, answer)
}

// A handlerTransport passes requests directly to a handler of this process, without
// listeners and queues.
type handlerTransport struct{ handler http.Handler }

func (h handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if req.Body == nil {
		req = req.Clone(req.Context())
		req.Body = http.NoBody
	}
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	h.handler.ServeHTTP(rec, req)
	return &http.Response{
		StatusCode: rec.status, Status: fmt.Sprintf("%d %s", rec.status, http.StatusText(rec.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: rec.header, Body: io.NopCloser(&rec.body), Request: req,
	}, nil
}

// A recorder keeps the response of a handler.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// send sends a control request. Deleting a fault that does not exist is not an
// error, because it has ended by itself.
func (a *AdminClient) send(ctx context.Context, method, to string, body, answer any) error {
	client := controlhttp.Client{HTTP: a.http, Token: a.token}
	err := client.Do(ctx, method, to, body, answer)
	var refused *controlhttp.StatusError
	var transport *url.Error
	switch {
	case errors.As(err, &refused) && method == http.MethodDelete && refused.Code == http.StatusNotFound:
		return nil
	case err == nil || errors.As(err, &transport):
		return err // it has the method and the URL
	}
	return fmt.Errorf("%s %s: %w", method, to, err)
}

// TimedOut reports whether an attempt ended because its time was over. The error of an
// earlier attempt says more.
func TimedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// AwaitReady asks /readyz until the replica is ready.
func (a *AdminClient) AwaitReady(ctx context.Context, to supervise.Target, bound time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	pause := 2 * time.Millisecond
	var why error
	for {
		err := a.order(ctx, to, http.MethodGet, control.ReadyPath, nil, nil)
		if err == nil {
			return nil
		}
		if why == nil || !TimedOut(err) {
			why = err
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return fmt.Errorf("it was not ready within %v: %w", bound, why)
			}
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(pause*3/2, 100*time.Millisecond)
	}
}
