package localsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An instance is one run of a replica, from its start to its end.
type instance interface {
	// addr is the host:port that requests go to, control where orders go.
	addr() string
	control() target
	// pid is 0 for an instance in this process.
	pid() int
	// done is closed when the instance has ended; err says why from then on.
	done() <-chan struct{}
	err() error
	// terminate asks it to end in order, kill ends it at once.
	terminate()
	kill() error
	// pause stops it without ending it, until resume.
	pause() error
	resume() error
}

// A Recovery tells of one time that a replica was away.
type Recovery struct {
	Service string `json:"service"`
	Replica int    `json:"replica"`
	// Cause is the fault that took the replica away, or how it ended by itself.
	Cause string `json:"cause"`
	// Down is when the cause acted; where that is not known, the same as
	// Detected, which is when the supervisor noticed.
	Down     time.Time `json:"down"`
	Detected time.Time `json:"detected"`
	// Ready is when the replica answered again, the zero time until then.
	Ready time.Time `json:"ready,omitzero"`
	// Starts counts how often it was started until it was ready.
	Starts int `json:"starts"`
}

// A replica is one copy of a service. Its supervisor keeps an instance of it
// running until the replica is stopped.
type replica struct {
	service string
	index   int
	// start begins an instance; settle waits until it answers, brings it up to
	// date, and calls becomeReady.
	start  func(ctx context.Context, r *replica) (instance, error)
	settle func(ctx context.Context, r *replica, in instance) error
	// tell is called when something happens that a user may want to know.
	tell    func(r *replica, event string, err error)
	backoff backoff
	grace   time.Duration

	// stop ends the life of the replica; ended is closed when it is over.
	stop  context.CancelFunc
	life  context.Context
	ended chan struct{}

	// ending holds an order to end the current instance; it is sent at most
	// once for each. hurry is closed when there is no time for grace.
	ending chan struct{}
	hurry  <-chan struct{}

	// builtFor is the system that the newest instance was made for.
	builtFor atomic.Pointer[topology.System]

	// syncing is held while the instance is brought up to date.
	syncing sync.Mutex
	// told is what the current instance knows; guarded by syncing.
	told told

	mu sync.Mutex
	// address is host:port, the same for life once it is known; before that,
	// what to listen on.
	address string
	known   bool
	// batch is what the replica starts with, nil after that.
	batch    *batch
	state    experiment.State
	since    time.Time
	restarts int
	current  instance
	// removal is the fault that is taking the current instance away.
	removal  *Recovery
	recovery []Recovery
	// replaced is told the outcome of the next start, if somebody waits for it.
	replaced chan<- error
	// left says what could not be ended.
	left string
	// listener is the first instance's, opened before any is served.
	listener net.Listener
}

// maxRecoveries bounds the memory of a replica; the oldest are forgotten.
const maxRecoveries = 1000

func (r *replica) label() string { return fmt.Sprintf("%s/%d", r.service, r.index) }

// supervise keeps the replica running until its life ends. The outcome of the
// first start is handed to first; if it is an error, there is no second.
func (r *replica) supervise(first func(error)) {
	defer close(r.ended)
	in, err := r.begin()
	first(err)
	if err != nil {
		return
	}
	for {
		select {
		case <-r.life.Done():
			r.end(in)
			return
		case <-r.ending:
			r.end(in)
		case <-in.done():
		}
		wait := r.noteDown(in)
		for in = nil; in == nil; {
			select {
			case <-r.life.Done():
				return
			case <-time.After(wait):
			}
			if in, err = r.begin(); err != nil {
				if r.life.Err() != nil {
					return
				}
				r.tell(r, "start", err)
				wait = r.backoff.next(0)
			}
		}
	}
}

// begin starts an instance and waits until it is ready. Where that goes wrong,
// the instance has ended when begin returns.
func (r *replica) begin() (instance, error) {
	r.mu.Lock()
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Starts++
		r.restarts++
	}
	r.setState(experiment.Starting)
	r.mu.Unlock()
	in, err := r.start(r.life, r)
	if err == nil {
		r.mu.Lock()
		r.current, r.address, r.known, r.removal = in, in.addr(), true, nil
		r.mu.Unlock()
		if err = r.awaitSettled(in); err != nil {
			r.end(in)
		}
	}
	if err != nil {
		r.mu.Lock()
		r.current = nil
		r.setState(experiment.Down)
		r.mu.Unlock()
		err = fmt.Errorf("service %s: %w", r.label(), err)
		r.reportReplaced(err)
		return nil, err
	}
	r.tell(r, "ready", nil)
	r.reportReplaced(nil)
	return in, nil
}

func (r *replica) reportReplaced(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replaced != nil {
		r.replaced <- err
		r.replaced = nil
	}
}

