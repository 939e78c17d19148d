package trace

import (
	"context"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Gather asks every replica of a running system for the spans of traces. Replicas
// that do not answer add nothing.
func Gather(ctx context.Context, replicas []runner.Replica, source runner.SpanSource, traces ...span.TraceID) []span.Span {
	answers := make([][]span.Span, len(replicas))
	slots := make(chan struct{}, 16)
	var questions sync.WaitGroup
	for i, r := range replicas {
		slots <- struct{}{}
		questions.Go(func() {
			defer func() { <-slots }()
			if a, err := source.Spans(ctx, r, control.SpanQuery{From: -1, Traces: traces}); err == nil {
				answers[i] = a.Spans
			}
		})
	}
	questions.Wait()
	var all []span.Span
	for _, a := range answers {
		all = append(all, a...)
	}
	return all
}

// Await gathers the spans of one request that was answered, with the root that its
// client made, until the request at its first service is among them or the
// patience is over: a service answers before it has counted the request.
func Await(ctx context.Context, root span.Span, patience time.Duration, gather func(context.Context) ([]span.Span, error)) (*Trace, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		spans, err := gather(ctx)
		if err != nil {
			return nil, err
		}
		first := false
		for i := range spans {
			first = first || spans[i].Kind == span.Server && spans[i].Hop == ""
		}
		if !first {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
			}
		}
		return &Trace{ID: root.Trace, Spans: order(append(spans, root))}, nil
	}
}
