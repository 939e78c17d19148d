package cluster

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func build(c *Client, system *topology.System, seed uint64, place *place) ([]object, error) {
	return manifest.Build(system, manifest.Options{
		Namespace: place.namespace, CreateNamespace: place.ours, Image: c.config.Image, PullPolicy: c.config.PullPolicy,
		Seed: seed, Token: place.token, ServiceSpec: c.config.ServiceSpec, PodMonitor: place.monitored,
	})
}

// buildFor is build for this very cluster, with what it knows.
func buildFor(ctx context.Context, c *Client, system *topology.System, seed uint64, p *place) ([]object, error) {
	if c.config.PodMonitor != nil {
		p.monitored = *c.config.PodMonitor
		return build(c, system, seed, p)
	}
	var err error
	if p.monitored, err = hasPodMonitors(ctx, c); err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, explain(err))
	}
	return build(c, system, seed, p)
}
