package outlet

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A System is a running system that can be asked for its figures and spans.
type System interface {
	runner.SpanSource
	Replicas(ctx context.Context) ([]runner.Replica, error)
}

// A Watch asks a system for its figures and spans each second, and sends them to a
// collector. It serves systems outside of runs.
type Watch struct {
	scraper *collect.Scraper
	tracer  *trace.Collector
	// passed is the store through which the spans pass to the collector.
	passed *trace.Store
}

// Watch begins to watch a system. Call Stop before End.
func (c *Collector) Watch(ctx context.Context, system System) (*Watch, error) {
	w := &Watch{scraper: collect.New(collect.Options{}), passed: trace.NewPassage(c.Spans)}
	w.tracer = trace.New(trace.Options{Into: func() *trace.Store { return w.passed }})
	// Stop ends the watching. It asks the system a last time, so the end of ctx
	// must not end that.
	ctx = context.WithoutCancel(ctx)
	err := w.scraper.Start(ctx, system.Replicas, func(s measure.Sample) { c.Observe(runner.ServiceSampled{Sample: s}) })
	if err != nil {
		return nil, fmt.Errorf("watching the system for the collector: %w", err)
	}
	w.tracer.Start(ctx, system.Replicas, system)
	return w, nil
}

// Stop asks the system a last time, and ends the watching.
func (w *Watch) Stop() error {
	w.tracer.Stop()
	return w.scraper.Stop()
}

// Count adds, to the dropped spans, those that were lost between the services and
// here.
func (w *Watch) Count(sums *result.OTLP) {
	if sums != nil {
		sums.Spans.Dropped += w.passed.Lost()
	}
}
