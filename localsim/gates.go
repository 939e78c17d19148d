package localsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Gate is a proxy between some callers and one replica; it applies network
// faults. Several goroutines may call its methods at once.
type Gate interface {
	// Addr returns the host:port to which callers connect.
	Addr() string
	// Set makes exactly these faults act, by their ids, on live and on new
	// connections. A fault that acts already goes on undisturbed. If a fault is no
	// longer in the map, the data that it holds back go out.
	Set(faults map[string]fault.Fault) error
	// Hits returns how often each fault has acted so far, including cleared ones. A
	// fault whose effects cannot be counted is absent.
	Hits() map[string]int64
	// Drain returns when no connection is left, or when ctx ends.
	Drain(ctx context.Context) error
	// Close ends all connections and returns when nothing of the gate is left.
	Close() error
}

// outside is the caller name of all clients that are not services of the
// system.
const outside = ""

// gating is the state of the gates. Callers with the same faults on the way to a
// replica share a gate; a caller without faults has none.
type gating struct {
	// active are the gates that are used; guarded by pathsMu, as retired.
	active []*activeGate
	// retired are gates that callers may still use, because they have not been
	// told of others yet.
	retired []*activeGate
	// spare are gates that were prepared for faults to come.
	spare []*activeGate
	// draining are gates that callers have left, with connections that have not
	// ended yet. Faults act on these as before, until the faults end.
	draining []*activeGate
}

// An activeGate is a gate in front of one replica.
type activeGate struct {
	Gate
	slot     slot
	upstream string
	callers  []string
	ids      []string // ids of the faults
}

// A gatePlan says which faults act between some callers and a replica.
type gatePlan struct {
	slot     slot
	upstream string
	callers  []string
	ids      []string
}

// An addressedSlot is a replica whose address is known.
type addressedSlot struct {
	slot
	address string
}

// planGates works out which gates are needed. Entrances are services whose
// callers from outside have a gate even without a fault.
func planGates(injections map[string]*injection, replicas []addressedSlot, services, entrances []string) []gatePlan {
	var plans []gatePlan
	callers := append([]string{outside}, services...)
	for _, r := range replicas {
		var concerning []string
		for _, id := range slices.Sorted(maps.Keys(injections)) {
			if injections[id].gates(r.slot, injections[id].fault.Target.From) {
				concerning = append(concerning, id)
			}
		}
		if len(concerning) == 0 && !slices.Contains(entrances, r.service) {
			continue
		}
		byFaults := map[string]int{}
		for _, caller := range callers {
			var ids []string
			for _, id := range concerning {
				if injections[id].gates(r.slot, caller) {
					ids = append(ids, id)
				}
			}
			if len(ids) == 0 && (caller != outside || !slices.Contains(entrances, r.service)) {
				continue
			}
			key := strings.Join(ids, "\n")
			if n, there := byFaults[key]; there {
				plans[n].callers = append(plans[n].callers, caller)
				continue
			}
			byFaults[key] = len(plans)
			plans = append(plans, gatePlan{r.slot, r.address, []string{caller}, ids})
		}
	}
	return plans
}

// gates reports whether the injection acts at a gate between the caller and the
// replica.
func (in *injection) gates(to slot, caller string) bool {
	t := in.fault.Target
	return onTheWay(in.layer) && !in.expired() && t.Service == to.service && (t.Replica == 0 || t.Replica == to.index) &&
		(t.From == "" || t.From == caller)
}

// onTheWay reports whether faults of the layer act between a caller and a
// service.
func onTheWay(p fault.Layer) bool { return p == fault.OnNetwork || p == fault.OnEdge }

// fits returns how well a gate suits a plan: the number of the plan's callers that
// use it already. Clients outside cannot be moved to another gate, so they count
// most.
func (g *activeGate) fits(p gatePlan) int {
	if g.slot != p.slot || g.upstream != p.upstream {
		return 0
	}
	n := 0
	for _, caller := range p.callers {
		switch {
		case !slices.Contains(g.callers, caller):
		case caller == outside:
			n += 1 << 20
		default:
			n++
		}
	}
	return n
}

