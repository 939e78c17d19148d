package localsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/program"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A victim is a replica that a kill or restart has taken away.
type victim struct {
	replica *replica
	// outages is how many times the replica had been away before.
	outages int
}

// away reports whether the replica has not recovered yet.
func (v victim) away() bool { return !v.replica.HasRecovered(v.outages) }

// CanInject says why a fault is not possible here; nil means that it is.
func (d *Deployment) CanInject(f *fault.Fault) error {
	d.mu.Lock()
	system := d.system
	d.mu.Unlock()
	return d.config.canInject(system, f)
}

// CanInject says, before a system is started, why a fault is not possible on it
// with the isolation that it would have.
func (d *Deployer) CanInject(system *topology.System, f *fault.Fault) error {
	return d.config.of(system).canInject(system, f)
}

func (c *Config) canInject(system *topology.System, f *fault.Fault) error {
	if err := f.Validate().Err(); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	if system != nil && f.Rounds == nil {
		if err := experiment.CheckTarget(system, f.Target); err != nil {
			return fmt.Errorf("fault %q: %w", f.Label(), err)
		}
		to, from := system.Service(f.Target.Service), system.Service(f.Target.From)
		if err := cmp.Or(store.Can(to, f), program.Can(to, from, f)); err != nil {
			return fmt.Errorf("fault %q: %w", f.Label(), err)
		}
	}
	entry, _ := fault.Lookup(f.Type)
	switch entry.Layer {
	case fault.InService, fault.InStore:
		return nil
	case fault.OnProcess:
		if !c.Isolation.ownProcesses() {
			return fmt.Errorf("fault %q: %w", f.Label(), supervise.ErrOwnProcess)
		}
		if f.Type == fault.Pause {
			return supervise.CanPause()
		}
		return nil
	case fault.OnNetwork, fault.OnEdge:
		switch {
		case c.Isolation == Namespace && entry.Layer == fault.OnEdge:
			return fmt.Errorf("fault %q: with --isolation netns the kernel breaks the network, and %s needs a gate; start the system with --isolation process", f.Label(), f.Type)
		case c.Isolation == Namespace:
			return c.CanImpair(f)
		}
		if c.CanGate != nil {
			return c.CanGate(f)
		}
	case fault.OnHost:
		switch {
		case !c.Isolation.ownProcesses():
			return fmt.Errorf("fault %q: with --isolation %s the services run inside this program, which a stress would hold up as well; start the system with --isolation process", f.Label(), c.Isolation)
		case c.CanStress != nil:
			return c.CanStress(f)
		}
	}
	return fmt.Errorf("fault %q: faults on the %s, such as %s, are not possible on this machine; use latency, error, abort or hang", f.Label(), entry.Layer, f.Type)
}

// Inject lets the fault act until it is cleared or the deadline has come; the
// zero time means no deadline. A kill or restart acts once, on the replicas
// there are now.
func (d *Deployment) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	if id == "" {
		return fmt.Errorf("injecting fault %q: it has no id", f.Label())
	}
	if err := d.CanInject(&f); err != nil {
		return err
	}
	if f.Rounds != nil {
		return fmt.Errorf("injecting fault %q: the victim of the round has not been drawn", f.Label())
	}
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return fmt.Errorf("injecting fault %q: its deadline is over", f.Label())
	}
	entry, _ := fault.Lookup(f.Type)
	in := &injection{id: id, fault: f.WithDefaults(), layer: entry.Layer, since: time.Now(), deadline: deadline}
	if err := d.remember(in); err != nil {
		return fmt.Errorf("injecting fault %q: %w", f.Label(), err)
	}
	err := d.act(ctx, in)
	if err == nil {
		return nil
	}
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return errors.Join(fmt.Errorf("injecting fault %q: %w", f.Label(), err), d.Clear(undoing, id))
}

// undoTime bounds how long it may take to clear a fault.
const undoTime = 10 * time.Second

func (d *Deployment) remember(in *injection) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	if old := d.injections[in.id]; old != nil && !old.overLocked() && !old.expired() {
		return fmt.Errorf("there is a fault with the id %q already, a %s; 'kubectl microsim fault clear %s --on local' ends it, and --name names another", in.id, old.fault.Label(), in.id)
	}
	maps.DeleteFunc(d.injections, func(_ string, old *injection) bool { return old.overLocked() })
	in.findCallersLocked(d.system)
	d.injections[in.id] = in
	d.generation++
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return nil
}

func (d *Deployment) act(ctx context.Context, in *injection) error {
	targets := d.targeted(in)
	if onTheWay(in.layer) {
		return d.applyPaths(ctx)
	}
	if in.layer == fault.OnHost {
		return d.applyStress(ctx)
	}
	if !in.momentary() {
		return d.syncAll(ctx, targets)
	}
	var errs []error
	var victims []victim
	for _, r := range targets {
		v := victim{replica: r, outages: r.OutageCount()}
		removed, err := r.Remove(supervise.Cause(in.fault.Type))
		if removed {
			victims = append(victims, v)
		}
		errs = append(errs, err)
	}
	d.mu.Lock()
	in.victims, in.acted = victims, true
	d.mu.Unlock()
	return errors.Join(errs...)
}

// momentary reports whether the fault acts once and then heals by itself.
func (in *injection) momentary() bool {
	return in.fault.Type == fault.Kill || in.fault.Type == fault.Restart
}

