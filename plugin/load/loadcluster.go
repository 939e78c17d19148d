package load

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// onKubernetes puts the load on a system on a cluster, or on URLs as seen from
// there, by pods inside the cluster.
func (o *loadOptions) onKubernetes(ctx context.Context, profile load.Profile, name string) (*result.LoadReport, error) {
	to := runner.LoadTarget{Seed: o.seed}
	loader, err := o.kubeLoader(ctx, name, &to)
	if err != nil {
		return nil, err
	}
	loader.Remedy = func(command string) { cli.RecoverWith(ctx, command) }
	if o.follow {
		changes := make(chan control.LoadFactors)
		loader.Changes = changes
		following, stop := context.WithCancel(ctx)
		defer o.followFile(following, profile, func(f control.LoadFactors) {
			select {
			case changes <- f:
			case <-following.Done():
			}
		})()
		defer stop()
	}
	return loader.Load(ctx, profile, to, nil)
}

// kubeLoader returns what generates the load, and fills in what it is put on.
func (o *loadOptions) kubeLoader(ctx context.Context, name string, to *runner.LoadTarget) (*loadjob.Loader, error) {
	k := o.target.Kube
	if o.urls != "" {
		c, err := k.Cluster(ctx, o.target.On, o.streams, true)
		if err != nil {
			return nil, err
		}
		return c.Loader(o.pods), nil
	}
	// Without the system there is no need for a sandbox, or for an image.
	c, err := k.Cluster(ctx, o.target.On, o.streams, false)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if o.target.On == "kind" || k.Image != "" || k.Push != "" {
		if c, err = k.Cluster(ctx, o.target.On, o.streams, true); err != nil {
			return nil, err
		}
		if d, err = c.Find(ctx, d.System().Name); err != nil {
			return nil, err
		}
	}
	to.System = d.System()
	return d.Loader(o.pods), nil
}
