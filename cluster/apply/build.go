package apply

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func Build(c *kubeapi.Client, system *topology.System, seed uint64, place *Target) ([]Object, error) {
	return manifest.Build(system, manifest.Options{
		Namespace: place.Namespace, CreateNamespace: place.Ours, Image: c.Config.Image, PullPolicy: c.Config.PullPolicy,
		Seed: seed, Token: place.Token, ServiceSpec: c.Config.ServiceSpec, PodMonitor: place.Monitored,
		AgentArgs: c.Config.AgentArgs,
	})
}

// BuildFor is build for this very cluster, with what it knows.
func BuildFor(ctx context.Context, c *kubeapi.Client, system *topology.System, seed uint64, p *Target) ([]Object, error) {
	if c.Config.PodMonitor != nil {
		p.Monitored = *c.Config.PodMonitor
		return Build(c, system, seed, p)
	}
	var err error
	if p.Monitored, err = HasPodMonitors(ctx, c); err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, kubeapi.Explain(err))
	}
	return Build(c, system, seed, p)
}
