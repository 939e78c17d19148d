// Package request sends MicroSim requests, which carry their own routes and faults, to
// the services of a running system. It gathers times and spans of each hop.
package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// A Door is the way to the services of a running system.
type Door struct {
	// Client must not follow redirects, because a request is meant for one service.
	Client controlhttp.Doer
	// URLs has the base URL of each service.
	URLs map[string]string
	// Spans asks the system for the spans of a trace.
	Spans func(ctx context.Context, id span.TraceID) ([]span.Span, error)
}

// A Draw is a request with the decisions of a seed.
type Draw struct {
	Seed uint64
	// ID is the X-Request-ID of all hops.
	ID string
	// Chain is the part of the request that is sent, or nil if the seed decides
	// against its first service.
	Chain *chain.Chain
	// Unknown lists the services that the system does not have. Their callers
	// report errors.
	Unknown  []string
	resolved *chain.Chain
}

// Draw decides the probabilities of a request by a seed. It returns an error if the
// system does not have the request's first service.
func (d *Door) Draw(tree *chain.Chain, seed uint64) (*Draw, error) {
	key := load.CallKey(seed)
	drawn := &Draw{Seed: seed, ID: load.RequestID(key), Chain: chain.Sample(tree, key)}
	if drawn.Chain == nil {
		return drawn, nil
	}
	drawn.resolved, drawn.Unknown = chain.Resolve(drawn.Chain, func(name string) (string, bool) {
		url, ok := d.URLs[name]
		return url, ok
	})
	if !chain.IsURL(drawn.resolved.Designation) {
		return nil, fmt.Errorf("sending the request: the system has no service %q; it has %s", problem.CleanURL(drawn.resolved.Designation), strings.Join(slices.Sorted(maps.Keys(d.URLs)), ", "))
	}
	return drawn, nil
}

// An Answer is the answer to a request.
type Answer struct {
	Response *chain.Response
	// Raw is the response document, unchanged.
	Raw []byte
	// Status is the HTTP status of the first service's answer, and StatusText the
	// status with its reason.
	Status     int
	StatusText string
	// Began is when the request was sent, Took the time until the answer had come.
	Began time.Time
	Took  time.Duration
	// Times are the times of the hops as the services report them; nil if they do
	// not.
	Times *control.Times
	// parent is the root of the request's trace, if it has one.
	parent span.Parent
}

// Send sends the drawn request to its first service. An answer with a response
// document is not an error, whatever its status. If traced is set, the request begins
// a trace that all services keep.
func (d *Door) Send(ctx context.Context, drawn *Draw, traced bool) (*Answer, error) {
	body, err := json.Marshal(drawn.resolved)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	call := controlhttp.Call{URL: strings.TrimSuffix(drawn.resolved.Designation, "/") + "/", Chain: body, RequestID: drawn.ID, Times: true}
	a := &Answer{Began: time.Now()}
	if traced {
		a.parent = newTrace(drawn.ID)
		call.Traceparent = a.parent.String()
	}
	got, err := call.Send(ctx, d.Client)
	if err != nil {
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	a.Raw, a.Status, a.StatusText, a.Took, a.Times = got.Body, got.Code, got.Status, got.Took, control.ParseTimes(got.Times)
	if err := json.Unmarshal(got.Body, &a.Response); err != nil || a.Response == nil {
		return nil, fmt.Errorf("reading the answer of %q: status %s, and no response document: %s", problem.CleanURL(call.URL), got.Status, cli.Clean(fmt.Sprintf("%.200s", problem.CleanText(string(got.Body)))))
	}
	return a, nil
}

// Failure returns an error if the first service refused the request or a hop failed.
// It looks at every hop, because services answer 200 even if their routes fail.
func (a *Answer) Failure(drawn *Draw) error {
	if a.Status != http.StatusOK {
		return fmt.Errorf("the service answered %s: %s", a.StatusText, cli.Clean(strings.Join(a.Response.Errors, "; ")))
	}
	const shown = 5
	hops := a.Response.Failed(drawn.Chain)
	if len(hops) == 0 {
		return nil
	}
	var texts []string
	for i := range hops[:min(len(hops), shown)] {
		texts = append(texts, hops[i].String())
	}
	if n := len(hops) - shown; n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return errors.New("the request was answered, but not well at every hop: " + cli.Clean(strings.Join(texts, "; ")))
}
