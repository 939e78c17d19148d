package localsim

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	protocol "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// slots lists the replicas that a system describes, in the order of its file.
func slots(system *topology.System) []slot {
	var all []slot
	for i := range system.Services {
		s := &system.Services[i]
		for n := range s.Replicas {
			all = append(all, slot{s.Name, n + 1})
		}
	}
	return all
}

// An updatePlan says what must be done to the replicas for another system.
type updatePlan struct {
	start, change, replace, stop []slot
	// changed are the services whose replicas change in place.
	changed []string
}

// planUpdate compares two systems whose calls are bound.
func planUpdate(old, next *topology.System, oldServices, nextServices map[string]topology.Service) updatePlan {
	was, will := slots(old), slots(next)
	hostsChanged := !slices.Equal(old.AllowHosts, next.AllowHosts)
	before, after := slotSet(was), slotSet(will)
	var p updatePlan
	if !hostsChanged {
		p.changed = changesInPlace(oldServices, nextServices)
	}
	for _, s := range will {
		switch {
		case !before[s]:
			p.start = append(p.start, s)
		case slices.Contains(p.changed, s.service):
			p.change = append(p.change, s)
		case hostsChanged || !sameService(oldServices[s.service], nextServices[s.service]):
			p.replace = append(p.replace, s)
		}
	}
	for _, s := range was {
		if !after[s] {
			p.stop = append(p.stop, s)
		}
	}
	return p
}

// changesInPlace names the services whose running replicas may follow their new
// description: those of the agent whose fixed fields stay.
func changesInPlace(old, next map[string]topology.Service) (names []string) {
	for name, now := range next {
		was, known := old[name]
		if known && protocol.Follows(&now) && len(protocol.Fixed(&was, &now)) == 0 && !sameService(was, now) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func slotSet(slots []slot) map[slot]bool {
	set := make(map[slot]bool, len(slots))
	for _, s := range slots {
		set[s] = true
	}
	return set
}

// sameService compares everything except the number of replicas, which no
// replica knows.
func sameService(a, b topology.Service) bool {
	a.Replicas, b.Replicas = 0, 0
	return reflect.DeepEqual(a, b)
}

// Update changes the running system to the given one: it adds, changes and
// removes services, and those that stay the same keep running. Replicas of a changed
// service follow its new description in place, if they can, and are replaced else; the
// service keeps its address. On an error the system is what it was before.
func (d *Deployment) Update(ctx context.Context, next *topology.System) error {
	if err := d.checkUpdate(ctx, next); err != nil {
		return err
	}
	d.updating.Lock()
	defer d.updating.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	old, oldServices := d.current()
	d.setSystem(next)
	_, nextServices := d.current()
	plan := planUpdate(old, next, oldServices, nextServices)
	if err := d.apply(ctx, &plan); err != nil {
		err = fmt.Errorf("changing system %q: %w", d.name, err)
		d.setSystem(old)
		undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		return errors.Join(err, d.revert(undoing, plan))
	}
	d.dropInjections(next)
	return errors.Join(d.applyPaths(ctx), d.applyStress(ctx))
}

func (d *Deployment) checkUpdate(ctx context.Context, next *topology.System) error {
	if err := next.Validate().Err(); err != nil {
		return fmt.Errorf("changing system %q: %w", d.name, err)
	}
	if next.Name != d.name {
		return fmt.Errorf("changing system %q: the new description is of system %q; keep the name, or start it beside the other", d.name, next.Name)
	}
	now, _ := d.current()
	for i := range next.Services {
		s := &next.Services[i]
		if is := now.Service(s.Name); is != nil && is.URL != s.URL && is.Replicas > 0 {
			return fmt.Errorf("changing system %q: the address of service %q cannot change while the system runs; take it down and bring it up again", d.name, s.Name)
		}
	}
	return d.config.checkServices(ctx, next)
}

func (d *Deployment) current() (*topology.System, map[string]topology.Service) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.system, d.services
}

// apply starts what is new before it touches what is there.
func (d *Deployment) apply(ctx context.Context, plan *updatePlan) error {
	batch, err := d.addReplicas(plan.start)
	if err != nil {
		return err
	}
	if err := d.startReplicas(ctx, batch); err != nil {
		return err
	}
	if err := d.syncAll(ctx, d.list()); err != nil {
		return err
	}
	refused, err := d.changeAll(ctx, plan.changed, plan.change)
	plan.replace = append(plan.replace, refused...)
	if err != nil {
		return err
	}
	if err := d.replaceAll(ctx, plan.replace); err != nil {
		return err
	}
	if err := d.stopReplicas(plan.stop); err != nil {
		return err
	}
	return d.syncAll(ctx, d.list())
}

// revert brings back what apply had begun to change.
func (d *Deployment) revert(ctx context.Context, plan updatePlan) error {
	ended := d.stopReplicas(plan.start)
	refused, changed := d.changeAll(ctx, plan.changed, plan.change)
	return errors.Join(ended, changed, d.replaceAll(ctx, append(plan.replace, refused...)), d.syncAll(ctx, d.list()))
}

// changeAll makes the running instances of services follow the current description, and
// returns the slots of those that cannot. Instances that start meanwhile follow it when
// they become ready, and paused ones when they go on.
func (d *Deployment) changeAll(ctx context.Context, services []string, slots []slot) (refused []slot, err error) {
	if len(services) == 0 {
		return nil, nil
	}
	d.mu.Lock()
	for _, name := range services {
		d.described[name]++
	}
	d.generation++
	d.mu.Unlock()
	replicas := d.find(slots)
	errs := make([]error, len(replicas))
	eachAtOnce(len(replicas), func(i int) { errs[i] = d.sync(ctx, replicas[i]) })
	for i, r := range replicas {
		if controlhttp.OnlyReplaced(errs[i]) {
			refused, errs[i] = append(refused, r.slot()), nil
		}
	}
	return refused, errors.Join(errs...)
}

// replaceAll ends the instances of the slots and waits until new ones, of the
// current system, are ready.
func (d *Deployment) replaceAll(ctx context.Context, slots []slot) error {
	replicas := d.find(slots)
	errs := make([]error, len(replicas))
	system, _ := d.current()
	eachAtOnce(len(replicas), func(i int) {
		// An instance that was already starting may have got the old
		// description.
		for errs[i] == nil && replicas[i].builtFor.Load() != system {
			if errs[i] = replicas[i].Replace(ctx); errors.Is(errs[i], supervise.ErrStopped) {
				errs[i] = control.ErrClosed
			}
		}
	})
	return errors.Join(errs...)
}

func (d *Deployment) find(slots []slot) []*replica {
	set := slotSet(slots)
	return slices.DeleteFunc(d.list(), func(r *replica) bool { return !set[r.slot()] })
}

// stopReplicas ends and removes the replicas of the slots.
func (d *Deployment) stopReplicas(slots []slot) error {
	replicas := d.find(slots)
	for _, r := range replicas {
		r.Stop()
	}
	left := awaitEnded(replicas)
	set := slotSet(slots)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replicas = slices.DeleteFunc(d.replicas, func(r *replica) bool { return set[r.slot()] })
	d.peersChangedLocked()
	if len(left) > 0 {
		return fmt.Errorf("%q does not end", left)
	}
	return d.removeHosts(slots)
}

// dropInjections removes faults whose service is gone.
func (d *Deployment) dropInjections(next *topology.System) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, in := range d.injections {
		if next.Service(in.fault.Target.Service) == nil {
			delete(d.injections, id)
		}
	}
}