// A detour holds the gates through which one caller reaches replicas.
type detour struct {
	// gates has the gate's host:port by that of the replica.
	gates map[string]string
	// name identifies the detour: two with the same gates have the same name.
	name string
}

// applyGates reconciles the gates, sends the callers their new peers, and
// drains gates that are no longer used.
func (d *Deployment) applyGates(ctx context.Context) error {
	err := d.reconcileGates()
	err = errors.Join(err, d.syncAll(ctx, d.list()))
	if err != nil {
		// A caller that could not be synced may still use an old gate, which
		// therefore stays until the system ends.
		return err
	}
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	for _, g := range d.gating.retired {
		d.draining.Go(func() { d.drain(g) }) //nolint:contextcheck // a retired gate drains beside the change
	}
	d.gating.draining = append(d.gating.draining, d.gating.retired...)
	d.gating.retired = nil
	return nil
}

// reconcileGates makes the gates match the injections. The callers must be
// synced afterwards.
func (d *Deployment) reconcileGates() error {
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	d.mu.Lock()
	plans := d.gatePlansLocked()
	d.mu.Unlock()
	if len(plans) == 0 && len(d.gating.active)+len(d.gating.retired)+len(d.gating.draining) == 0 {
		return nil
	}
	free := slices.Clone(d.gating.active)
	var active []*activeGate
	var errs []error
	for _, p := range plans {
		g, err := d.gateFor(p, &free)
		if err == nil {
			g.callers, g.ids = p.callers, p.ids
			active = append(active, g)
			err = g.Set(d.faultsOf(p.ids))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("gate in front of service %s/%d: %w", p.slot.service, p.slot.index, err))
		}
	}
	d.gating.active = active
	d.gating.retired = append(d.gating.retired, free...)
	// The end of one fault must not release what another one holds back on
	// connections that stay with an old gate.
	for _, g := range slices.Concat(d.gating.retired, d.gating.draining) {
		errs = append(errs, g.Set(d.faultsOf(g.ids)))
	}
	d.setDetours(active)
	return errors.Join(errs...)
}

func (d *Deployment) gatePlansLocked() []gatePlan {
	if d.config.NewGate == nil || d.network != nil || len(d.injections) == 0 && len(d.config.Entrances) == 0 {
		return nil
	}
	return planGates(d.injections, d.addressedLocked(), d.serviceNamesLocked(), d.config.Entrances)
}

func (d *Deployment) serviceNamesLocked() (names []string) {
	for i := range d.system.Services {
		names = append(names, d.system.Services[i].Name)
	}
	return names
}

// addressedLocked lists the replicas whose addresses are known.
func (d *Deployment) addressedLocked() []addressedSlot {
	var replicas []addressedSlot
	for _, r := range d.replicas {
		if address, known := r.Address(); known {
			replicas = append(replicas, addressedSlot{r.slot(), address})
		}
	}
	return replicas
}

// gateFor takes the gate that suits best, or one that was prepared, or starts one.
func (d *Deployment) gateFor(p gatePlan, free *[]*activeGate) (*activeGate, error) {
	best, at := 0, -1
	for i, g := range *free {
		if n := g.fits(p); n > best {
			best, at = n, i
		}
	}
	if at >= 0 {
		g := (*free)[at]
		*free = slices.Delete(*free, at, at+1)
		return g, nil
	}
	if g := d.takeSpare(p); g != nil {
		return g, nil
	}
	return d.newGate(p)
}

func (d *Deployment) faultsOf(ids []string) map[string]fault.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	faults := map[string]fault.Fault{}
	for _, id := range ids {
		if in := d.injections[id]; in != nil && !in.expired() {
			faults[id] = in.fault
		}
	}
	return faults
}

