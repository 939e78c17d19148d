package faults

import (
	"context"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/workload"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// An injector applies faults to a running system on any target, or to pods that are
// selected by labels.
type injector interface {
	CanInject(f *fault.Fault) error
	Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error
	Clear(ctx context.Context, id string) error
	Active(ctx context.Context) ([]runner.Injection, error)
}

// A planner says beforehand what a fault would do, and applies faults to new pods
// while Follow runs.
type planner interface {
	Plan(ctx context.Context, id string, f fault.Fault, deadline time.Time) ([]faults.Effect, error)
	Follow(ctx context.Context)
}

var (
	_ planner = (*cluster.Deployment)(nil)
	_ planner = (*workload.Workloads)(nil)
)

// Command returns the command line of a `fault` command for the same target.
func (o *faultOptions) Command(words ...string) string {
	words = append([]string{"fault"}, words...)
	if o.system != "" {
		words = append(words, "--system", o.system)
	}
	return o.target.Command(words...)
}

// find returns the running system that the flags mean.
func (o *faultOptions) find(ctx context.Context, more ...func(*kubeapi.Config)) (injector, error) {
	if !o.target.OnCluster() {
		return local.Find(o.system)
	}
	c, err := o.target.Cluster(ctx, o.streams, more...)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, o.system)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	return d, nil
}

// A faultPlace is a place with faults: a system, or the selected pods of a
// namespace.
type faultPlace struct {
	// name identifies the place in messages.
	name string
	injector
}

// places returns all places that the flags mean. If they name a system, it is the
// only one.
func (o *faultOptions) places(ctx context.Context) ([]faultPlace, error) {
	if o.system != "" {
		at, err := o.find(ctx)
		return []faultPlace{{o.system, at}}, err
	}
	if !o.target.OnCluster() {
		return localPlaces()
	}
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil {
		return nil, err
	}
	systems, err := c.Systems(ctx)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	var all []faultPlace
	for _, d := range systems {
		all = append(all, faultPlace{"system " + d.System().Name + " in namespace " + d.Namespace(), d})
	}
	foreign, err := workload.List(ctx, c.Client)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	for _, x := range foreign {
		all = append(all, faultPlace{"selected pods in namespace " + x.Namespace(), x})
	}
	return all, nil
}

// localPlaces are the systems that run on this machine.
func localPlaces() ([]faultPlace, error) {
	systems, err := local.Systems()
	if err != nil {
		return nil, err
	}
	var all []faultPlace
	for _, s := range systems {
		if !s.Alive || s.ControlURL == "" {
			continue // it has just ended or has not started yet, so no fault acts in it
		}
		client, err := local.Find(s.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, faultPlace{"system " + s.Name, client})
	}
	return all, nil
}
