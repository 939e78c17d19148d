package service

import (
	"net/http"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
)

// An exchange is one request that is being answered. It carries out, in real time,
// the actions of the request's machine.
type exchange struct {
	service *Service
	// by is the description that the request follows from its beginning to its end.
	by      *served
	machine exec.Request
	// identity is passed to the machine. It is a field to save an allocation.
	identity exec.Identity
	w        http.ResponseWriter
	r        *http.Request
	// id is the request's X-Request-ID, or a new one.
	id string
	// start is when the request came, since the service's start.
	start   time.Duration
	faults  *faultSnapshot
	metrics *metrics.Endpoint
	// status is the status of the answer; 0 means that there was none.
	status int
	// drained is set when the body has been read; body has it if it is used.
	drained bool
	body    []byte
	// chain is the chain of the request; responses and times are those of its
	// routes, in their order.
	chain     *chain.Chain
	responses [][]byte
	times     []string
	// answered is the size in bytes of responses, which is reserved in the
	// service's memory.
	answered int64
	// closing is set if the client must see a closed connection.
	closing bool
	// left is closed when the client leaves. It is nil, which blocks for ever, if
	// the service finishes abandoned requests.
	left <-chan struct{}

	mu     sync.Mutex
	blocks []*work.Block // guarded by mu
	trace  tracing
}

// reset makes the exchange ready for another request, and keeps its buffers. If
// queued, the worker must go back to the admission.
func (x *exchange) reset() (worker int, queued bool) {
	worker, queued = x.machine.Release()
	x.w, x.r, x.faults, x.metrics, x.chain, x.left = nil, nil, nil, nil, nil, nil
	if x.identity.ID != "" {
		x.identity = exec.Identity{}
	}
	x.status, x.drained, x.body, x.closing = 0, false, nil, false
	x.trace.reset()
	if x.answered > 0 {
		x.by.replica.Memory.Release(x.answered)
		x.answered = 0
	}
	x.by = nil
	clear(x.responses)
	x.responses, x.times, x.blocks = x.responses[:0], x.times[:0], nil
	return worker, queued
}

// play drives the machine of a request to its end. It returns false if the request
// was answered already because its chain could not be read.
func (x *exchange) play(arrival exec.Arrival) bool {
	s, m := x.service, &x.machine
	arrival.Faults = x.faults.faultSet()
	if s.admission != nil {
		arrival.Left = timeLeftFor(x.r.Header)
	}
	a := m.Begin(x.by.replica, arrival, x.start)
	if a.Kind == exec.Enter {
		a = m.Next(x.enter(a.Until))
	}
	if a.Kind == exec.Identify {
		if !x.identify(&arrival) {
			return false
		}
		a = m.Identify(&x.identity, s.now())
	}
	x.run(m.Root(), a)
	return true
}

// enter waits for a worker inside the service. While a request waits, it does not
// count as in flight.
func (x *exchange) enter(until time.Duration) exec.Event {
	s := x.service
	s.inFlight.Add(-1)
	defer s.inFlight.Add(1)
	worker, ok := s.admission.Enter(s.clock(until), s.stop, x.left)
	if !ok {
		return exec.Event{Kind: exec.TurnedAway, Now: s.now()}
	}
	return exec.Event{Kind: exec.Admitted, Worker: worker, Now: s.now()}
}

// identify reads the request's identity from its headers and body. It returns false
// if its chain was refused, which has been answered.
func (x *exchange) identify(arrival *exec.Arrival) bool {
	h := x.r.Header
	x.identity = exec.Identity{
		Request: behave.Request{ID: x.id, Hop: value(h, control.HopHeader, maxHop), From: value(h, control.FromHeader, maxID)},
		Left:    timeLeftFor(h), Path: x.r.URL.Path, Body: x.body,
	}
	if arrival.Chain {
		if !x.readChain() {
			return false
		}
		x.identity.Chain = x.chain
	} else if e := arrival.Endpoint; e.Require != "" {
		x.identity.HasRequired = h.Get(e.Require) != ""
	}
	return true
}

