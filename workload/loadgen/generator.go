// Package loadgen puts real load on services: it sends a profile's requests over
// HTTP when they are due, and counts their outcomes.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A Generator implements runner.Loader. Its zero value is ready to use.
type Generator struct {
	// Control changes the load while it runs; it may be nil.
	Control *Control
	// Spans gets a root span for each request that was sent. TraceSample is the share
	// of traces that are kept whatever their outcome. The services must have the same
	// share, and the load's seed. Without Spans, requests have no trace context.
	Spans       *span.Buffer
	TraceSample float64
	// Processors, if it is not 0, is the GOMAXPROCS of the process while a closed
	// loop runs; afterwards the old value is restored. A process that only
	// generates load, on the machine of the services, reaches the highest rates
	// with half of the processors, because its threads then neither search for each
	// other's work nor take processor time from the services. Processors does not
	// affect open loops, for which being on time is more important than speed.
	// Leave it 0 if services run in this process.
	Processors int
	// Share is the part of the load that is sent.
	Share Share
}

var _ runner.Loader = (*Generator)(nil)

// running is one load under way.
type running struct {
	ctx        context.Context
	fail       context.CancelCauseFunc
	profile    load.Profile
	sources    []*source
	mix        *load.Mix
	seed       uint64
	conns      *http1.Set
	control    *Control
	tracer     *tracer
	processors int
	share      Share
	observe    func(measure.Outcome)
	recorder   *recorder
	started    time.Time
	wg         sync.WaitGroup // of workers and users
}

// Load implements runner.Loader. If the profile has mistakes, or names services
// that the target does not have, Load sends nothing and returns an error and a nil
// report.
func (g *Generator) Load(ctx context.Context, profile load.Profile, target runner.LoadTarget, observe func(measure.Outcome)) (*result.LoadReport, error) {
	if len(profile.Requests) == 0 && target.System != nil {
		for _, name := range target.System.Entries() {
			profile.Requests = append(profile.Requests, load.Request{Service: name})
		}
	}
	profile = profile.WithDefaults()
	if err := profile.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking the load: %w", err)
	}
	if err := g.Share.validate(&profile); err != nil {
		return nil, fmt.Errorf("checking the load: %w", err)
	}
	if len(profile.Requests) == 0 {
		return nil, errors.New("checking the load: there is nothing to send: name a request, or a system with services")
	}
	sources, err := newSources(&profile, target)
	if err != nil {
		return nil, err
	}
	l := &running{
		profile: profile, sources: sources, mix: load.NewMix(profile.Requests), seed: target.Seed,
		conns: &http1.Set{}, control: g.Control,
		tracer:     g.newTracer(target.Seed),
		processors: g.Processors, share: g.Share, observe: observe, recorder: newRecorder(len(profile.Phases), len(profile.Requests)),
	}
	if l.control == nil {
		l.control = NewControl()
	}
	l.profile.MaxInFlight = g.Share.bound(profile.MaxInFlight)
	l.ctx, l.fail = context.WithCancelCause(ctx)
	return l.run()
}

func (l *running) run() (*result.LoadReport, error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-l.ctx.Done()
		l.conns.Close()
	}()
	l.started = time.Now()
	if l.tracer != nil {
		l.tracer.began = l.started.UnixNano()
	}
	spans := l.runPhases()
	l.wg.Wait()
	elapsed := time.Since(l.started)
	cause := context.Cause(l.ctx)
	l.fail(nil)
	<-ended
	report, err := l.recorder.report(&l.profile, l.started, elapsed, spans)
	if err != nil {
		return nil, err
	}
	report.Incomplete = cause != nil
	return report, cause
}

// runPhases sends all requests, and returns how long each phase was. It does not
// wait for the last answers.
func (l *running) runPhases() []time.Duration {
	spans := make([]time.Duration, len(l.profile.Phases))
	pool := newWorkers(l)
	defer pool.close()
	start := l.started
	for i := range l.profile.Phases {
		if l.ctx.Err() != nil {
			break
		}
		var end time.Time
		l.recorder.begin(start.Sub(l.started), l.profile.Phases[i].Duration.Std())
		if l.profile.Phases[i].IsOpen() {
			end = l.runOpen(i, start, pool)
		} else {
			end = l.withProcessors(func() time.Time { return l.runClosed(i, start) })
		}
		spans[i], start = end.Sub(start), end
		l.recorder.end(i, end.Sub(l.started))
	}
	return spans
}

func (l *running) withProcessors(run func() time.Time) time.Time {
	if l.processors > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(l.processors))
	}
	return run()
}

// A sender is the state of a goroutine that sends: its connections, counts and
// buffers.
type sender struct {
	*running
	client *client
	batch  batch
	id     [load.RequestIDLength]byte
}

func (l *running) newSender() *sender {
	return &sender{running: l, client: newClient(l), batch: batch{to: l.recorder}}
}

func (s *sender) close() {
	s.client.close()
	s.batch.flush()
}

// A job is one request to be sent.
type job struct {
	phase, request, number int
	intended               time.Time
	arrival                dist.Key
}

// send sends one request, counts its outcome, and returns the time of its end.
func (s *sender) send(j *job) time.Time {
	source := s.sources[j.request]
	message, err := source.sample(s.profile.Phases[j.phase].ChainKey(j.arrival, j.request))
	if err != nil {
		s.fail(err)
		return time.Now()
	}
	now := time.Now()
	if message == nil {
		s.count(j, ended{}, now, now)
		return now
	}
	key := load.CopyKey(j.arrival, j.request, j.number)
	id := load.AppendRequestID(s.id[:0], key)
	var trace rootTrace
	if s.tracer != nil {
		trace = s.tracer.of(source, id)
	}
	if source.ownID {
		id = nil
	}
	first := 0
	if n := len(message.places); n > 1 {
		first = key.With("replica").IntN(n)
	}
	res := s.client.do(message, id, &trace, first, now)
	end := time.Now()
	if s.tracer != nil && !res.unsent {
		s.tracer.add(&trace, source, message, j, s.started, now, end, &res)
	}
	if f := res.failure; f != nil && f.example.Request == "" {
		f.example.Request, f.example.At = source.spec.Name, j.intended.Sub(s.started).Seconds()
		f.example.ID = string(id)
	}
	if message.tree != nil && res.status != 0 {
		s.recorder.pairs.add(source.spec.Name, message.body, s.client.answer.body, res.status)
	}
	s.count(j, res, now, end)
	return end
}

// count records one outcome. An outcome without a class is that of a request that
// was never sent.
func (s *sender) count(j *job, res ended, sentAt, end time.Time) {
	o := measure.Outcome{
		Phase: j.phase, Request: j.request, Intended: j.intended.Sub(s.started), Late: max(sentAt.Sub(j.intended), 0),
		Latency: end.Sub(j.intended), Class: res.class, Status: res.status, Bytes: res.bytes, Degraded: res.degraded,
	}
	s.batch.add(sample{o, res.class != "" && !res.unsent, res.failure})
	if s.observe != nil && res.class != "" {
		s.observe(o)
	}
}