// setDetours routes callers through the gates.
func (d *Deployment) setDetours(active []*activeGate) {
	detours := map[string]*detour{}
	for _, g := range active {
		for _, caller := range g.callers {
			if detours[caller] == nil {
				detours[caller] = &detour{gates: map[string]string{}}
			}
			detours[caller].gates[g.upstream] = g.Addr()
		}
	}
	for _, to := range detours {
		for _, address := range slices.Sorted(maps.Keys(to.gates)) {
			to.name += address + ">" + to.gates[address] + " "
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.detours, d.detoured = detours, map[string]map[string][]string{}
	d.generation++
}

// peersForLocked returns the peers of a service and their URLs, with a name
// that changes when they do. The map is never changed.
func (d *Deployment) peersForLocked(caller string) (map[string][]string, string) {
	peers, version := d.peersLocked()
	name := fmt.Sprint(version)
	to, entrances := d.detours[caller], d.detours[outside]
	if to == nil && entrances == nil {
		return peers, name
	}
	to, entrances = cmp.Or(to, &detour{}), cmp.Or(entrances, &detour{})
	name += " " + to.name + "| " + entrances.name
	if d.detoured[name] == nil {
		d.detoured[name] = to.of(peers, entrances.gates)
	}
	return d.detoured[name], name
}

// of returns peers in which gates replace the replicas. It also adds the addresses
// of replicas as names that lead to their gates, for requests that name a replica
// by its URL, and their entrances, because a chain from outside names a replica by
// that address.
func (to *detour) of(peers map[string][]string, entrances map[string]string) map[string][]string {
	result := maps.Clone(peers)
	for service, urls := range peers {
		for i, url := range urls {
			address := strings.TrimPrefix(url, "http://")
			gate, ok := to.gates[address]
			if entrance := entrances[address]; entrance != "" && entrance != gate {
				result[entrance] = []string{"http://" + cmp.Or(gate, address)}
			}
			if !ok {
				continue
			}
			if &result[service][0] == &urls[0] {
				result[service] = slices.Clone(urls)
			}
			result[service][i] = "http://" + gate
			result[address] = []string{"http://" + gate}
		}
	}
	return result
}

// entrance is the host:port by which clients outside of the system reach a
// replica.
func (d *Deployment) entrance(address string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if to := d.detours[outside]; to != nil {
		return cmp.Or(to.gates[address], address)
	}
	return address
}

// gateHits sums what the gates have counted for each fault.
func (d *Deployment) gateHits() map[string]int64 {
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	sum := map[string]int64{}
	for _, g := range slices.Concat(d.gating.active, d.gating.retired, d.gating.draining) {
		for id, n := range g.Hits() {
			sum[id] += n
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, in := range d.injections {
		if n, counted := sum[id]; counted || in.past > 0 {
			sum[id] = n + in.past
		}
	}
	return sum
}

// keepHits keeps the counts of a gate that is being removed.
func (d *Deployment) keepHits(g *activeGate) {
	hits := g.Hits()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, n := range hits {
		if in := d.injections[id]; in != nil {
			in.past += n
		}
	}
}

// dialling is how long a caller may take between looking up an address and being
// connected to it.
const dialling = time.Second

// drain closes a gate that is no longer used, as soon as its pending requests
// have been answered. Those that a fault holds back have time until it ends.
func (d *Deployment) drain(g *activeGate) {
	select {
	case <-time.After(dialling):
	case <-d.life.Done():
	}
	for {
		ctx, cancel := context.WithTimeout(d.life, topology.DefaultTimeout.Std())
		err := g.Drain(ctx)
		cancel()
		if err == nil || d.life.Err() != nil || len(d.faultsOf(g.ids)) == 0 {
			break // Close closes the connections that are left
		}
	}
	d.pathsMu.Lock()
	d.keepHits(g)
	d.gating.draining = slices.DeleteFunc(d.gating.draining, func(other *activeGate) bool { return other == g })
	d.pathsMu.Unlock()
	if err := g.Close(); err != nil {
		d.config.Logger.Warn("closing a gate", "service", g.slot.service, "replica", g.slot.index, "error", err)
	}
}

// closeGates ends every gate. The life of the deployment is over, so gates that
// drain are closed by themselves.
func (d *Deployment) closeGates() error {
	d.pathsMu.Lock()
	ending := slices.Concat(d.gating.active, d.gating.retired, d.gating.spare)
	d.gating.active, d.gating.retired, d.gating.spare = nil, nil, nil
	d.pathsMu.Unlock()
	var errs []error
	for _, g := range ending {
		errs = append(errs, g.Close())
	}
	d.draining.Wait()
	return errors.Join(errs...)
}
