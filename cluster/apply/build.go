package apply

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Build plans the objects of a system for a place. It brings the images of the runtimes
// and of data stores to the nodes that the system needs.
func Build(ctx context.Context, c *kubeapi.Client, system *topology.System, seed uint64, place *Target) ([]Object, error) {
	images, err := runtimeImages(ctx, c, system)
	if err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, err)
	}
	storeImage, storePolicy, err := storeImage(ctx, c, system)
	if err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, err)
	}
	objects, err := manifest.Build(system, manifest.Options{
		Namespace: place.Namespace, CreateNamespace: place.Ours, Image: c.Config.Image, PullPolicy: c.Config.PullPolicy,
		Seed: seed, Token: place.Token, ServiceSpec: c.Config.ServiceSpec, PodMonitor: place.Monitored,
		AgentArgs: c.Config.AgentArgs, RuntimeImages: images, StoreImage: storeImage, StorePullPolicy: storePolicy,
		PullSecret: place.PullSecret,
	})
	if err != nil {
		return nil, err
	}
	return place.WithPullSecret(objects), nil
}

// runtimeImages are those of the runtimes of a system other than the agent.
func runtimeImages(ctx context.Context, c *kubeapi.Client, system *topology.System) (map[topology.RuntimeName]manifest.RuntimeImage, error) {
	images := map[topology.RuntimeName]manifest.RuntimeImage{}
	for i := range system.Services {
		s := &system.Services[i]
		r, other := s.Foreign()
		if !other || images[r.Name].Reference != "" || c.Config.RuntimeImage == nil {
			continue
		}
		image, err := c.Config.RuntimeImage(ctx, r.Name)
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", s.Name, err)
		}
		images[r.Name] = image
	}
	return images, nil
}

// storeImage is that of microsim-store, if the system needs it.
func storeImage(ctx context.Context, c *kubeapi.Client, system *topology.System) (string, corev1.PullPolicy, error) {
	if !manifest.UsesStores(system) || c.Config.StoreImage == nil {
		return "", "", nil
	}
	return c.Config.StoreImage(ctx)
}

// BuildFor is build for this very cluster, with what it knows.
func BuildFor(ctx context.Context, c *kubeapi.Client, system *topology.System, seed uint64, p *Target) ([]Object, error) {
	if c.Config.PodMonitor != nil {
		p.Monitored = *c.Config.PodMonitor
		return Build(ctx, c, system, seed, p)
	}
	var err error
	if p.Monitored, err = HasPodMonitors(ctx, c); err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, kubeapi.Explain(err))
	}
	return Build(ctx, c, system, seed, p)
}
