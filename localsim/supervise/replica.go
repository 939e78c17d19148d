// Package supervise keeps one replica of a service running, as a server in this
// process or as a process of its own: it starts instances, waits until they are
// ready, ends, pauses and replaces them, and records when the replica was away.
package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

// A Target is where the /admin of a replica is reached: over the network or,
// where the replica is in this process, at its handler.
type Target struct {
	Base    string
	Handler http.Handler
}

// An Instance is one run of a replica, from its start to its end.
type Instance interface {
	// Addr is the host:port that requests go to, Control where orders go.
	Addr() string
	Control() Target
	// PID is 0 for an instance in this process.
	PID() int
	// Done is closed when the instance has ended; Err says why from then on.
	Done() <-chan struct{}
	Err() error
	// Terminate asks it to end in order, Kill ends it at once.
	Terminate()
	Kill() error
	// Pause stops it without ending it, until Resume.
	Pause() error
	Resume() error
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

// A Config says which replica is supervised, and how.
type Config struct {
	Service string
	Index   int
	// Start begins an instance. Settle waits until it answers, brings it up to
	// date, and calls BecomeReady.
	Start  func(ctx context.Context) (Instance, error)
	Settle func(ctx context.Context, in Instance) error
	// Notify is called when something happens that a user may want to know.
	Notify func(event string, err error)
	// Grace is how long an instance may take to end in order. Hurry is closed
	// when there is no time for that.
	Grace time.Duration
	Hurry <-chan struct{}
	// Address is the host:port of every instance if Known is set; otherwise what
	// the first is to listen on.
	Address string
	Known   bool
	// Listener is the first instance's, opened before any is served, or nil.
	Listener net.Listener
}

// A Replica is one copy of a service. Run keeps an instance of it running until
// the replica is stopped.
type Replica struct {
	service string
	index   int
	config  Config
	backoff backoff

	// stop ends the life of the replica; ended is closed when it is over.
	stop  context.CancelFunc
	life  context.Context
	ended chan struct{}

	// ending holds an order to end the current instance; it is sent at most
	// once for each.
	ending chan struct{}

	mu sync.Mutex
	// address is host:port, the same for life once it is known; before that,
	// what to listen on.
	address  string
	known    bool
	state    experiment.State
	since    time.Time
	restarts int
	current  Instance
	// removal is the fault that is taking the current instance away.
	removal  *Recovery
	recovery []Recovery
	// replaced is told the outcome of the next start, if somebody waits for it.
	replaced chan<- error
	// left says what could not be ended.
	left string
	// listener is the first instance's, until that has taken it.
	listener net.Listener
}

// New returns a replica that nothing runs of yet. Its life ends with ctx.
func New(ctx context.Context, c Config) *Replica {
	r := &Replica{
		service: c.Service, index: c.Index, config: c, backoff: newBackoff(),
		state: experiment.Starting, since: time.Now(), address: c.Address, known: c.Known, listener: c.Listener,
		ending: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	r.life, r.stop = context.WithCancel(ctx)
	return r
}

// Service is the name of the service that this is a copy of.
func (r *Replica) Service() string { return r.service }

// Index counts the copies from 1.
func (r *Replica) Index() int { return r.index }

// Stop ends the life of the replica. Ended is closed when nothing of it runs
// any more.
func (r *Replica) Stop() { r.stop() }

// Ended is closed when Run has returned or Discard has been called.
func (r *Replica) Ended() <-chan struct{} { return r.ended }

// Discard takes the place of Run for a replica that is not to be started.
func (r *Replica) Discard() {
	if r.listener != nil {
		r.listener.Close()
	}
	close(r.ended)
}

// maxRecoveries bounds the memory of a replica; the oldest are forgotten.
const maxRecoveries = 1000

func (r *Replica) Label() string { return fmt.Sprintf("%s/%d", r.service, r.index) }

// Run keeps the replica running until its life ends. The outcome of the
// first start is handed to first; if it is an error, there is no second.
func (r *Replica) Run(first func(error)) {
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
		case <-in.Done():
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
				r.config.Notify("start", err)
				wait = r.backoff.next(0)
			}
		}
	}
}

