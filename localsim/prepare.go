package localsim

import (
	"context"
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

var _ runner.Preparer = (*Deployment)(nil)

// Prepare starts the gates that the faults will need. No caller uses them before a
// fault redirects it, so they do not affect measurements before that. A gate that
// cannot be started is an error now, not in the middle of a run.
func (d *Deployment) Prepare(ctx context.Context, faults []fault.Fault) error {
	d.pathsMu.Lock()
	defer d.pathsMu.Unlock()
	for _, f := range faults {
		if err := d.CanInject(&f); err != nil {
			return err
		}
		for _, p := range d.gatesOf(f) {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("preparing fault %q: %w", f.Label(), context.Cause(ctx))
			}
			if d.life.Err() != nil {
				return fmt.Errorf("preparing fault %q: %w", f.Label(), control.ErrClosed)
			}
			g, err := d.newGate(p)
			if err != nil {
				return fmt.Errorf("preparing fault %q: gate in front of service %s: %w", f.Label(), p.slot.label(), err)
			}
			g.callers = p.callers
			d.gating.spare = append(d.gating.spare, g)
		}
	}
	return nil
}

// gatesOf plans the gates for a fault as if it acted alone.
func (d *Deployment) gatesOf(f fault.Fault) []gatePlan {
	entry, _ := fault.Lookup(f.Type)
	if d.config.NewGate == nil || d.network != nil || !onTheWay(entry.Layer) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	alone := map[string]*injection{"": {fault: f, layer: entry.Layer}}
	return planGates(alone, d.addressedLocked(), d.serviceNamesLocked(), nil)
}

// newGate starts the gate of a plan.
func (d *Deployment) newGate(p gatePlan) (*activeGate, error) {
	key := dist.Seed(d.seed).With("gate").With(p.slot.service).WithInt(p.slot.index).With(p.callers[0])
	g, err := d.config.NewGate(p.upstream, key.Uint64())
	if err != nil {
		return nil, err
	}
	return &activeGate{Gate: g, slot: p.slot, upstream: p.upstream}, nil
}

// takeSpare returns the prepared gate that newGate would start now, or nil. The
// caller holds pathsMu.
func (d *Deployment) takeSpare(p gatePlan) *activeGate {
	i := slices.IndexFunc(d.gating.spare, func(g *activeGate) bool {
		return g.slot == p.slot && g.upstream == p.upstream && g.callers[0] == p.callers[0]
	})
	if i < 0 {
		return nil
	}
	g := d.gating.spare[i]
	d.gating.spare = slices.Delete(d.gating.spare, i, i+1)
	return g
}
