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
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Gate stands between some callers and one replica, and misbehaves as it is
// told. Its methods may be called at the same time.
type Gate interface {
	// Addr is where the callers connect to, as host:port.
	Addr() string
	// Set makes exactly these faults act, by their ids, on live connections as
	// on new ones. A fault that acts already goes on undisturbed; what one that
	// is missing has held back goes out.
	Set(faults map[string]fault.Fault) error
	// Hits tells how often each fault has acted so far, also those that have
	// been taken back. One whose effects cannot be counted is absent.
	Hits() map[string]int64
	// Drain returns when there is no connection, or when ctx ends.
	Drain(ctx context.Context) error
	// Close ends all connections and returns when nothing of the gate is left.
	Close() error
}

// outside stands among callers for all that are no service of the system.
const outside = ""

// gating is the state of the gates. Callers that suffer the same faults on the
// way to a replica share a gate; one that suffers none has no gate.
type gating struct {
	// standing are the gates that are used; guarded by arranging, as retired.
	standing []*standingGate
	// retired are gates that callers may still use, because they have not been
	// told of others yet.
	retired []*standingGate
}

// A standingGate is a gate in front of one replica.
type standingGate struct {
	Gate
	slot     slot
	upstream string
	callers  []string
}

// A gatePlan says which faults shall act between some callers and a replica.
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
// callers from outside have a gate even where there is no fault.
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
	return onTheWay(in.place) && !in.expired() && t.Service == to.service && (t.Replica == 0 || t.Replica == to.index) &&
		(t.From == "" || t.From == caller)
}

// onTheWay tells of faults between a caller and a service.
func onTheWay(p fault.Place) bool { return p == fault.OnNetwork || p == fault.OnEdge }

// fits says how well a gate suits a plan: by how many callers use it already.
// Those outside cannot be told of another gate, so they count most.
func (g *standingGate) fits(p gatePlan) int {
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

// A detour is how one caller reaches replicas that a gate stands in front of.
type detour struct {
	// gates has the gate's host:port by that of the replica.
	gates map[string]string
	// name tells detours apart.
	name string
}

// withGates rearranges the gates, tells the callers, and lets go of gates that
// are not used any more.
func (d *Deployment) withGates(ctx context.Context) error {
	err := d.arrangeGates()
	err = errors.Join(err, d.syncAll(ctx, d.list()))
	if err != nil {
		// A caller that could not be told may still come through an old gate,
		// which stays until the system ends.
		return err
	}
	d.arranging.Lock()
	defer d.arranging.Unlock()
	for _, g := range d.gating.retired {
		d.draining.Go(func() { d.drain(g) })
	}
	d.gating.retired = nil
	return nil
}

// arrangeGates makes the gates be as the injections want them. The callers have
// to be told afterwards.
func (d *Deployment) arrangeGates() error {
	d.arranging.Lock()
	defer d.arranging.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	d.mu.Lock()
	plans := d.gatePlansLocked()
	d.mu.Unlock()
	if len(plans) == 0 && len(d.gating.standing) == 0 {
		return nil
	}
	free := slices.Clone(d.gating.standing)
	var standing []*standingGate
	var errs []error
	for _, p := range plans {
		g, err := d.gateFor(p, &free)
		if err == nil {
			g.callers = p.callers
			standing = append(standing, g)
			err = g.Set(d.faultsOf(p.ids))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("gate in front of service %s/%d: %w", p.slot.service, p.slot.index, err))
		}
	}
	for _, g := range free {
		errs = append(errs, g.Set(nil))
		d.keepHits(g)
	}
	d.gating.standing = standing
	d.gating.retired = append(d.gating.retired, free...)
	d.setDetours(standing)
	return errors.Join(errs...)
}

