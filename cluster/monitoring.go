package cluster

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// PlanMonitoring returns the objects that Monitor applies. The name and the namespace in
// m are those of the system.
func (d *Deployment) PlanMonitoring(m manifest.Monitoring) []apply.Object {
	m.System, m.Namespace = d.System().Name, d.Namespace()
	return manifest.BuildMonitoring(&m)
}

// Monitor has an operator of Prometheus, and Grafana, watch the system. All objects are
// applied, or none. Close deletes them with the system.
func (d *Deployment) Monitor(ctx context.Context, m manifest.Monitoring) ([]apply.Object, error) {
	objects := d.PlanMonitoring(m)
	if err := apply.Monitoring(ctx, d.Client, objects); err != nil {
		return nil, fmt.Errorf("having system %q watched: %w", d.System().Name, err)
	}
	return objects, nil
}
