package request

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A spanSource is a deployment whose replicas make spans.
type spanSource interface {
	runner.SpanSource
	Replicas(context.Context) ([]runner.Replica, error)
}

// gatherFrom returns a function that asks the replicas of a deployment for the
// spans of a trace.
func gatherFrom(d spanSource) func(context.Context, span.TraceID) ([]span.Span, error) {
	return func(ctx context.Context, id span.TraceID) ([]span.Span, error) {
		replicas, err := d.Replicas(ctx)
		if err != nil {
			return nil, err
		}
		return trace.Gather(ctx, replicas, d, id), nil
	}
}

// newTrace returns the trace that a request begins. Its id is random, because
// services may still have spans of an earlier request with the same seed.
func newTrace(request string) span.Parent {
	var t span.TraceID
	_, _ = rand.Read(t[:]) // it never fails
	t[len(t)-1] |= 1       // never all zero
	return span.Parent{Trace: t, Span: span.IdsOf(t, request).Root(), Sampled: true}
}

// tracePatience bounds the wait for the spans of a trace.
const tracePatience = 2 * time.Second

// Trace gathers the spans of an answered request that was sent with traced set.
func (d *Door) Trace(ctx context.Context, drawn *Draw, a *Answer) (*trace.Trace, error) {
	root := span.Span{
		Trace: a.parent.Trace, Kind: span.Root, Request: drawn.ID, Method: "POST", Path: "call", Callee: problem.CleanURL(drawn.Chain.Designation), Sampled: true,
		Start: a.Began.UnixNano(), Duration: a.Took, Status: a.Status, Class: outcome.OfStatus(a.Status),
	}
	if root.Class == outcome.OK && len(a.Response.Failed(drawn.Chain)) > 0 {
		root.Class = outcome.FailedHop
	}
	root.SetIDs()
	return trace.Await(ctx, root, tracePatience, func(ctx context.Context) ([]span.Span, error) { return d.Spans(ctx, a.parent.Trace) })
}