// overLocked reports whether a momentary fault has no effect any more because every
// victim has come back. The caller holds the deployment's mu.
func (in *injection) overLocked() bool {
	if !in.momentary() || !in.acted {
		return false
	}
	return !slices.ContainsFunc(in.victims, victim.away)
}

// Clear ends a fault. It returns nil if no fault has that id.
func (d *Deployment) Clear(ctx context.Context, id string) error {
	d.mu.Lock()
	in := d.injections[id]
	delete(d.injections, id)
	d.generation++
	d.mu.Unlock()
	if in == nil || d.life.Err() != nil {
		return nil //nolint:nilerr // nothing is left of a system that has been taken down
	}
	err := error(nil)
	switch {
	case onTheWay(in.layer):
		err = d.applyPaths(ctx)
	case in.layer == fault.OnHost:
		err = d.applyStress(ctx)
	default:
		err = d.syncAll(ctx, d.targeted(in))
	}
	if err != nil {
		return fmt.Errorf("clearing fault %q: %w", in.fault.Label(), err)
	}
	return nil
}

// Active lists the faults that act now, in the order in which they began.
func (d *Deployment) Active(ctx context.Context) ([]runner.Injection, error) {
	if d.life.Err() != nil {
		return nil, control.ErrClosed
	}
	d.mu.Lock()
	var acting []*injection
	for _, in := range d.injections {
		if !in.overLocked() && !in.expired() {
			acting = append(acting, in)
		}
	}
	d.mu.Unlock()
	slices.SortFunc(acting, func(a, b *injection) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) })
	hits := d.hits(ctx, acting)
	pathHits, by := d.pathHits(acting)
	maps.Copy(hits, pathHits)
	active := []runner.Injection{}
	for _, in := range acting {
		i := runner.Injection{ID: in.id, Fault: in.fault, Since: in.since, Deadline: in.deadline, Hits: -1, By: by[in.id], Replicas: []string{}}
		if n, counted := hits[in.id]; counted {
			i.Hits = n
		}
		for _, r := range d.affected(in) {
			i.Replicas = append(i.Replicas, r.Label())
		}
		active = append(active, i)
	}
	return active, nil
}

// affected lists the replicas that the injection acts on.
func (d *Deployment) affected(in *injection) []*replica {
	if in.layer == fault.OnHost {
		return d.stressed(in)
	}
	if !in.momentary() {
		return d.targeted(in)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var replicas []*replica
	for _, v := range in.victims {
		replicas = append(replicas, v.replica)
	}
	return replicas
}

// hits asks the replicas how often the faults in the service have acted. A
// fault that no replica counts is absent.
func (d *Deployment) hits(ctx context.Context, acting []*injection) map[string]int64 {
	ask := map[*replica]bool{}
	for _, in := range acting {
		if in.layer == fault.InService || in.layer == fault.InStore {
			for _, r := range d.targeted(in) {
				ask[r] = !r.outside
			}
		}
	}
	var instances []supervise.Instance
	for r, takesOrders := range ask {
		if in := r.Running(); takesOrders && in != nil && r.Snapshot().State == runner.Ready {
			instances = append(instances, in)
		}
	}
	counts := make([]map[string]int64, len(instances))
	eachAtOnce(len(instances), func(i int) {
		// A replica that does not answer adds nothing; its state shows that it
		// is broken.
		counts[i], _ = d.admin.Hits(ctx, instances[i].Control())
	})
	sum := map[string]int64{}
	for _, count := range counts {
		for id, n := range count {
			sum[id] += n
		}
	}
	return sum
}

// watch clears faults at their deadlines until the deployment ends.
func (d *Deployment) watch() {
	defer close(d.watched)
	for {
		id, deadline := d.nextDeadline()
		timer := time.NewTimer(time.Until(deadline))
		if id == "" {
			timer.Stop()
		}
		select {
		case <-d.life.Done():
			timer.Stop()
			return
		case <-d.wake:
			timer.Stop()
		case <-timer.C:
			ctx, cancel := context.WithTimeout(d.life, undoTime)
			if err := d.Clear(ctx, id); err != nil && d.life.Err() == nil {
				d.config.Logger.Warn("clearing a fault at its deadline", "fault", id, "error", err)
			}
			cancel()
		}
	}
}

// nextDeadline returns the fault that must be cleared first, or no id.
func (d *Deployment) nextDeadline() (id string, deadline time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range d.injections {
		if !in.deadline.IsZero() && (id == "" || in.deadline.Before(deadline)) {
			id, deadline = in.id, in.deadline
		}
	}
	return id, deadline
}

// Order kills, pauses, resumes or restarts one replica by hand.
func (d *Deployment) Order(ctx context.Context, service string, index int, order string) error {
	byHand := fmt.Sprintf("by-hand-%s-%d", service, index)
	f := fault.Fault{Type: fault.Type(order), Probability: 1, Target: fault.Target{Service: service, Replica: index}}
	switch order {
	case string(fault.Kill), string(fault.Restart):
		return d.Inject(ctx, byHand+"-"+order, f, time.Time{})
	case string(fault.Pause):
		return d.Inject(ctx, byHand, f, time.Time{})
	case "resume":
		return d.Clear(ctx, byHand)
	}
	return fmt.Errorf("order %q is not known; use kill, pause, resume or restart", order)
}
