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

	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Target says how to reach the /admin of a replica: over the network or, if the
// replica runs in this process, by its handler.
type Target struct {
	Base    string
	Handler http.Handler
}

// An Instance is one run of a replica, from its start to its end.
type Instance interface {
	// Addr is the host:port for requests, Control the target for control
	// requests.
	Addr() string
	Control() Target
	// PID is 0 for an instance in this process.
	PID() int
	// Done is closed when the instance has ended; Err says why from then on.
	Done() <-chan struct{}
	Err() error
	// Terminate asks it to end cleanly, Kill ends it at once.
	Terminate()
	Kill() error
	// Pause stops it without ending it, until Resume.
	Pause() error
	Resume() error
}

// An Outage is one time that a replica was away.
type Outage struct {
	Service string `json:"service"`
	Replica int    `json:"replica"`
	// Cause is the fault that took the replica away, or how it ended by itself.
	Cause string `json:"cause"`
	// Down is when the cause acted. If that is not known, it is when the first
	// failed health check began, or when the supervisor saw the instance end.
	Down time.Time `json:"down"`
	// Detected is when the supervisor saw the instance end or a health check had
	// failed often enough; the zero time as long as neither has noticed.
	Detected time.Time `json:"detected,omitzero"`
	// Ready is when the replica answered again, the zero time until then.
	Ready time.Time `json:"ready,omitzero"`
	// Starts counts the attempts until it was ready.
	Starts int `json:"starts"`
}

// A Config says which replica is supervised, and how.
type Config struct {
	Service string
	Index   int
	// Start begins an instance. Sync waits until it answers, brings it up to
	// date, and calls BecomeReady.
	Start func(ctx context.Context) (Instance, error)
	Sync  func(ctx context.Context, in Instance) error
	// Notify is called when something happens that a user may want to know.
	Notify func(event string, err error)
	// Checks are the health checks of an instance that has become ready; Check
	// makes one, and returns why the instance is not healthy. Nil means none.
	Checks func() []HealthCheck
	Check  func(ctx context.Context, in Instance, c HealthCheck) error
	// Changed is called with the replica after each change of its state, in
	// order. It must neither block nor call the replica. It may be nil.
	Changed func(runner.Replica)
	// Silent says that instances give no figures; see runner.Replica.
	Silent bool
	// Grace is how long an instance may take to end cleanly. Hurry is closed to cut
	// that short.
	Grace time.Duration
	Hurry <-chan struct{}
	// Address is the host:port of every instance if Known is set; otherwise the
	// address that the first listens on, whose port may be 0.
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

	// ending holds a request to end the current instance; it is sent at most
	// once for each instance. An instance that ends by itself leaves it unread, so
	// begin drains it: it must not end the successor.
	ending chan struct{}

	mu sync.Mutex
	// The fields below are guarded by mu.

	// address is host:port, the same for life once it is known; before that,
	// what to listen on.
	address  string
	known    bool
	state    runner.State
	since    time.Time
	restarts int
	current  Instance
	// unready says that the readiness check of the current instance has failed;
	// detected is when it was noticed that the replica is not ready.
	unready  bool
	detected time.Time
	// removal is the fault that is taking the current instance away.
	removal *Outage
	outages []Outage
	// replaced gets the outcome of the next start; nil if nobody waits for it.
	replaced chan<- error
	// left names what could not be ended.
	left string
	// listener is the first instance's, until that has taken it.
	listener net.Listener
}

