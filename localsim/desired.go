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
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// desired is what all replicas are to know: whom they may call and which
// faults act. Replicas are brought up to date with it when it changes and
// whenever one starts, so a replica that appears later is like the others. It
// is guarded by the deployment's mu.
type desired struct {
	injections map[string]*injection
	// generation counts all changes, peersVersion those of the peers.
	generation   int
	peersVersion int
	// peers is nil when it has to be made anew.
	peers map[string][]string
	// detours are the ways of callers that gates stand in; detoured are their
	// peers by name.
	detours  map[string]*detour
	detoured map[string]map[string][]string
}

// told is what an instance knows of the desired state.
type told struct {
	peers  string
	faults map[string]*injection
	paused bool
}

// touchPeers notes that there are other replicas now. It needs mu.
func (d *Deployment) touchPeers() {
	d.peers, d.detoured = nil, map[string]map[string][]string{}
	d.peersVersion++
	d.generation++
}

// peersLocked returns the URLs by service of all replicas whose address is
// known. It needs mu. The map is not changed any more.
func (d *Deployment) peersLocked() (map[string][]string, int) {
	if d.peers == nil {
		peers := map[string][]string{}
		for _, r := range d.replicas {
			if s := r.Snapshot(); s.URL != "" {
				peers[s.Service] = append(peers[s.Service], s.URL)
			}
		}
		d.peers = peers
	}
	return d.peers, d.peersVersion
}

// wanted is what one replica is to know.
type wanted struct {
	generation   int
	peers        map[string][]string
	peersVersion string
	faults       map[string]*injection
	paused       bool
}

func (d *Deployment) wanted(r *replica) wanted {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := wanted{generation: d.generation, faults: map[string]*injection{}}
	w.peers, w.peersVersion = d.peersFor(r.Service())
	for id, in := range d.injections {
		if !in.targets(r) || in.expired() {
			continue
		}
		switch {
		case in.place == fault.InService:
			w.faults[id] = in
		case in.fault.Type == fault.Pause:
			w.paused = true
		}
	}
	return w
}

// settle waits until a new instance answers, tells it all it has to know, and
// makes the replica ready.
func (d *Deployment) settle(ctx context.Context, r *replica, in supervise.Instance) error {
	if err := d.admin.AwaitReady(ctx, in.Control(), d.config.ReadyTimeout); err != nil {
		return err
	}
	if b := r.batch; b != nil {
		r.batch = nil
		if d.config.Isolation.ownProcesses() {
			d.mu.Lock()
			d.touchPeers() // its address has become known
			d.mu.Unlock()
		}
		b.arrive()
		select {
		case <-b.all:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := d.arrangePaths(ctx); err != nil && !errors.Is(err, control.ErrClosed) {
		return err
	}
	r.syncing.Lock()
	defer r.syncing.Unlock()
	for {
		w := d.wanted(r)
		if err := d.push(ctx, r, in, w); err != nil {
			return err
		}
		if !d.finishSettling(r, w.generation) {
			continue
		}
		if !w.paused {
			return nil
		}
		return r.freeze(in)
	}
}

// finishSettling makes the replica ready if nothing has changed since the
// generation. From then on changes are pushed to it.
func (d *Deployment) finishSettling(r *replica, generation int) bool {
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
	// An instance that has just ended cannot be told anything, and need not.
	ended := time.NewTimer(endNotice)
	defer ended.Stop()
	select {
	case <-in.Done():
		return nil
	case <-ended.C:
		return fmt.Errorf("service %s: %w", r.Label(), err)
	}
}

// endNotice is how long it may take until the end of a process is noticed.
const endNotice = 250 * time.Millisecond

func (d *Deployment) bringUpToDate(ctx context.Context, r *replica, in supervise.Instance) error {
	w := d.wanted(r)
	if r.told.paused {
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

// push tells the instance what it does not know yet. It needs r.syncing.
func (d *Deployment) push(ctx context.Context, r *replica, in supervise.Instance, w wanted) error {
	if r.told.peers != w.peersVersion {
		if err := d.admin.PutPeers(ctx, in.Control(), w.peers); err != nil {
			return err
		}
		r.told.peers = w.peersVersion
	}
	for _, id := range slices.Sorted(maps.Keys(r.told.faults)) {
		if w.faults[id] == r.told.faults[id] {
			continue
		}
		if err := d.admin.DeleteFault(ctx, in.Control(), id); err != nil {
			return fmt.Errorf("clearing fault %q: %w", id, err)
		}
		delete(r.told.faults, id)
	}
	for _, id := range slices.Sorted(maps.Keys(w.faults)) {
		if r.told.faults[id] != nil {
			continue
		}
		if r.told.faults == nil {
			r.told.faults = map[string]*injection{}
		}
		// It counts as told even if there is no answer: then it is not known
		// whether it acts, and it must be cleared later.
		r.told.faults[id] = w.faults[id]
		if err := d.admin.PutFault(ctx, in.Control(), id, w.faults[id].fault, w.faults[id].deadline); err != nil && !w.faults[id].expired() {
			return fmt.Errorf("injecting fault %q: %w", id, err)
		}
	}
	return nil
}

// maxSyncing bounds how many replicas are told something at once.
const maxSyncing = 32

// syncAll brings replicas up to date, all at once, and returns every error.
func (d *Deployment) syncAll(ctx context.Context, replicas []*replica) error {
	errs := make([]error, len(replicas))
	eachAtOnce(len(replicas), maxSyncing, func(i int) { errs[i] = d.sync(ctx, replicas[i]) })
	return errors.Join(errs...)
}

// eachAtOnce calls do for 0..n-1 from at most limit goroutines, and waits.
func eachAtOnce(n, limit int, do func(int)) {
	next := make(chan int)
	ended := make(chan struct{})
	workers := min(n, limit)
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
	return slices.DeleteFunc(slices.Clone(d.replicas), func(r *replica) bool { return !in.targets(r) })
}

// targets reports whether the injection is for a replica. It needs the
// deployment's mu.
func (in *injection) targets(r *replica) bool {
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
	place    fault.Place
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
	// past is what gates have counted that are gone; guarded as victims.
	past int64
}

// findCallers notes the services that call the target of a fault which acts in
// its callers. It needs the deployment's mu.
func (in *injection) findCallers(system *topology.System) {
	if in.fault.Type != fault.Unreachable {
		return
	}
	t := in.fault.Target
	in.callers = nil
	for i := range system.Services {
		s := &system.Services[i]
		if t.From == s.Name || t.From == "" && slices.Contains(s.Calls(), t.Service) {
			in.callers = append(in.callers, s.Name)
		}
	}
}

func (in *injection) expired() bool {
	return !in.deadline.IsZero() && !time.Now().Before(in.deadline)
}
