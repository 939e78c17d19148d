package system

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// spansOf asks the system that a request went to for the spans of its trace.
type spansOf func(ctx context.Context, id span.TraceID) ([]span.Span, error)

// gatherFrom asks the replicas of a deployment.
func gatherFrom(d interface {
	runner.SpanSource
	Replicas(context.Context) ([]runner.Replica, error)
}) spansOf {
	return func(ctx context.Context, id span.TraceID) ([]span.Span, error) {
		replicas, err := d.Replicas(ctx)
		if err != nil {
			return nil, err
		}
		return trace.Gather(ctx, replicas, d, id), nil
	}
}

// traceOf is the trace that a request begins.
func (o *callOptions) traceOf(id string) span.Parent {
	t := span.NewTraces(o.seed).Of(id)
	return span.Parent{Trace: t, Span: span.IdsOf(t, id).Root(), Sampled: true}
}

// tracePatience is how long services may take to hand over their spans.
const tracePatience = 2 * time.Second

// traced gathers the spans of the request that was sent.
func (o *callOptions) traced(ctx context.Context, tree *chain.Chain, id string, began time.Time, a *answered) (*trace.Trace, error) {
	parent := o.traceOf(id)
	root := span.Span{
		Trace: parent.Trace, Kind: span.Root, Request: id, Method: "POST", Path: "call", Callee: problem.CleanURL(tree.Designation), Sampled: true,
		Start: began.UnixNano(), Duration: a.took, Status: a.status, Class: outcome.OfStatus(a.status),
	}
	if root.Class == outcome.OK && len(a.response.Failed(tree)) > 0 {
		root.Class = outcome.FailedHop
	}
	root.SetIDs()
	return trace.Await(ctx, root, tracePatience, func(ctx context.Context) ([]span.Span, error) { return o.spans(ctx, parent.Trace) })
}

// showTrace draws the spans below the tree, or writes them beside the answer.
func (o *callOptions) showTrace(t *trace.Trace, a *answered) error {
	if o.output.Machine() {
		origin := trace.Origin{System: o.system, Target: o.target.On}
		return o.output.Object(o.streams.Out, struct {
			Response json.RawMessage `json:"response"`
			Trace    trace.Export    `json:"trace"`
		}{a.raw, origin.Encode(t.Spans)})
	}
	fmt.Fprintln(o.streams.Out)
	return t.WriteWaterfall(o.streams.Out, width(o.streams.Out))
}

// plainWidth is how wide waterfalls are where no terminal tells.
const plainWidth = 100

func width(w io.Writer) int {
	f, terminal := cli.IsTerminal(w)
	if !terminal {
		return plainWidth
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return plainWidth
	}
	return n
}
