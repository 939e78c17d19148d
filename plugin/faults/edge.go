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

// noteOneThread warns if a fault of type cpu blocks its whole target, because the
// target's runtime has one thread.
func noteOneThread(w io.Writer, system *topology.System, f *fault.Fault) {
	if service := system.Service(f.Target.Service); service != nil {
		NoteOneThread(w, service.Runtime, f)
	}
}

// NoteOneThread warns if a fault of type cpu blocks its whole target, because the
// target's runtime has one thread.
func NoteOneThread(w io.Writer, runtime topology.RuntimeName, f *fault.Fault) {
	if r, _ := topology.LookupRuntime(runtime); r.OneThread && f.Type == fault.CPU {
		fmt.Fprintf(w, "note: runtime %s of service %q has one thread, so while fault %q works on a processor the replica answers nobody, health checks included, and may be restarted\n", r.Name, f.Target.Service, f.Label())
	}
}