// begin starts an instance and waits until it is ready. Where that goes wrong,
// the instance has ended when begin returns.
func (r *Replica) begin() (Instance, error) {
	r.mu.Lock()
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Starts++
		r.restarts++
	}
	r.setState(experiment.Starting)
	r.mu.Unlock()
	in, err := r.config.Start(r.life)
	if err == nil {
		r.mu.Lock()
		r.current, r.address, r.known, r.removal = in, in.Addr(), true, nil
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
		err = fmt.Errorf("service %s: %w", r.Label(), err)
		r.reportReplaced(err)
		return nil, err
	}
	r.config.Notify("ready", nil)
	r.reportReplaced(nil)
	return in, nil
}

func (r *Replica) reportReplaced(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replaced != nil {
		r.replaced <- err
		r.replaced = nil
	}
}

// awaitSettled is Settle, given up as soon as the instance ends.
func (r *Replica) awaitSettled(in Instance) error {
	ctx, cancel := context.WithCancel(r.life)
	defer cancel()
	settled := make(chan error, 1)
	go func() { settled <- r.config.Settle(ctx, in) }()
	select {
	case err := <-settled:
		return err
	case <-in.Done():
		cancel()
		<-settled
		return fmt.Errorf("ended before it was ready: %w", cmp.Or(in.Err(), errEnded))
	}
}

var errEnded = errors.New("it ended by itself")

// BecomeReady is called by Settle when the
// instance knows all that it has to.
func (r *Replica) BecomeReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(experiment.Ready)
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Ready = r.since
	}
}

// setState needs mu.
func (r *Replica) setState(s experiment.State) {
	if r.state != s {
		r.state, r.since = s, time.Now()
	}
}

// noteDown records that the instance has ended, and returns how long to wait
// before the next is started.
func (r *Replica) noteDown(in Instance) time.Duration {
	now := time.Now()
	r.mu.Lock()
	ready := now.Sub(r.since)
	event := Recovery{Service: r.service, Replica: r.index, Cause: cmp.Or(in.Err(), errEnded).Error(), Down: now}
	var wait time.Duration
	if r.removal != nil {
		event = *r.removal
	}
	if event.Cause != string(CauseRestart) && event.Cause != string(CauseUpdate) {
		wait = r.backoff.next(ready)
	}
	event.Detected = now
	planned := event.Cause == string(CauseUpdate)
	if n := len(r.recovery); n > 0 && r.recovery[n-1].Ready.IsZero() {
		r.recovery[n-1].Ready = now // a pause that ended with the instance
	}
	if !planned {
		r.addRecovery(event)
	}
	r.current, r.removal = nil, nil
	r.setState(experiment.Down)
	r.mu.Unlock()
	r.config.Notify("down", errors.New(event.Cause))
	return wait
}

// addRecovery needs mu.
func (r *Replica) addRecovery(event Recovery) {
	if len(r.recovery) == maxRecoveries {
		r.recovery = r.recovery[:copy(r.recovery, r.recovery[1:])]
	}
	r.recovery = append(r.recovery, event)
}

// KillWait is how long the system may take to end a killed instance.
const KillWait = 5 * time.Second

// end ends the instance, in order if it does so within the grace.
func (r *Replica) end(in Instance) {
	in.Terminate()
	grace := time.NewTimer(r.config.Grace)
	defer grace.Stop()
	select {
	case <-in.Done():
		return
	case <-grace.C:
	case <-r.config.Hurry:
	}
	_ = in.Kill() // whether it worked is seen next
	killed := time.NewTimer(KillWait)
	defer killed.Stop()
	select {
	case <-in.Done():
	case <-killed.C:
		r.mu.Lock()
		r.left = "service " + r.Label()
		if pid := in.PID(); pid != 0 {
			r.left = fmt.Sprintf("process %d of service %s", pid, r.Label())
		}
		r.mu.Unlock()
	}
}

