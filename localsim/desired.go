package localsim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	protocol "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// desired is the desired state of all replicas: which peers they may call, which description of
// their service they follow, and which faults act. A replica is synced when the state changes and
// when the replica starts, so a replica that appears later gets the same state. It is guarded by
// the deployment's mu.
type desired struct {
	injections map[string]*injection
	// generation counts all changes, peersVersion those of the peers.
	generation   int
	peersVersion int
	// peers is nil when it has to be made anew.
	peers map[string][]string
	// detours has, by caller, the gates on its ways to replicas; detoured has the
	// peers that follow from them, by the name of the detour.
	detours  map[string]*detour
	detoured map[string]map[string][]string
	// described counts, by service, the changes of its description. A running
	// instance must follow the newest; a new instance starts with it.
	described map[string]int
}

// lastSent is the part of the desired state that an instance has been sent.
type lastSent struct {
	peers     string
	described int
	faults    map[string]*injection
	paused    bool
}

// peersChangedLocked notes that the set of replicas has changed.
func (d *Deployment) peersChangedLocked() {
	d.peers, d.detoured = nil, map[string]map[string][]string{}
	d.peersVersion++
	d.generation++
}

// peersLocked returns the URLs by service of the replicas whose address is known
// and whose readiness check has not failed. The map is never changed.
func (d *Deployment) peersLocked() (map[string][]string, int) {
	if d.peers == nil {
		peers, all := map[string][]string{}, map[string][]string{}
		for _, r := range d.replicas {
			s := r.Snapshot()
			if s.URL == "" {
				continue
			}
			all[s.Service] = append(all[s.Service], s.URL)
			if !isUnready(&s) {
				peers[s.Service] = append(peers[s.Service], s.URL)
			}
		}
		for service, urls := range all {
			// If no replica is healthy, list them all, so that callers see their
			// failures.
			if len(peers[service]) == 0 {
				peers[service] = urls
			}
		}
		d.peers = peers
	}
	return d.peers, d.peersVersion
}

// wanted is the desired state of one replica at a generation.
type wanted struct {
	generation   int
	peers        map[string][]string
	peersVersion string
	described    int
	description  protocol.Description
	faults       map[string]*injection
	paused       bool
}

func (d *Deployment) wanted(r *replica) wanted {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := wanted{generation: d.generation, faults: map[string]*injection{}}
	w.peers, w.peersVersion = d.peersForLocked(r.Service())
	w.described, w.description = d.described[r.Service()], protocol.Description{Service: d.services[r.Service()], Stores: d.storesLocked()}
	for id, in := range d.injections {
		if !in.targetsLocked(r) || in.expired() {
			continue
		}
		switch {
		case in.layer == fault.InService, in.layer == fault.InStore:
			w.faults[id] = in
		case in.fault.Type == fault.Pause:
			w.paused = true
		}
	}
	return w
}