// run does the actions of a branch until it ends. Each action of a fault counts as
// a hit.
func (x *exchange) run(b *exec.Branch, a exec.Action) {
	for ; ; a = b.Next(x.do(b, &a)) {
		if a.Op != nil && a.Op.Fault > 0 {
			x.faults.hit(a.Op.Fault)
			x.traceFault(a.Op.Fault)
		}
		if a.Kind == exec.End {
			return
		}
	}
}

// do does one action.
func (x *exchange) do(b *exec.Branch, a *exec.Action) exec.Event {
	s := x.service
	e := exec.Event{Kind: exec.Done}
	switch a.Kind {
	case exec.Sleep:
		x.sleep(a.For)
	case exec.Work:
		if e.Err = x.work(a.Op); e.Err != nil {
			// Callers see a 500 each time, which does not tell that it is not the system.
			s.workFailed.Do(func() { s.log.Warn("work cannot be done", "error", e.Err) })
		}
	case exec.Hold:
		e.Err = x.hold(a.Op.Bytes)
	case exec.Leak:
		e.Err = s.leak(x.by.replica.Memory, a.Op.Bytes, a.Op.For)
	case exec.Hang:
		e.Gone = x.hang(a.Op.Fault)
	case exec.Fork:
		x.parallel(b.Branches())
		e.Kind = exec.Joined
	case exec.MakeCall:
		if a.Op.Route != nil {
			e = x.callRoute(b, a.Op)
		} else {
			e = x.call(b, a.Op)
		}
		e.Gone = x.gone()
		return e
	default: // Mark, which asks for nothing
	}
	e.Now, e.Gone = s.now(), e.Gone || x.gone()
	return e
}

// gone reports whether work must be broken off: the service stops, or the client
// has left.
func (x *exchange) gone() bool {
	if x.service.stopping() {
		return true
	}
	select {
	case <-x.left:
		return true
	default:
		return false
	}
}

// sleep waits until d is over or the work must be broken off.
func (x *exchange) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.service.stop:
	case <-x.left:
	}
}

func (x *exchange) work(op *behave.Op) error {
	s := x.service
	switch {
	case op.Kind == behave.OpUnits:
		s.units().Burn(op.Units, x.gone)
	case op.Kind == behave.OpIO:
		return work.WriteAndSync(s.cfg.TempDir, op.Bytes, x.gone)
	case op.Cores == 1:
		s.processors.Burn(op.For, s.stop, x.left)
	default:
		work.BurnCores(op.Cores, op.For, x.gone)
	}
	return nil
}

// hold allocates memory until the request ends.
func (x *exchange) hold(size int64) error {
	b := work.NewBlock(&x.service.held, size)
	if err := b.Take(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.blocks = append(x.blocks, b)
	return nil
}

// hang waits until the fault is cleared. It returns true if the client leaves or
// the service stops before.
func (x *exchange) hang(fault int) (gone bool) {
	select {
	case <-x.faults.cleared(fault):
		return false
	case <-x.r.Context().Done():
	case <-x.service.stop:
	}
	return true
}

// parallel runs the branches at once and waits for all. It runs the first on this
// goroutine, which saves one. A panic of a branch panics here, after all have
// ended.
func (x *exchange) parallel(branches []exec.Branch) {
	broken := make([]any, len(branches))
	var wait sync.WaitGroup
	now := x.service.now()
	branch := func(i int) {
		defer func() { broken[i] = recover() }()
		x.run(&branches[i], branches[i].Start(now))
	}
	for i := 1; i < len(branches); i++ {
		wait.Go(func() { branch(i) })
	}
	branch(0)
	wait.Wait()
	for _, reason := range broken {
		if reason != nil {
			panic(reason)
		}
	}
}

// leak allocates memory, which must be reserved, and frees and releases it after d.
// It returns at once.
func (s *Service) leak(memory *exec.Memory, size int64, d time.Duration) error {
	if !s.enter() {
		return outcome.ErrStopping
	}
	go func() {
		defer s.leave()
		defer memory.Release(size)
		b := work.NewBlock(&s.held, size)
		if err := b.Take(); err != nil {
			s.log.Warn("memory-leak", "error", err)
			return
		}
		defer b.Free()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.stop:
		}
	}()
	return nil
}