// awaitSettled is settle, given up as soon as the instance ends.
func (r *replica) awaitSettled(in instance) error {
	ctx, cancel := context.WithCancel(r.life)
	defer cancel()
	settled := make(chan error, 1)
	go func() { settled <- r.settle(ctx, r, in) }()
	select {
	case err := <-settled:
		return err
	case <-in.done():
		cancel()
		<-settled
		return fmt.Errorf("ended before it was ready: %w", cmp.Or(in.err(), errEnded))
	}
}

var errEnded = errors.New("it ended by itself")

// becomeReady is called by settle under the deployment's lock, when the
// instance knows all that it has to.
func (r *replica) becomeReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(experiment.Ready)
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Ready = r.since
	}
}

// setState needs mu.
func (r *replica) setState(s experiment.State) {
	if r.state != s {
		r.state, r.since = s, time.Now()
	}
}

// noteDown records that the instance has ended, and returns how long to wait
// before the next is started.
func (r *replica) noteDown(in instance) time.Duration {
	now := time.Now()
	r.mu.Lock()
	ready := now.Sub(r.since)
	event := Recovery{Service: r.service, Replica: r.index, Cause: cmp.Or(in.err(), errEnded).Error(), Down: now}
	var wait time.Duration
	if r.removal != nil {
		event = *r.removal
	}
	if event.Cause != string(causeRestart) && event.Cause != string(causeUpdate) {
		wait = r.backoff.next(ready)
	}
	event.Detected = now
	planned := event.Cause == string(causeUpdate)
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Ready = now // a pause that ended with the instance
	}
	if !planned {
		r.addRecovery(event)
	}
	r.current, r.removal = nil, nil
	r.setState(experiment.Down)
	r.mu.Unlock()
	r.tell(r, "down", errors.New(event.Cause))
	return wait
}

// addRecovery needs mu.
func (r *replica) addRecovery(event Recovery) {
	if len(r.recovery) == maxRecoveries {
		r.recovery = r.recovery[:copy(r.recovery, r.recovery[1:])]
	}
	r.recovery = append(r.recovery, event)
}

// killWait is how long the system may take to end a killed instance.
const killWait = 5 * time.Second

// end ends the instance, in order if it does so within the grace.
func (r *replica) end(in instance) {
	in.terminate()
	grace := time.NewTimer(r.grace)
	defer grace.Stop()
	select {
	case <-in.done():
		return
	case <-grace.C:
	case <-r.hurry:
	}
	_ = in.kill() // whether it worked is seen next
	killed := time.NewTimer(killWait)
	defer killed.Stop()
	select {
	case <-in.done():
	case <-killed.C:
		r.mu.Lock()
		r.left = "service " + r.label()
		if pid := in.pid(); pid != 0 {
			r.left = fmt.Sprintf("process %d of service %s", pid, r.label())
		}
		r.mu.Unlock()
	}
}

// A cause is a fault on the process.
type cause string

const (
	causeKill    cause = "kill"
	causeRestart cause = "restart"
	causePause   cause = "pause"
	// causeUpdate replaces an instance by one of a changed service; that is no
	// failure, so it makes no Recovery.
	causeUpdate cause = "update"
)

// remove takes the running instance away. A replica that is away already is
// left as it is; then remove reports false.
func (r *replica) remove(why cause) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.current
	if in == nil || r.removal != nil || r.state == experiment.Starting {
		return false, nil
	}
	r.removal = &Recovery{Service: r.service, Replica: r.index, Cause: string(why), Down: time.Now()}
	if why == causeKill {
		if err := in.kill(); err != nil {
			r.removal = nil
			return false, fmt.Errorf("killing service %s: %w", r.label(), err)
		}
		return true, nil
	}
	// The supervisor ends it, and kills it where it does not heed the order.
	r.ending <- struct{}{}
	return true, nil
}

// running returns the instance that can be told something, or nil.
func (r *replica) running() instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != experiment.Ready && r.state != experiment.Paused {
		return nil
	}
	return r.current
}

// freeze stops the instance. It needs syncing, as thaw does.
func (r *replica) freeze(in instance) error {
	if err := in.pause(); err != nil {
		return err
	}
	r.told.paused = true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(experiment.Paused)
	r.addRecovery(Recovery{Service: r.service, Replica: r.index, Cause: string(causePause), Down: r.since, Detected: r.since})
	return nil
}

// thaw lets the instance go on.
func (r *replica) thaw(in instance) error {
	if err := in.resume(); err != nil {
		return err
	}
	r.told.paused = false
	r.becomeReady()
	return nil
}

// snapshot tells what the replica is now.
func (r *replica) snapshot() experiment.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := experiment.Replica{Service: r.service, Index: r.index, State: r.state, Restarts: r.restarts, Since: r.since}
	if r.known {
		s.URL = "http://" + r.address
	}
	if r.current != nil {
		s.PID = r.current.pid()
		if base := r.current.control().base; base != s.URL {
			s.ControlURL = base
		}
	}
	return s
}
