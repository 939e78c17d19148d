package faults

import (
	"fmt"
	"io"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// noteUnused warns of a fault on an edge that no call of the system uses. It is
// not an error, because the chain of a request may call any service.
func noteUnused(w io.Writer, system *topology.System, f *fault.Fault) {
	t := f.Target
	caller := system.Service(t.From)
	if t.From == "" || caller == nil || slices.Contains(caller.Calls(), t.Service) {
		return
	}
	fmt.Fprintf(w, "warning: fault %q may hit nothing: service %q does not call %q, so only requests whose chain makes this call meet it\n", f.Label(), t.From, t.Service)
}
