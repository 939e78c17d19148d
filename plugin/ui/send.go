package ui

import (
	"context"
	"net/http"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	contract "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// sendLocal sends requests to a system that the page plays on this machine.
func sendLocal(system request.Local) webui.Sender {
	client := direct()
	return func(ctx context.Context, tree *chain.Chain, seed uint64) (*webui.Sent, error) {
		door, err := request.ToLocal(ctx, client, system)
		if err != nil {
			return nil, err
		}
		return sendBy(ctx, door, tree, seed)
	}
}

// sendToClient sends requests to a system that another program runs on this machine.
func sendToClient(system *control.Client) webui.Sender {
	client := direct()
	return func(ctx context.Context, tree *chain.Chain, seed uint64) (*webui.Sent, error) {
		door, err := request.ToClient(ctx, client, system)
		if err != nil {
			return nil, err
		}
		return sendBy(ctx, door, tree, seed)
	}
}

// sendThrough sends requests to a system on a cluster through the API server.
func sendThrough(d *cluster.Deployment) webui.Sender {
	return func(ctx context.Context, tree *chain.Chain, seed uint64) (*webui.Sent, error) {
		return sendBy(ctx, request.ToCluster(d), tree, seed)
	}
}

// direct connects to services of this machine. It keeps no connection: a service with
// workers would hold one of them for it.
func direct() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sendBy sends a request, and gathers its trace.
func sendBy(ctx context.Context, door *request.Door, tree *chain.Chain, seed uint64) (*webui.Sent, error) {
	drawn, err := door.Draw(tree, seed)
	if err != nil {
		return nil, err
	}
	sent := &webui.Sent{NotDrawn: sizeOf(tree) - sizeOf(drawn.Chain), Unknown: drawn.Unknown}
	if drawn.Chain == nil {
		return sent, nil
	}
	answer, err := door.Send(ctx, drawn, true)
	if err != nil {
		return nil, err
	}
	if err := answer.Failure(drawn); err != nil {
		sent.Failure = err.Error()
	}
	traced, err := door.Trace(ctx, drawn, answer)
	switch {
	case err != nil:
		sent.Untraced = err.Error()
	case len(traced.Spans) == 1: // what we saw ourselves
		sent.Untraced = "the services have handed over no spans"
	default:
		sent.Spans = rowsOf(traced)
	}
	sent.Answer = hopOf(answer.Response.Hops(drawn.Chain), answer.Times, spansOf(traced), "")
	sent.Answer.Status = answer.Status
	if sent.Answer.Took == nil {
		sent.Answer.Took = new(answer.Took.Seconds())
	}
	return sent, nil
}

// sizeOf counts the services of a request.
func sizeOf(c *chain.Chain) int {
	if c == nil {
		return 0
	}
	n := 1
	for _, route := range c.Routes {
		n += sizeOf(route)
	}
	return n
}

// hopSpans are the spans of a trace by the places of their hops: those of the services,
// and those of their callers.
type hopSpans struct{ served, attempts map[string]*span.Span }

func spansOf(t *trace.Trace) hopSpans {
	spans := hopSpans{map[string]*span.Span{}, map[string]*span.Span{}}
	if t == nil {
		return spans
	}
	for i := range t.Spans {
		switch s := &t.Spans[i]; s.Kind {
		case span.Server:
			spans.served[s.Hop] = s
		case span.Client:
			spans.attempts[s.Hop] = s
		case span.Root:
		}
	}
	return spans
}

// hopOf joins what the answer tells of a hop with its spans. The time is the hop's own
// where that is known, by its span rather than by the answer, which rounds it to 0.1 ms;
// else it is its caller's. The status is that which the caller saw.
func hopOf(hop *chain.Hop, times *contract.Times, spans hopSpans, place string) *webui.SentHop {
	v := &webui.SentHop{Designation: problem.CleanURL(hop.Designation), Answered: hop.Answered}
	served, seen := spans.served[place], spans.attempts[place]
	switch {
	case served != nil:
		v.Took = new(served.Duration.Seconds())
	case times != nil:
		v.Took = new(times.Took.Seconds())
	case seen != nil:
		v.Took = new(seen.Duration.Seconds())
	}
	if seen != nil {
		v.Status = seen.Status
	}
	for _, reason := range hop.Reasons {
		v.Reasons = append(v.Reasons, problem.CleanText(reason))
	}
	for i, route := range hop.Routes {
		below := strconv.Itoa(i)
		if place != "" {
			below = place + "." + below
		}
		v.Routes = append(v.Routes, hopOf(route, times.Child(i), spans, below))
	}
	return v
}
