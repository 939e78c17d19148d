// Package edge applies the faults of the model with gates: a gate is a proxy
// between the callers of a service and one of its replicas.
//
// A gate sees bytes, never packets. A delay, a rate and a partition mean the same
// to it as to a network; a loss delays data as TCP's retransmission does
// ([gate.Retransmit]). TCP hides packets that are duplicated, damaged or out of
// order, so these faults are refused.
package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// An Edge is a gate in front of one address. Its methods may be called at the
// same time.
type Edge struct {
	gate *gate.Gate

	mu     sync.Mutex
	acting map[string]*acting
	past   map[string]int64
}

// acting is a fault that acts.
type acting struct {
	fault   fault.Fault
	actives []*gate.Active
	refuses bool
}

// Start puts a gate in front of host:port. It listens on a free port of host
// listen. Equal seeds make the same random decisions.
func Start(listen, upstream string, seed uint64) (*Edge, error) {
	g, err := gate.Start(context.Background(), gate.Config{Listen: listen + ":0", Upstream: upstream, Seed: seed})
	if err != nil {
		return nil, fmt.Errorf("putting a gate in front of %s: %w", upstream, err)
	}
	return &Edge{gate: g, acting: map[string]*acting{}, past: map[string]int64{}}, nil
}

// Addr is where callers connect to, as host:port.
func (e *Edge) Addr() string { return e.gate.Addr() }

// Set makes exactly these faults act, named by their ids. Those that act already
// go on as they are. On an error nothing has changed.
func (e *Edge) Set(faults map[string]fault.Fault) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	plans := map[string]plan{}
	for id, f := range faults {
		if e.acting[id] != nil {
			continue
		}
		p, err := planOf(&f)
		if err != nil {
			return err
		}
		plans[id] = p
	}
	for _, id := range slices.Sorted(maps.Keys(e.acting)) {
		if _, stays := faults[id]; !stays {
			e.remove(id)
		}
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(plans)) {
		errs = append(errs, e.add(id, faults[id], plans[id]))
	}
	return errors.Join(append(errs, e.open())...)
}

func (e *Edge) remove(id string) {
	a := e.acting[id]
	for _, active := range a.actives {
		active.Remove()
	}
	e.past[id] += a.hits()
	delete(e.acting, id)
}

func (e *Edge) add(id string, f fault.Fault, p plan) error {
	a := &acting{fault: f, refuses: p.refuse}
	e.acting[id] = a
	for _, to := range []struct {
		direction  *gate.Direction
		conditions []gate.Condition
	}{{e.gate.ToServer(), p.toServer}, {e.gate.ToClient(), p.toClient}} {
		for _, c := range to.conditions {
			active, err := to.direction.Add(c)
			if err != nil {
				e.remove(id)
				return fmt.Errorf("fault %q: %w", f.Label(), err)
			}
			a.actives = append(a.actives, active)
		}
	}
	return nil
}

// open opens or closes the gate, depending on the faults.
func (e *Edge) open() error {
	for _, a := range e.acting {
		if a.refuses {
			return e.gate.Stop()
		}
	}
	return e.gate.Start()
}

// Hits tells how often each fault has acted: on chunks of data, on waiting or on
// closed connections. Faults that have been cleared are still counted. Refusals
// of a closed port cannot be seen, so that fault is absent.
func (e *Edge) Hits() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	hits := maps.Clone(e.past)
	for id, a := range e.acting {
		if !a.refuses {
			hits[id] += a.hits()
		}
	}
	return hits
}

func (a *acting) hits() int64 {
	n := int64(0)
	for _, active := range a.actives {
		n += active.Hits()
	}
	return n
}

// Drain waits until the gate has no connections, or returns the context's
// error.
func (e *Edge) Drain(ctx context.Context) error { return e.gate.WaitForNoConnections(ctx) }

// Close ends the gate and its connections, and returns when nothing is left.
func (e *Edge) Close() error { return e.gate.Close() }

// Can says why a gate cannot apply a fault; nil means that it can.
func Can(f *fault.Fault) error {
	_, err := planOf(f)
	return err
}

// A plan is the desired behaviour of a gate.
type plan struct {
	toServer, toClient []gate.Condition
	refuse             bool
}

// forEver is longer than any fault lasts.
const forEver = 365 * 24 * time.Hour