// New returns a replica that has no instance yet. Its life ends with ctx.
func New(ctx context.Context, c Config) *Replica {
	r := &Replica{
		service: c.Service, index: c.Index, config: c, backoff: newBackoff(),
		state: runner.Starting, since: time.Now(), address: c.Address, known: c.Known, listener: c.Listener,
		ending: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	r.life, r.stop = context.WithCancel(ctx)
	return r
}

// Service is the name of the service that this is a copy of.
func (r *Replica) Service() string { return r.service }

// Index counts the copies from 1.
func (r *Replica) Index() int { return r.index }

// Stop ends the life of the replica, without waiting for Ended.
func (r *Replica) Stop() { r.stop() }

// Ended is closed when Run has returned or Discard has been called.
func (r *Replica) Ended() <-chan struct{} { return r.ended }

// Discard releases a replica that is not started. It is called instead of Run.
func (r *Replica) Discard() {
	if r.listener != nil {
		r.listener.Close()
	}
	close(r.ended)
}

// maxOutages bounds the outages that a replica keeps; the oldest are dropped.
const maxOutages = 1000

func (r *Replica) Label() string { return fmt.Sprintf("%s/%d", r.service, r.index) }

// Run keeps the replica running until its life ends. It calls first with the
// outcome of the first start; if that is an error, there is no second start.
func (r *Replica) Run(first func(error)) {
	defer close(r.ended)
	in, err := r.begin()
	first(err)
	if err != nil {
		return
	}
	for {
		stopChecks := r.startChecks(in)
		select {
		case <-r.life.Done():
			stopChecks()
			r.end(in)
			return
		case <-r.ending:
			stopChecks()
			r.end(in)
		case <-in.Done():
			stopChecks()
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

// begin starts an instance and waits until it is ready. On an error the
// instance has ended when begin returns.
func (r *Replica) begin() (Instance, error) {
	r.mu.Lock()
	select {
	case <-r.ending:
	default:
	}
	if open := r.openOutageLocked(); open != nil {
		open.Starts++
		r.restarts++
	}
	r.setStateLocked(runner.Starting)
	r.changedLocked()
	r.mu.Unlock()
	in, err := r.config.Start(r.life)
	if err == nil {
		r.mu.Lock()
		r.current, r.address, r.known, r.removal, r.unready = in, in.Addr(), true, nil, false
		r.mu.Unlock()
		if err = r.awaitSynced(in); err != nil {
			r.end(in)
		}
	}
	if err != nil {
		r.mu.Lock()
		r.current = nil
		r.setStateLocked(runner.Down)
		r.changedLocked()
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

// awaitSynced runs Sync and cancels it if the instance ends.
func (r *Replica) awaitSynced(in Instance) error {
	ctx, cancel := context.WithCancel(r.life)
	defer cancel()
	synced := make(chan error, 1)
	go func() { synced <- r.config.Sync(ctx, in) }()
	select {
	case err := <-synced:
		return err
	case <-in.Done():
		cancel()
		<-synced
		return fmt.Errorf("ended before it was ready: %w", cmp.Or(in.Err(), errEnded))
	}
}

var errEnded = errors.New("it ended by itself")

// BecomeReady marks the replica ready. Sync calls it when the instance is up to
// date.
func (r *Replica) BecomeReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.becomeReadyLocked()
}

func (r *Replica) becomeReadyLocked() {
	r.setStateLocked(runner.Ready)
	r.detected = time.Time{}
	if open := r.openOutageLocked(); open != nil {
		open.Ready = r.since
	}
	r.changedLocked()
}

// openOutageLocked is the outage that the replica has not come back from, or nil.
func (r *Replica) openOutageLocked() *Outage {
	if n := len(r.outages); n > 0 && r.outages[n-1].Ready.IsZero() {
		return &r.outages[n-1]
	}
	return nil
}

// changedLocked calls Changed, if it is set.
func (r *Replica) changedLocked() {
	if r.config.Changed != nil {
		r.config.Changed(r.snapshotLocked())
	}
}

// setStateLocked notes the state and since when.
func (r *Replica) setStateLocked(s runner.State) {
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
	event := Outage{Service: r.service, Replica: r.index, Cause: cmp.Or(in.Err(), errEnded).Error(), Down: now}
	var wait time.Duration
	if r.removal != nil {
		event = *r.removal
	}
	if event.Cause != string(CauseRestart) && event.Cause != string(CauseUpdate) {
		wait = r.backoff.next(ready)
	}
	if event.Detected.IsZero() {
		event.Detected = now
	}
	if r.detected.IsZero() {
		r.detected = event.Detected
	}
	// A restart for liveness is part of the outage in which the replica hung.
	continues := false
	if open := r.openOutageLocked(); open != nil {
		if continues = event.Cause == string(CauseLiveness); !continues {
			open.Ready = now // a pause that ended with the instance
		}
	}
	if event.Cause != string(CauseUpdate) && !continues {
		r.addOutageLocked(event)
	}
	r.current, r.removal = nil, nil
	r.setStateLocked(runner.Down)
	r.changedLocked()
	r.mu.Unlock()
	r.config.Notify("down", errors.New(event.Cause))
	return wait
}

// addOutageLocked keeps the newest maxOutages.
func (r *Replica) addOutageLocked(event Outage) {
	if len(r.outages) == maxOutages {
		r.outages = r.outages[:copy(r.outages, r.outages[1:])]
	}
	r.outages = append(r.outages, event)
}

// KillWait is how long the system may take to end a killed instance.
const KillWait = 5 * time.Second

// end ends the instance. It kills an instance that has not ended cleanly within the
// grace.
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
	_ = in.Kill() // the wait below shows whether it worked
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
	// CauseReadiness and CauseLiveness are health checks that have failed.
	CauseReadiness Cause = "readiness"
	CauseLiveness  Cause = "liveness"
	// CauseUpdate replaces an instance by one of a changed service; that is no
	// failure, so it is not an Outage.
	CauseUpdate Cause = "update"
)

// Remove ends the running instance. It reports false, and does nothing, if the
// replica is already down or starting.
func (r *Replica) Remove(why Cause) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.current
	if in == nil || r.removal != nil || r.state == runner.Starting {
		return false, nil
	}
	r.removal = &Outage{Service: r.service, Replica: r.index, Cause: string(why), Down: time.Now()}
	if why == CauseKill {
		if err := in.Kill(); err != nil {
			r.removal = nil
			return false, fmt.Errorf("killing service %s: %w", r.Label(), err)
		}
		return true, nil
	}
	// The supervisor ends it, and kills it if it ignores that.
	r.ending <- struct{}{}
	return true, nil
}

// Running returns the instance that can be synced, or nil.
func (r *Replica) Running() Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != runner.Ready && r.state != runner.Paused && r.state != runner.Unready {
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
	r.setStateLocked(runner.Paused)
	if r.openOutageLocked() == nil {
		r.addOutageLocked(Outage{Service: r.service, Replica: r.index, Cause: string(CausePause), Down: r.since})
	}
	r.changedLocked()
	return nil
}

// Thaw resumes a paused instance. It is ready at once, unless a health check has
// noticed the pause.
func (r *Replica) Thaw(in Instance) error {
	if err := in.Resume(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unready {
		// The replica becomes ready again when its health check succeeds.
		r.setStateLocked(runner.Unready)
		r.changedLocked()
		return nil
	}
	r.becomeReadyLocked()
	return nil
}

// Snapshot returns the present state of the replica.
func (r *Replica) Snapshot() runner.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshotLocked()
}

func (r *Replica) snapshotLocked() runner.Replica {
	s := runner.Replica{Service: r.service, Index: r.index, State: r.state, Restarts: r.restarts, Since: r.since, Detected: r.detected, Silent: r.config.Silent}
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

// ErrStopped says that a replica was stopped while Replace waited for it.
var ErrStopped = errors.New("the replica has been stopped")

// Replace ends the instance, if there is one, and waits until the next is
// ready.
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

// Address returns the host:port of the replica, and whether that is final.
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

// Outages lists when the replica was away, the oldest first.
func (r *Replica) Outages() []Outage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.outages)
}

// OutageCount is how many times the replica has been away; see HasRecovered.
func (r *Replica) OutageCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.outages)
}

// HasRecovered reports whether an outage after the first before outages has ended.
func (r *Replica) HasRecovered(before int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.outages)
	away := n <= before && n < maxOutages || n > 0 && r.outages[n-1].Ready.IsZero()
	return !away
}

// Left names what could not be ended; empty means nothing. Call it after Ended is
// closed.
func (r *Replica) Left() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}
