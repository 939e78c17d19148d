package plugin

import (
	"context"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// An injector is a running system, wherever it runs, in which faults can act.
type injector interface {
	Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error
	Clear(ctx context.Context, id string) error
	Active(ctx context.Context) ([]experiment.Injection, error)
}

// find returns the system that the flags mean.
func (o *faultOptions) find(ctx context.Context) (injector, error) {
	if !o.target.onCluster() {
		return findSystem(o.system)
	}
	c, err := o.target.kube.clusterOf(ctx, o.target.on, o.streams, false)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, o.system)
	if err != nil {
		return nil, cause(ctx, err)
	}
	return d, nil
}