func (d *Deployment) gatePlansLocked() []gatePlan {
	if d.config.NewGate == nil || d.network != nil || len(d.injections) == 0 && len(d.config.Entrances) == 0 {
		return nil
	}
	var services []string
	for i := range d.system.Services {
		services = append(services, d.system.Services[i].Name)
	}
	return planGates(d.injections, d.addressedLocked(), services, d.config.Entrances)
}

// addressedLocked lists the replicas whose addresses are known. It needs mu.
func (d *Deployment) addressedLocked() []addressedSlot {
	var replicas []addressedSlot
	for _, r := range d.replicas {
		if address, known := r.Address(); known {
			replicas = append(replicas, addressedSlot{r.slot(), address})
		}
	}
	return replicas
}

// gateFor takes the gate that suits best, or starts one.
func (d *Deployment) gateFor(p gatePlan, free *[]*standingGate) (*standingGate, error) {
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
	key := dist.Seed(d.seed).With("gate").With(p.slot.service).WithInt(p.slot.index).With(p.callers[0])
	g, err := d.config.NewGate(p.upstream, key.Uint64())
	if err != nil {
		return nil, err
	}
	return &standingGate{Gate: g, slot: p.slot, upstream: p.upstream}, nil
}

func (d *Deployment) faultsOf(ids []string) map[string]fault.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	faults := map[string]fault.Fault{}
	for _, id := range ids {
		if in := d.injections[id]; in != nil {
			faults[id] = in.fault
		}
	}
	return faults
}

// setDetours makes the gates the way to the replicas.
func (d *Deployment) setDetours(standing []*standingGate) {
	detours := map[string]*detour{}
	for _, g := range standing {
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

// peersFor returns whom a service may call and where, with a name that tells
// whether that has changed. It needs mu. The map is not changed any more.
func (d *Deployment) peersFor(caller string) (map[string][]string, string) {
	peers, version := d.peersLocked()
	name := fmt.Sprint(version)
	to := d.detours[caller]
	if to == nil {
		return peers, name
	}
	name += " " + to.name
	if d.detoured[name] == nil {
		d.detoured[name] = to.of(peers)
	}
	return d.detoured[name], name
}

// of puts gates in the place of replicas. Beside the names, the addresses of the
// replicas lead to their gates, for requests that name a replica by its URL.
func (to *detour) of(peers map[string][]string) map[string][]string {
	result := maps.Clone(peers)
	for service, urls := range peers {
		for i, url := range urls {
			address := strings.TrimPrefix(url, "http://")
			gate, ok := to.gates[address]
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

// entrance is the host:port by which those outside reach a replica.
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
	d.arranging.Lock()
	defer d.arranging.Unlock()
	sum := map[string]int64{}
	for _, g := range d.gating.standing {
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

// keepHits remembers what a gate has counted that goes.
func (d *Deployment) keepHits(g *standingGate) {
	hits := g.Hits()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, n := range hits {
		if in := d.injections[id]; in != nil {
			in.past += n
		}
	}
}

// dialling is how long a caller may take from looking an address up to being
// connected to it.
const dialling = time.Second

// drain closes a gate that nobody is led to any more, as soon as the requests on
// the way have been answered.
func (d *Deployment) drain(g *standingGate) {
	select {
	case <-time.After(dialling):
	case <-d.life.Done():
	}
	ctx, cancel := context.WithTimeout(d.life, topology.DefaultTimeout.Std())
	defer cancel()
	_ = g.Drain(ctx) // those that are there after that time are ended
	if err := g.Close(); err != nil {
		d.config.Logger.Warn("closing a gate", "service", g.slot.service, "replica", g.slot.index, "error", err)
	}
}

// closeGates ends every gate. The life of the deployment is over.
func (d *Deployment) closeGates() error {
	d.arranging.Lock()
	defer d.arranging.Unlock()
	var errs []error
	for _, g := range append(d.gating.standing, d.gating.retired...) {
		errs = append(errs, g.Close())
	}
	d.gating = gating{}
	d.draining.Wait()
	return errors.Join(errs...)
}
