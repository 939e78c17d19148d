// Package program says which faults are possible on services whose program is not of
// this project, so that none is taken that could not act.
package program

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Can says why a fault is not possible on a service, or on the calls of another, which
// may be nil. Nil means that this is up to the target. The part of the error after a
// semicolon says what to write instead.
func Can(t, from *topology.Service, f *fault.Fault) error {
	if from != nil && !from.ObeysContract() {
		return canFrom(t, from, f)
	}
	if t.ObeysContract() || f.Type == fault.Unreachable { // it acts in the callers
		return nil
	}
	const breakTheWay = "break the way to it, such as with net-delay"
	switch entry, _ := fault.Lookup(f.Type); {
	case entry.Layer == fault.InService:
		return fmt.Errorf("fault type %q acts inside a service, and %q is a program of its own, which takes no orders; %s", f.Type, t.Name, breakTheWay)
	case t.URL != "" && (entry.Layer == fault.OnProcess || entry.Layer == fault.OnHost):
		return fmt.Errorf("fault type %q is not possible on %q: its server is not ours to stop or to stress; %s", f.Type, t.Name, breakTheWay)
	}
	return nil
}

// canFrom says why a fault is not possible on the calls that a program of its own makes.
func canFrom(t, from *topology.Service, f *fault.Fault) error {
	switch {
	case f.Type == fault.Unreachable:
		return fmt.Errorf("fault type %q acts inside the caller, and %q is a program of its own, which takes no orders; break the way from it, such as with net-partition", f.Type, from.Name)
	case from.URL != "":
		return fmt.Errorf("fault type %q is not possible on the way from %q to %q: how a server at a URL calls others is not known; leave the caller out to break the way for all", f.Type, from.Name, t.Name)
	}
	return nil
}
