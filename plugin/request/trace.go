package request

import (
	"context"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// gatherFrom asks the replicas of a deployment for the spans of a trace.
func gatherFrom(d interface {
	runner.SpanSource
	Replicas(context.Context) ([]runner.Replica, error)
}) func(context.Context, span.TraceID) ([]span.Span, error) {
	return func(ctx context.Context, id span.TraceID) ([]span.Span, error) {
		replicas, err := d.Replicas(ctx)
		if err != nil {
			return nil, err
		}
		return trace.Gather(ctx, replicas, d, id), nil
	}
}

// trace is the trace that a request begins.
func (drawn *Draw) trace() span.Parent {
	t := span.NewTraces(drawn.Seed).Of(drawn.ID)
	return span.Parent{Trace: t, Span: span.IdsOf(t, drawn.ID).Root(), Sampled: true}
}

// tracePatience is how long services may take to hand over their spans.
const tracePatience = 2 * time.Second

// Trace gathers the spans of a request that was sent with a trace, and answered.
func (d *Door) Trace(ctx context.Context, drawn *Draw, a *Answer) (*trace.Trace, error) {
	parent := drawn.trace()
	root := span.Span{
		Trace: parent.Trace, Kind: span.Root, Request: drawn.ID, Method: "POST", Path: "call", Callee: problem.CleanURL(drawn.Chain.Designation), Sampled: true,
		Start: a.Began.UnixNano(), Duration: a.Took, Status: a.Status, Class: outcome.OfStatus(a.Status),
	}
	if root.Class == outcome.OK && len(a.Response.Failed(drawn.Chain)) > 0 {
		root.Class = outcome.FailedHop
	}
	root.SetIDs()
	return trace.Await(ctx, root, tracePatience, func(ctx context.Context) ([]span.Span, error) { return d.Spans(ctx, parent.Trace) })
}