// syncNew waits until a new instance answers, sends it the desired state, and
// makes the replica ready.
func (d *Deployment) syncNew(ctx context.Context, r *replica, in supervise.Instance) error {
	if err := d.awaitAnswer(ctx, r, in); err != nil {
		return err
	}
	r.meter.Answered()
	if b := r.batch; b != nil {
		r.batch = nil
		if d.config.Isolation.ownProcesses() {
			d.mu.Lock()
			d.peersChangedLocked() // its address has become known
			d.mu.Unlock()
		}
		b.arrive()
		select {
		case <-b.all:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := d.reconcilePaths(ctx); err != nil && !errors.Is(err, control.ErrClosed) {
		return err
	}
	r.syncing.Lock()
	defer r.syncing.Unlock()
	for {
		w := d.wanted(r)
		if err := d.push(ctx, r, in, w); err != nil {
			return err
		}
		if !d.finishSync(r, w.generation) {
			continue
		}
		if !w.paused {
			return nil
		}
		return r.freeze(in)
	}
}

// awaitAnswer waits until a new instance says that it is ready or, if it is a server at
// a URL, until its health check succeeds.
func (d *Deployment) awaitAnswer(ctx context.Context, r *replica, in supervise.Instance) error {
	s := d.service(r.Service())
	if !r.outside {
		return d.admin.AwaitReady(ctx, in.Control(), d.config.patience(&s))
	}
	waiting, cancel := context.WithTimeout(ctx, d.config.ReadyTimeout)
	defer cancel()
	health := supervise.HealthCheck{Probe: s.ReadinessProbe()}
	var why error
	for {
		err := check(waiting, in, health)
		if err == nil {
			return nil
		}
		if why == nil || !control.TimedOut(err) {
			why = err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-waiting.Done():
			return fmt.Errorf("its URL %s did not answer within %v: %w; start its server, or correct url", s.URL, d.config.ReadyTimeout, why)
		case <-time.After(outsidePause):
		}
	}
}

// outsidePause is the time between two checks of a server that does not answer yet.
const outsidePause = 100 * time.Millisecond

// finishSync makes the replica ready if the desired state has not changed since
// the generation. Later changes are pushed to a ready replica.
func (d *Deployment) finishSync(r *replica, generation int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != generation {
		return false
	}
	r.BecomeReady()
	return true
}

// sync brings a replica that runs up to date. One that does not run is brought
// up to date when it starts.
func (d *Deployment) sync(ctx context.Context, r *replica) error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	in := r.Running()
	if in == nil {
		return nil
	}
	err := d.bringUpToDate(ctx, r, in)
	if err == nil {
		return nil
	}
	// An instance that has just ended cannot be synced; the next instance will be.
	ended := time.NewTimer(endNotice)
	defer ended.Stop()
	select {
	case <-in.Done():
		return nil
	case <-ended.C:
		return fmt.Errorf("service %s: %w", r.Label(), err)
	}
}

// endNotice bounds the time until the end of a process is noticed.
const endNotice = 250 * time.Millisecond

func (d *Deployment) bringUpToDate(ctx context.Context, r *replica, in supervise.Instance) error {
	w := d.wanted(r)
	if r.lastSent.paused {
		if w.paused {
			return nil // it is told the rest when it goes on
		}
		if err := r.thaw(in); err != nil {
			return err
		}
	}
	if err := d.push(ctx, r, in, w); err != nil {
		return err
	}
	if !w.paused {
		return nil
	}
	return r.freeze(in)
}

// push sends the instance what has changed since the last push. The caller
// holds r.syncing.
func (d *Deployment) push(ctx context.Context, r *replica, in supervise.Instance, w wanted) error {
	if r.outside {
		return nil
	}
	if r.lastSent.peers != w.peersVersion {
		if err := d.admin.PutPeers(ctx, in.Control(), w.peers); err != nil {
			return err
		}
		r.lastSent.peers = w.peersVersion
	}
	if r.lastSent.described != w.described {
		if err := d.admin.PutDescription(ctx, in.Control(), &w.description); err != nil {
			return fmt.Errorf("changing it in place: %w", err)
		}
		r.lastSent.described = w.described
	}
	for _, id := range slices.Sorted(maps.Keys(r.lastSent.faults)) {
		if w.faults[id] == r.lastSent.faults[id] {
			continue
		}
		if err := d.admin.DeleteFault(ctx, in.Control(), id); err != nil {
			return fmt.Errorf("clearing fault %q: %w", id, err)
		}
		delete(r.lastSent.faults, id)
	}
	for _, id := range slices.Sorted(maps.Keys(w.faults)) {
		if r.lastSent.faults[id] != nil {
			continue
		}
		if r.lastSent.faults == nil {
			r.lastSent.faults = map[string]*injection{}
		}
		// Without a response, it is unknown whether the fault acts. Count it as
		// sent, so that it is cleared later.
		r.lastSent.faults[id] = w.faults[id]
		if err := d.admin.PutFault(ctx, in.Control(), id, w.faults[id].fault, w.faults[id].told()); err != nil && !w.faults[id].expired() {
			return fmt.Errorf("injecting fault %q: %w", id, err)
		}
	}
	return nil
}

// maxAtOnce bounds how many replicas are synced, replaced or stressed at once.
const maxAtOnce = 32

// syncAll brings replicas up to date, all at once, and returns every error.
func (d *Deployment) syncAll(ctx context.Context, replicas []*replica) error {
	errs := make([]error, len(replicas))
	eachAtOnce(len(replicas), func(i int) { errs[i] = d.sync(ctx, replicas[i]) })
	return errors.Join(errs...)
}

// eachAtOnce calls do for 0..n-1 from at most maxAtOnce goroutines, and waits.
func eachAtOnce(n int, do func(int)) {
	next := make(chan int)
	ended := make(chan struct{})
	workers := min(n, maxAtOnce)
	for range workers {
		go func() {
			for i := range next {
				do(i)
			}
			ended <- struct{}{}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range workers {
		<-ended
	}
}

// targeted lists the replicas that the injection is for.
func (d *Deployment) targeted(in *injection) []*replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.replicas), func(r *replica) bool { return !in.targetsLocked(r) })
}

// targetsLocked reports whether the injection is for a replica. The caller
// holds the deployment's mu.
func (in *injection) targetsLocked(r *replica) bool {
	t := in.fault.Target
	if in.fault.Type == fault.Unreachable {
		return in.callers == nil || slices.Contains(in.callers, r.Service())
	}
	return t.Service == r.Service() && (t.Replica == 0 || t.Replica == r.Index())
}

// An injection is a fault that is to act.
type injection struct {
	id       string
	fault    fault.Fault
	layer    fault.Layer
	since    time.Time
	deadline time.Time
	// callers are the services in which a fault of type unreachable acts; nil
	// means all, where only chains say who calls whom. They are guarded by the
	// deployment's mu.
	callers []string
	// victims are those that a kill or restart has taken away, which it has
	// done when acted is set. They are guarded by the deployment's mu.
	victims []victim
	acted   bool
	// past is the count of gates that have been removed; guarded as victims is.
	past int64
}

// findCallersLocked notes the services that call the target of a fault which
// acts in its callers. The caller holds the deployment's mu.
func (in *injection) findCallersLocked(system *topology.System) {
	if in.fault.Type != fault.Unreachable {
		return
	}
	if in.callers = system.Callers(in.fault.Target.Service); in.fault.Target.From != "" {
		in.callers = []string{in.fault.Target.From}
	}
}

// told returns the deadline for another process, by the wall clock as it stands now,
// because the wall clock may have been set since the fault began.
func (in *injection) told() time.Time {
	if in.deadline.IsZero() {
		return in.deadline
	}
	return time.Now().Add(time.Until(in.deadline))
}

func (in *injection) expired() bool {
	return !in.deadline.IsZero() && !time.Now().Before(in.deadline)
}
