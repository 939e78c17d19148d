package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// fakeWorld is a deployer and its one deployment. Its error fields make one
// stage fail; its log says what was asked of it, in order.
type fakeWorld struct {
	deployErr, closeErr, clearErr error
	deployTime                    time.Duration
	refuse                        fault.Type
	unknown                       string // a service that a refusingWorld cannot deploy
	injectErr                     func(id string) error
	// downFor is how long a killed replica is away.
	downFor time.Duration
	// injectTime passes before a fault acts, clearTime after it no longer does.
	injectTime, clearTime time.Duration
	prepareErr            error

	mu       sync.Mutex
	log      []string
	replicas []Replica
	active   []Injection
	closed   int
	deployed int
	closeCtx error
}

func (w *fakeWorld) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *fakeWorld) Deploy(ctx context.Context, system *topology.System, _ uint64) (Deployment, error) {
	select {
	case <-time.After(w.deployTime):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.deployErr != nil {
		return nil, w.deployErr
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replicas, w.active, w.deployed = nil, nil, w.deployed+1
	for _, s := range system.Services {
		for i := range s.Replicas {
			w.replicas = append(w.replicas, Replica{Service: s.Name, Index: i + 1, URL: "http://" + s.Name, State: Ready, Since: time.Now()})
		}
	}
	return w, nil
}

func (w *fakeWorld) Replicas(ctx context.Context) ([]Replica, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.replicas), ctx.Err()
}

func (w *fakeWorld) Close(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.closeCtx = w.closed+1, ctx.Err()
	w.log = append(w.log, "close")
	return w.closeErr
}

func (w *fakeWorld) CanInject(f *fault.Fault) error {
	if f.Type == w.refuse {
		return errors.New("no such thing here")
	}
	return nil
}

// A refusingWorld knows beforehand what is not possible.
type refusingWorld struct{ world *fakeWorld }

func (w refusingWorld) Deploy(ctx context.Context, system *topology.System, seed uint64) (Deployment, error) {
	return w.world.Deploy(ctx, system, seed)
}

func (w refusingWorld) CanInject(_ *topology.System, f *fault.Fault) error {
	return w.world.CanInject(f)
}

func (w refusingWorld) CanDeploy(_ context.Context, system *topology.System) error {
	if system.Service(w.world.unknown) != nil {
		return errors.New("no such service here")
	}
	return nil
}

// A preparedWorld is one whose faults need preparing.
type preparedWorld struct{ *fakeWorld }

func (w preparedWorld) Deploy(ctx context.Context, system *topology.System, seed uint64) (Deployment, error) {
	if _, err := w.fakeWorld.Deploy(ctx, system, seed); err != nil {
		return nil, err
	}
	return w, nil
}

func (w preparedWorld) Prepare(ctx context.Context, faults []fault.Fault) error {
	for i := range faults {
		w.note("prepare %s", faults[i].Label())
	}
	return cmp.Or(w.prepareErr, ctx.Err())
}

func (w *fakeWorld) Inject(_ context.Context, id string, f fault.Fault, deadline time.Time) error {
	w.note("inject %s", id)
	if w.injectErr != nil {
		if err := w.injectErr(id); err != nil {
			return err
		}
	}
	time.Sleep(w.injectTime)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = append(w.active, Injection{ID: id, Fault: f, Since: time.Now(), Deadline: deadline, Replicas: []string{f.Target.Service + "/1"}, Hits: 3})
	if f.Type == fault.Kill {
		for i := range w.replicas {
			if r := &w.replicas[i]; r.Service == f.Target.Service {
				r.State, r.Since = Down, time.Now()
				time.AfterFunc(w.downFor, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					r.State, r.Since, r.Restarts = Ready, time.Now(), r.Restarts+1
				})
			}
		}
	}
	return nil
}

func (w *fakeWorld) Clear(_ context.Context, id string) error {
	w.note("clear %s", id)
	defer time.Sleep(w.clearTime)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clearErr != nil {
		return w.clearErr
	}
	w.active = slices.DeleteFunc(w.active, func(i Injection) bool { return i.ID == id })
	return nil
}

func (w *fakeWorld) Active(context.Context) ([]Injection, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.active), nil
}

// slow reports whether a latency fault acts on the service.
func (w *fakeWorld) slow(service string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.active, func(i Injection) bool { return i.Fault.Target.Service == service })
}

// fakeLoader sends as the profile says, at constant rates: 10 ms a request, or
// a timeout of 300 ms while a fault acts on the cart.
type fakeLoader struct {
	world *fakeWorld
	err   error
	after time.Duration
}

func (l *fakeLoader) Load(ctx context.Context, profile load.Profile, target LoadTarget, observe func(measure.Outcome)) (*result.LoadReport, error) {
	// A little after the faults' zero, so that no two things happen at once.
	start := time.Now().Add(5 * time.Millisecond)
	report := &result.LoadReport{Started: start}
	var pending sync.WaitGroup
	defer func() { pending.Wait(); report.Elapsed = time.Since(start) }()
	var at time.Duration
	for i, phase := range profile.Phases {
		for end := at + phase.Duration.Std(); at < end; at += time.Duration(float64(time.Second) / phase.Rate) {
			select {
			case <-time.After(time.Until(start.Add(at))):
			case <-ctx.Done():
				report.Incomplete = true
				return report, ctx.Err()
			}
			if l.err != nil && at >= l.after {
				return report, l.err
			}
			o := measure.Outcome{Phase: i, Intended: at, Latency: 10 * time.Millisecond, Class: outcome.OK, Status: 200}
			if l.world.slow("cart") {
				o.Latency, o.Class, o.Status = 300*time.Millisecond, outcome.Timeout, 0
			}
			pending.Go(func() {
				time.Sleep(o.Latency)
				observe(o)
			})
		}
	}
	return report, nil
}

// fakeCollector samples cart once a second: 20 requests, 1 in 10 an error.
type fakeCollector struct {
	startErr, stopErr error
	stop              chan struct{}
	done              sync.WaitGroup
	stopped           int
}

func (c *fakeCollector) Start(_ context.Context, _ func(context.Context) ([]Replica, error), observe func(measure.Sample)) error {
	if c.startErr != nil {
		return c.startErr
	}
	time.Sleep(700 * time.Millisecond) // as the first look at a large system takes
	c.stop = make(chan struct{})
	c.done.Go(func() {
		last := time.Now()
		for {
			ended := false
			select {
			case <-time.After(time.Second):
			case <-c.stop:
				ended = true
			}
			now := time.Now()
			observe(*shopSample(now, now.Sub(last)))
			last = now
			if ended {
				return
			}
		}
	})
	return nil
}

func (c *fakeCollector) Stop() error {
	close(c.stop)
	c.done.Wait()
	c.stopped++
	return c.stopErr
}
