package faults

import (
	"fmt"
	"io"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// noteUnused warns of a fault on an edge that no call of the system uses. It is
// no mistake by itself: chains call whom they name.
func noteUnused(w io.Writer, system *topology.System, f *fault.Fault) {
	t := f.Target
	caller := system.Service(t.From)
	if t.From == "" || caller == nil || slices.Contains(caller.Calls(), t.Service) {
		return
	}
	fmt.Fprintf(w, "warning: fault %q: service %q does not call %q, so the fault acts on no traffic but that of chains which call so\n", f.Label(), t.From, t.Service)
}