// planOf turns a fault into conditions.
func planOf(f *fault.Fault) (p plan, err error) {
	full := f.WithDefaults()
	f = &full
	if err := possible(f); err != nil {
		return p, fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	if f.Type == fault.Refuse {
		return plan{refuse: true}, nil
	}
	d := f.EffectiveDirection()
	if f.Type == fault.NetPartition && d != fault.FromTarget {
		// New connections wait, and are served when the partition ends.
		p.toServer = append(p.toServer, some(f, gate.SlowOpen{By: forEver}))
	}
	c := some(f, condition(f))
	if d != fault.FromTarget {
		p.toServer = append(p.toServer, c)
	}
	if d != fault.ToTarget {
		p.toClient = append(p.toClient, c)
	}
	return p, nil
}

func some(f *fault.Fault, c gate.Condition) gate.Condition {
	if f.Probability < 1 {
		return gate.Sometimes{Share: float64(f.Probability), Of: c}
	}
	return c
}

// inKernel is the next step for faults that act on packets.
const inKernel = "start the system with --isolation netns (root, Linux)"

// possible says why a gate cannot apply the fault.
func possible(f *fault.Fault) error {
	entry, _ := fault.Lookup(f.Type)
	a := &f.Args
	switch {
	case entry.Layer != fault.OnNetwork && entry.Layer != fault.OnEdge:
		return fmt.Errorf("a gate knows no %s; it stands between services", f.Type)
	case f.Type == fault.NetDuplicate || f.Type == fault.NetCorrupt || f.Type == fault.NetReorder:
		return fmt.Errorf("%s acts on packets, and TCP hides them from a gate; %s", f.Type, inKernel)
	case a.Correlation != 0:
		return fmt.Errorf("correlation ties packets together, and TCP hides them from a gate; leave it out, or %s", inKernel)
	case !a.Delay.IsZero() && a.Delay.Fixed == 0:
		return fmt.Errorf("delay %q is a distribution, and %s takes a fixed one with a jitter", a.Delay, f.Type)
	case f.Type == fault.Refuse && f.Probability < 1:
		return errors.New("a port is open or closed, for all connections: leave the probability out, or use close")
	case f.Type == fault.Slice && a.Size > maxSlice:
		return fmt.Errorf("size %q is more than a gate reads at once; the largest is %d bytes", a.Size, maxSlice)
	case f.Type == fault.Concatenate && a.Size > maxConcatenate:
		return fmt.Errorf("size %q is more than a gate holds back; the largest is %d bytes", a.Size, maxConcatenate)
	}
	return nil
}

const (
	maxSlice       = 256 << 10
	maxConcatenate = 64 << 20
	// minBurst is the largest packet of an Ethernet: less makes no sense on a link.
	minBurst = 1514
)

func condition(f *fault.Fault) gate.Condition {
	a := &f.Args
	switch f.Type {
	case fault.NetDelay:
		return gate.Delay{By: a.Delay.Fixed.Std(), Jitter: a.Jitter.Std()}
	case fault.NetLoss:
		return gate.Retransmit{Share: a.Percent.Share()}
	case fault.NetRate:
		// A link does not save up: unused capacity is lost.
		return gate.Bandwidth{Rate: int64(a.Rate), Burst: max(int64(a.Rate)/100, minBurst)}
	case fault.NetPartition, fault.StopReading, fault.StopAnswering:
		return gate.StopReading{}
	case fault.Close:
		return gate.TimeLimit{Idle: true}
	case fault.Reset:
		return gate.ResetPeer{After: a.Delay.Fixed.Std()}
	case fault.CloseOnData:
		return gate.CloseOnData{}
	case fault.CorruptData:
		return gate.Corrupt{}
	case fault.Bandwidth:
		return gate.Bandwidth{Rate: int64(a.Rate), PerConnection: true}
	case fault.TimeLimit:
		return gate.TimeLimit{After: a.Delay.Fixed.Std(), Jitter: a.Jitter.Std(), Idle: true}
	case fault.ByteLimit:
		return gate.ByteLimit{Bytes: int64(a.Size), PerConnection: true}
	case fault.Slice:
		return gate.Slice{Size: int(a.Size), Pause: a.Delay.Fixed.Std()}
	case fault.Concatenate:
		return gate.Concatenate{Size: int(a.Size), GiveUp: a.Hold.Std()}
	default: // fault.Substitute; the test asks for every type
		return gate.Substitute{Pattern: a.Pattern, With: a.With}
	}
}
