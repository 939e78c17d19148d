package localsim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A Network gives each replica a network namespace and an address of its own.
// Its methods may be called at the same time.
type Network interface {
	// Add makes the namespace of a replica and returns its IP address there.
	Add(replica string) (ip string, err error)
	// Remove removes the namespace of a replica, whose processes must have ended.
	Remove(replica string) error
	// Enter runs f on the calling thread in the replica's namespace.
	Enter(replica string, f func() error) error
	// Impair makes exactly these faults act on the way to a replica, and returns
	// the name of what carries them out.
	Impair(ctx context.Context, replica string, faults []PathFault) (by string, err error)
	// Hits counts the packets to a replica that the faults with these ids have
	// matched; a fault whose packets are not counted is absent.
	Hits(replica string, ids []string) map[string]int64
	// Close removes everything. It may be called again.
	Close() error
}

// A PathFault is a fault on the way between callers and a replica.
type PathFault struct {
	ID    string
	Fault fault.Fault
	// Port is where the replica takes requests.
	Port uint16
	// Callers are the addresses of the callers concerned; nil means all.
	Callers []string
}

// servicePort is the port of every replica in a namespace, because each namespace
// has ports of its own.
const servicePort = 8080

// openNetwork makes the network of the system. It first records the network's
// mark, so that `down` finds the network if this program is killed.
func (d *Deployment) openNetwork() error {
	if d.config.Isolation != Namespace {
		return nil
	}
	mark := d.config.NewMark()
	if d.entry != nil {
		if err := d.entry.NoteNetwork(mark); err != nil {
			return err
		}
	}
	var err error
	d.network, err = d.config.NewNetwork(d.name, mark)
	return err
}

// addHosts makes namespaces for the slots, all or none, and returns the
// addresses to listen on.
func (d *Deployment) addHosts(slots []slot) (addresses []string, err error) {
	for i, s := range slots {
		ip, err := d.network.Add(s.label())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("service %s: %w", s.label(), err), d.removeHosts(slots[:i]))
		}
		addresses = append(addresses, fmt.Sprintf("%s:%d", ip, servicePort))
	}
	return addresses, nil
}

func (d *Deployment) removeHosts(slots []slot) error {
	if d.network == nil {
		return nil
	}
	var errs []error
	for _, s := range slots {
		errs = append(errs, d.network.Remove(s.label()))
	}
	return errors.Join(errs...)
}

// planPaths returns, for each replica, the faults that act on the way to it.
func planPaths(injections map[string]*injection, replicas []addressedSlot) map[slot][]PathFault {
	plans := map[slot][]PathFault{}
	for _, r := range replicas {
		plans[r.slot] = nil
		for _, id := range slices.Sorted(maps.Keys(injections)) {
			in := injections[id]
			if !in.gates(r.slot, in.fault.Target.From) {
				continue
			}
			p := PathFault{ID: id, Fault: in.fault, Port: servicePort}
			if in.fault.Target.From != outside {
				p.Callers = []string{}
				for _, caller := range replicas {
					if caller.service == in.fault.Target.From {
						p.Callers = append(p.Callers, strings.TrimSuffix(caller.address, fmt.Sprintf(":%d", servicePort)))
					}
				}
			}
			plans[r.slot] = append(plans[r.slot], p)
		}
	}
	return plans
}

// An impairment has the faults that act on the way to a replica, and the backend
// that carries them out.
type impairment struct {
	faults []PathFault
	by     string
}

// reconcileNetwork makes the network match the injections.
func (d *Deployment) reconcileNetwork(ctx context.Context) error {
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	d.mu.Lock()
	if len(d.injections) == 0 && len(d.impaired) == 0 {
		d.mu.Unlock()
		return nil
	}
	plans := planPaths(d.injections, d.addressedLocked())
	d.mu.Unlock()
	var changed []slot
	for s, faults := range plans {
		if fmt.Sprint(faults) != fmt.Sprint(d.impaired[s].faults) {
			changed = append(changed, s)
		}
	}
	slices.SortFunc(changed, func(a, b slot) int { return strings.Compare(a.label(), b.label()) })
	var errs []error
	for _, s := range changed {
		by, err := d.network.Impair(ctx, s.label(), plans[s])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.impaired[s] = impairment{plans[s], by}
	}
	// Keep what could not be removed, so that removal is retried.
	maps.DeleteFunc(d.impaired, func(s slot, acting impairment) bool {
		_, there := plans[s]
		return !there || acting.faults == nil
	})
	return errors.Join(errs...)
}

// networkHits sums the packets that each fault has matched on the way to all
// replicas, and names the backend.
func (d *Deployment) networkHits() (hits map[string]int64, by map[string]string) {
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	sum := map[string]int64{}
	by = map[string]string{}
	for s, acting := range d.impaired {
		var ids []string
		for i := range acting.faults {
			id := acting.faults[i].ID
			ids = append(ids, id)
			by[id] = max(by[id], acting.by) // replicas differ only while the backend changes
		}
		for id, n := range d.network.Hits(s.label(), ids) {
			sum[id] += n
		}
	}
	return sum, by
}

// pathHits returns how often the faults on the way to replicas have acted, and
// through which backend.
func (d *Deployment) pathHits(acting []*injection) (hits map[string]int64, by map[string]string) {
	if d.network != nil {
		return d.networkHits()
	}
	by = map[string]string{}
	for _, in := range acting {
		if onTheWay(in.layer) {
			by[in.id] = "gate"
		}
	}
	return d.gateHits(), by
}

// applyPaths applies the desired faults between services and removes all
// others.
func (d *Deployment) applyPaths(ctx context.Context) error {
	if d.network != nil {
		return d.reconcileNetwork(ctx)
	}
	return d.applyGates(ctx)
}

// reconcilePaths is applyPaths without syncing the callers.
func (d *Deployment) reconcilePaths(ctx context.Context) error {
	if d.network != nil {
		return d.reconcileNetwork(ctx)
	}
	return d.reconcileGates()
}
