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

// A System is one that runs, and can be asked for its figures and spans.
type System interface {
	runner.SpanSource
	Replicas(ctx context.Context) ([]runner.Replica, error)
}

// A Watch asks a system that no run watches for its figures and spans each second, and
// sends them to a collector.
type Watch struct {
	scraper *collect.Scraper
	tracer  *trace.Collector
	// passed is where spans go on from.
	passed *trace.Store
}

// Watch begins to watch a system. Stop must be called before End.
func (c *Collector) Watch(ctx context.Context, system System) (*Watch, error) {
	w := &Watch{scraper: collect.New(collect.Options{}), passed: trace.NewPassage(c.Spans)}
	w.tracer = trace.New(trace.Options{Into: func() *trace.Store { return w.passed }})
	// Stop ends the watching, and what Ctrl-C ends is asked a last time.
	ctx = context.WithoutCancel(ctx)
	err := w.scraper.Start(ctx, system.Replicas, func(s measure.Sample) { c.Observe(runner.ServiceSampled{Sample: s}) })
	if err != nil {
		return nil, fmt.Errorf("watching the system for the collector: %w", err)
	}
	w.tracer.Start(ctx, system.Replicas, system)
	return w, nil
}

// Stop asks the system a last time.
func (w *Watch) Stop() error {
	w.tracer.Stop()
	return w.scraper.Stop()
}

// Count adds the spans that were lost on their way here to those that were dropped.
func (w *Watch) Count(sums *result.OTLP) {
	if sums != nil {
		sums.Spans.Dropped += w.passed.Lost()
	}
}
