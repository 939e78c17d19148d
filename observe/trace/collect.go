package trace

import (
	"context"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Options say how spans are gathered. Zero fields have good defaults.
type Options struct {
	// Interval is the time between two rounds of questions; 0 means a second.
	Interval time.Duration
	// Timeout bounds one question; 0 means the interval.
	Timeout time.Duration
	// Concurrency bounds the questions under way at once; 0 means 16.
	Concurrency int
	// Load has the spans of the load, if it is generated in this process.
	Load *span.Buffer
	// Loads has the spans of a load that is generated elsewhere; it may be nil.
	Loads LoadSource
	// Into is where spans go; it is asked at each start.
	Into func() *Store
	// Clocks has the clocks of replicas compared, which run on other machines.
	Clocks bool
}

// A LoadSource has the spans of a load that several generators send together.
type LoadSource interface {
	// Generators is how many there are; 0 if none have spans.
	Generators() int
	// Spans asks one of them, counted from 0. An error says that it could not be asked.
	Spans(ctx context.Context, generator int, q control.SpanQuery) (control.Spans, error)
}

// A Collector is the runner's Tracer: it asks each replica for the spans of
// traces that are kept, and all replicas for those of requests that failed
// somewhere. It watches one system at a time.
type Collector struct {
	options  Options
	load     asked
	loads    []*asked
	replicas func(context.Context) ([]runner.Replica, error)
	source   runner.SpanSource
	asked    map[replicaKey]*asked
	store    *Store
	stop     chan struct{}
	done     chan struct{}
}

var _ runner.Tracer = (*Collector)(nil)

type replicaKey struct {
	service string
	index   int
}

// asked is how far one source has been read.
type asked struct {
	from, instance int64
	// failed is how many of the store's failed traces it was asked for.
	failed int
}

// New returns a collector that does nothing yet.
func New(options Options) *Collector {
	if options.Interval <= 0 {
		options.Interval = time.Second
	}
	if options.Timeout <= 0 {
		options.Timeout = options.Interval
	}
	if options.Concurrency <= 0 {
		options.Concurrency = 16
	}
	return &Collector{options: options}
}

// Start implements runner.Tracer.
func (c *Collector) Start(ctx context.Context, replicas func(context.Context) ([]runner.Replica, error), source runner.SpanSource) {
	c.replicas, c.source, c.store = replicas, source, c.options.Into()
	c.asked, c.load.failed, c.loads = map[replicaKey]*asked{}, 0, nil
	c.stop, c.done = make(chan struct{}), make(chan struct{})
	go c.loop(ctx)
}

// Stop implements runner.Tracer. It asks twice: only after the first round all
// failed requests are known.
func (c *Collector) Stop() {
	if c.stop == nil {
		return
	}
	close(c.stop)
	<-c.done
	c.stop = nil
}

func (c *Collector) loop(ctx context.Context) {
	defer close(c.done)
	ticker := time.NewTicker(c.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.round(ctx)
		case <-c.stop:
			c.round(ctx)
			c.round(ctx)
			return
		}
	}
}

// round asks every source once.
func (c *Collector) round(ctx context.Context) {
	c.askLoad()
	c.askLoads(ctx)
	listing, cancel := context.WithTimeout(ctx, c.options.Timeout)
	replicas, err := c.replicas(listing)
	cancel()
	if err != nil {
		return // the next round tries again, and spans wait
	}
	slots := make(chan struct{}, c.options.Concurrency)
	var questions sync.WaitGroup
	for _, r := range replicas {
		if r.State == runner.Down || r.State == runner.Paused || r.State == runner.Starting {
			continue
		}
		key := replicaKey{r.Service, r.Index}
		a := c.asked[key]
		if a == nil {
			a = &asked{}
			c.asked[key] = a
		}
		slots <- struct{}{}
		questions.Go(func() {
			defer func() { <-slots }()
			c.ask(ctx, r, a)
		})
	}
	questions.Wait()
}

// mostAnswers bounds how often one source is asked in a round.
const mostAnswers = 4

// ask reads what a replica has. One that does not answer is asked again in the
// next round.
func (c *Collector) ask(ctx context.Context, r runner.Replica, a *asked) {
	for range mostAnswers {
		q := a.query(c.store)
		asking, cancel := context.WithTimeout(ctx, c.options.Timeout)
		began := time.Now()
		answer, err := c.source.Spans(asking, r, q)
		took := time.Since(began)
		cancel()
		if err == nil && c.options.Clocks && answer.Now > 0 {
			c.store.compare(r, time.Unix(0, answer.Now).Sub(began.Add(took/2)), took/2)
		}
		if err != nil || !a.take(c.store, &q, &answer) {
			return
		}
	}
}

// askLoads reads what the generators of a load elsewhere have.
func (c *Collector) askLoads(ctx context.Context) {
	if c.options.Loads == nil {
		return
	}
	n := c.options.Loads.Generators()
	for len(c.loads) < n {
		c.loads = append(c.loads, &asked{})
	}
	var questions sync.WaitGroup
	for i, a := range c.loads[:n] {
		questions.Go(func() {
			for range mostAnswers {
				q := a.query(c.store)
				asking, cancel := context.WithTimeout(ctx, c.options.Timeout)
				answer, err := c.options.Loads.Spans(asking, i, q)
				cancel()
				if err != nil || !a.take(c.store, &q, &answer) {
					return
				}
			}
		})
	}
	questions.Wait()
}

func (c *Collector) askLoad() {
	for c.options.Load != nil {
		q := c.load.query(c.store)
		answer := c.options.Load.Fetch(q)
		if !c.load.take(c.store, &q, &answer) {
			return
		}
	}
}

// query asks for what has not come yet.
func (a *asked) query(store *Store) control.SpanQuery {
	failed, first := store.failedFrom(a.failed, control.MaxTracesAsked)
	a.failed = first
	return control.SpanQuery{From: a.from, Instance: a.instance, Traces: failed}
}

// take takes an answer in, and reports whether there may be more.
func (a *asked) take(store *Store, q *control.SpanQuery, answer *control.Spans) (more bool) {
	a.from, a.instance, a.failed = answer.Next, answer.Instance, a.failed+len(q.Traces)
	store.Lose(answer.Lost)
	store.Add(answer.Spans)
	return len(answer.Spans) >= span.MaxAnswer
}