// A Cause is a fault on the process.
type Cause string

// The causes.
const (
	CauseKill    Cause = "kill"
	CauseRestart Cause = "restart"
	CausePause   Cause = "pause"
	// CauseUpdate replaces an instance by one of a changed service; that is no
	// failure, so it makes no Recovery.
	CauseUpdate Cause = "update"
)

// Remove takes the running instance away. A replica that is away already is
// left as it is; then Remove reports false.
func (r *Replica) Remove(why Cause) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.current
	if in == nil || r.removal != nil || r.state == experiment.Starting {
		return false, nil
	}
	r.removal = &Recovery{Service: r.service, Replica: r.index, Cause: string(why), Down: time.Now()}
	if why == CauseKill {
		if err := in.Kill(); err != nil {
			r.removal = nil
			return false, fmt.Errorf("killing service %s: %w", r.Label(), err)
		}
		return true, nil
	}
	// The supervisor ends it, and kills it where it does not heed the order.
	r.ending <- struct{}{}
	return true, nil
}

// Running returns the instance that can be told something, or nil.
func (r *Replica) Running() Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != experiment.Ready && r.state != experiment.Paused {
		return nil
	}
	return r.current
}

// Freeze pauses a ready instance.
func (r *Replica) Freeze(in Instance) error {
	if err := in.Pause(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setState(experiment.Paused)
	r.addRecovery(Recovery{Service: r.service, Replica: r.index, Cause: string(CausePause), Down: r.since, Detected: r.since})
	return nil
}

// Thaw lets a paused instance go on.
func (r *Replica) Thaw(in Instance) error {
	if err := in.Resume(); err != nil {
		return err
	}
	r.BecomeReady()
	return nil
}

// Snapshot tells what the replica is now.
func (r *Replica) Snapshot() experiment.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := experiment.Replica{Service: r.service, Index: r.index, State: r.state, Restarts: r.restarts, Since: r.since}
	if r.known {
		s.URL = "http://" + r.address
	}
	if r.current != nil {
		s.PID = r.current.PID()
		if base := r.current.Control().Base; base != s.URL {
			s.ControlURL = base
		}
	}
	return s
}

// ErrStopped is the error of waiting for a replica whose life has ended.
var ErrStopped = errors.New("the replica has been stopped")

// Replace ends the instance and waits until the next is ready. A replica that
// is away is waited for, too.
func (r *Replica) Replace(ctx context.Context) error {
	outcome := make(chan error, 1)
	r.mu.Lock()
	r.replaced = outcome
	r.mu.Unlock()
	if _, err := r.Remove(CauseUpdate); err != nil {
		return err
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ended:
		return ErrStopped
	}
}

// Address returns the host:port of the replica, and whether it will stay.
func (r *Replica) Address() (address string, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.address, r.known
}

// TakeListener returns the listener that was opened for the first instance, and
// opens one for those after it.
func (r *Replica) TakeListener() (net.Listener, error) {
	r.mu.Lock()
	ln, address := r.listener, r.address
	r.listener = nil
	r.mu.Unlock()
	if ln != nil {
		return ln, nil
	}
	return Listen(address)
}

// Recoveries lists when the replica was away, the oldest first.
func (r *Replica) Recoveries() []Recovery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.recovery)
}

// AwayCount is how many times the replica has been away; see HasRecovered.
func (r *Replica) AwayCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.recovery)
}

// HasRecovered reports whether the replica is back after it had been away so
// many times before.
func (r *Replica) HasRecovered(before int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.recovery)
	away := n <= before && n < maxRecoveries || n > 0 && r.recovery[n-1].Ready.IsZero()
	return !away
}

// Left says what could not be ended, once Ended is closed; empty means nothing.
func (r *Replica) Left() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}
