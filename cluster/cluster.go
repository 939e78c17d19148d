// Package cluster runs systems on Kubernetes: it applies their objects, waits
// until their pods are ready or says why they are not, lets faults act in them,
// and deletes exactly what it made.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Cluster runs systems on Kubernetes.
type Cluster struct{ *kubeapi.Client }

var (
	_ runner.Deployer = (*Cluster)(nil)
	_ runner.Refuser  = (*Cluster)(nil)
)

// New returns a Cluster. It sends no request before one of its methods is called.
func New(c kubeapi.Config) (*Cluster, error) {
	client, err := kubeapi.NewClient(c)
	if err != nil {
		return nil, err
	}
	return &Cluster{client}, nil
}

// Deploy starts a system that does not run yet, holds it, and returns when it is
// ready. On an error nothing is left behind.
func (c *Cluster) Deploy(ctx context.Context, system *topology.System, seed uint64) (runner.Deployment, error) {
	d, err := c.up(ctx, system, seed, false)
	if err != nil {
		return nil, err
	}
	if err := d.Hold(); err != nil { //nolint:contextcheck // what watches the pods ends with the deployment
		return nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// Up makes the cluster what the file says: a system that does not run is
// started, one that runs is changed, and what its file no longer names is
// removed. It returns when all is ready. On an error nothing is left of a system
// that was started, and one that ran is left as it is then.
func (c *Cluster) Up(ctx context.Context, system *topology.System, seed uint64) (*Deployment, error) {
	return c.up(ctx, system, seed, true)
}

func (c *Cluster) up(ctx context.Context, system *topology.System, seed uint64, update bool) (*Deployment, error) {
	doing := fmt.Sprintf("bringing up system %q", system.Name)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	place, err := apply.PrepareTarget(ctx, c.Client, system)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, kubeapi.Explain(err))
	}
	if place.Runs && !update {
		return nil, fmt.Errorf("%s: it runs in namespace %q already; %s takes it down", doing, place.Namespace, c.Command("down", system.Name, "-n", place.Namespace))
	}
	objects, err := apply.BuildFor(ctx, c.Client, system, seed, place)
	if err != nil {
		return nil, err
	}
	d := &Deployment{Instance: faults.NewInstance(c.Client, system, place.Namespace, place.Token), seed: seed}
	started := time.Now()
	objects, monitor := apply.SplitMonitor(objects)
	err = apply.Apply(ctx, c.Client, objects)
	if err == nil {
		err = apply.ApplyMonitor(ctx, c.Client, monitor)
	}
	if err == nil {
		c.Config.Progress(fmt.Sprintf("%d objects applied in namespace %s (%.1fs)", len(objects), place.Namespace, time.Since(started).Seconds()))
	}
	if err == nil && place.Runs {
		err = apply.Prune(ctx, c.Client, system.Name, place.Namespace, objects)
	}
	if err == nil && place.Runs && monitor == nil {
		err = apply.DeleteMonitors(ctx, c.Client, place.Namespace, metav1.ListOptions{LabelSelector: manifest.Selector(system.Name)})
	}
	if err == nil {
		err = watch.AwaitReady(ctx, c.Client, system, place.Namespace)
	}
	if err == nil && place.Runs {
		err = d.followPlan(ctx, objects)
	}
	if err == nil {
		err = d.Connected(ctx)
	}
	if err == nil {
		return d, nil
	}
	err = fmt.Errorf("%s in namespace %q: %w", doing, place.Namespace, kubeapi.Explain(err))
	if place.Runs {
		return nil, fmt.Errorf("%w\nThe system was left as it is; %s shows it", err, c.Command("status", system.Name, "-n", place.Namespace))
	}
	return nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
}

// Plan returns the objects that Up would apply to a cluster that has nothing of the
// system. It sends no request.
func (c *Cluster) Plan(ctx context.Context, system *topology.System, seed uint64) ([]apply.Object, error) {
	namespace, explicit := apply.NamespaceOf(c.Client, system)
	return apply.Build(ctx, c.Client, system, seed, &apply.Target{
		Namespace: namespace, Ours: !explicit, Token: kubeapi.NewToken(), Monitored: c.Config.PodMonitor != nil && *c.Config.PodMonitor,
		PullSecret: c.Config.PullSecret.Name,
	})
}

// Check has the API server check the objects that Up would apply, and returns
// them as it would store them. Objects in a namespace that is not there yet
// cannot be checked, and are returned as they are.
func (c *Cluster) Check(ctx context.Context, system *topology.System, seed uint64) ([]apply.Object, error) {
	place, err := apply.PrepareTarget(ctx, c.Client, system)
	if err != nil {
		return nil, fmt.Errorf("checking system %q: %w", system.Name, kubeapi.Explain(err))
	}
	objects, err := apply.BuildFor(ctx, c.Client, system, seed, place)
	if err != nil {
		return nil, err
	}
	checked, err := apply.Check(ctx, c.Client, objects, place)
	if err != nil {
		return nil, fmt.Errorf("checking system %q: %w", system.Name, kubeapi.Explain(err))
	}
	return checked, nil
}

// CanDeploy says, before anything is started, why a system cannot run on a cluster.
func (c *Cluster) CanDeploy(_ context.Context, system *topology.System) error {
	return manifest.Check(system)
}

// CanInject says, before a system is started, why a fault is not possible on a
// cluster.
func (c *Cluster) CanInject(system *topology.System, f *fault.Fault) error {
	return faults.CanInject(c.Client, system, f)
}

// Loader generates load in as many pods as given, on systems where Deploy would
// put them. A target without a system has its URLs as seen from the cluster.
func (c *Cluster) Loader(pods int) *loadjob.Loader { return loadjob.New(c.Client, "", pods) }

// Loader generates load on this system in as many pods as given.
func (d *Deployment) Loader(pods int) *loadjob.Loader {
	return loadjob.New(d.Client, d.Namespace(), pods)
}
