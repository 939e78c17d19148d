package localsim

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

var _ runner.ProcessSource = (*Deployment)(nil)

// Processes implements runner.ProcessSource.
func (d *Deployment) Processes(context.Context) []measure.Process {
	if !d.config.Isolation.ownProcesses() {
		return nil
	}
	var all []measure.Process
	for _, r := range d.list() {
		u := r.meter.Read()
		all = append(all, measure.Process{
			Service: r.Service(), Replica: r.Index(), Ended: u.Ended,
			CPU: u.CPU, Resident: u.Resident, Peak: u.Peak, Address: u.Address, Healthy: u.Healthy,
		})
	}
	return all
}
