package load

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// onKubernetes generates the load in pods of a cluster, and puts it on a system
// there or on URLs as seen from there.
func (o *loadOptions) onKubernetes(ctx context.Context, profile load.Profile, name string, observe func(measure.Outcome)) (*result.LoadReport, error) {
	to := runner.LoadTarget{Seed: o.seed}
	loader, err := o.kubeLoader(ctx, &profile, name, &to)
	if err != nil {
		return nil, err
	}
	var cleaned []func()
	loader.Remedy = func(command string) { cleaned = append(cleaned, cli.RecoverWith(ctx, command)) }
	defer func() {
		for _, done := range cleaned {
			done()
		}
	}()
	if o.follow {
		changes := make(chan loadjob.Change)
		loader.Changes = changes
		following, stop := context.WithCancel(ctx)
		defer o.followFile(following, profile, func(f control.LoadFactors) {
			select {
			case changes <- loadjob.Change{Factors: f}:
			case <-following.Done():
			}
		})()
		defer stop()
	}
	return loader.Load(ctx, profile, to, observe)
}

// kubeLoader returns the loader, and fills in the target of the load.
func (o *loadOptions) kubeLoader(ctx context.Context, profile *load.Profile, name string, to *runner.LoadTarget) (*loadjob.Loader, error) {
	if !needsSystem(profile) {
		c, err := o.target.ClusterForPods(ctx, o.streams)
		if err != nil {
			return nil, err
		}
		return c.Loader(o.pods), nil
	}
	// A system must run already, so neither a sandbox nor an image has to be made.
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if k := o.target.Kube; o.target.On == "kind" || k.Image != "" || k.Push != "" {
		if c, err = o.target.ClusterForPods(ctx, o.streams); err != nil {
			return nil, err
		}
		if d, err = c.Find(ctx, d.System().Name); err != nil {
			return nil, err
		}
	}
	to.System = d.System()
	return d.Loader(o.pods), nil
}
