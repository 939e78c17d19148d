package plugin

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// kubeCleanupTimeout bounds the taking down of a system on a cluster, whose
	// namespace may take a while to go.
	kubeCleanupTimeout = 4 * time.Minute
	// kubePollReplicas is how often the API server is asked for the pods of a run.
	kubePollReplicas = 250 * time.Millisecond
)

// loadPodsFlag says how many pods generate the load on a cluster.
const loadPodsFlag = "load-pods"

func addLoadPods(cmd *cobra.Command, pods *int) {
	cmd.Flags().IntVar(pods, loadPodsFlag, 1, "on a cluster: how many pods generate the load together")
}

// validateLoadPods refuses numbers of pods that are not possible.
func (t *target) validateLoadPods(cmd *cobra.Command, pods int) error {
	switch {
	case !t.onCluster() && cmd.Flags().Changed(loadPodsFlag):
		return fmt.Errorf("--%s is about load on a cluster: write --on kind or --on cluster, or leave it out", loadPodsFlag)
	case pods < 1 || pods > loadjob.MaxPods:
		return fmt.Errorf("--%s %d is not possible: write 1 to %d", loadPodsFlag, pods, loadjob.MaxPods)
	}
	return nil
}

// onKubernetes puts the load on a system on a cluster, or on URLs as seen from
// there, by pods inside the cluster.
func (o *loadOptions) onKubernetes(ctx context.Context, profile load.Profile, name string) (*result.LoadReport, error) {
	to := runner.LoadTarget{Seed: o.seed}
	loader, err := o.kubeLoader(ctx, name, &to)
	if err != nil {
		return nil, err
	}
	loader.Remedy = func(command string) { recoverWith(ctx, command) }
	if o.follow {
		changes := make(chan remote.Factors)
		loader.Changes = changes
		following, stop := context.WithCancel(ctx)
		defer o.followFile(following, profile, func(f remote.Factors) {
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
	k := o.target.kube
	if o.urls != "" {
		c, err := k.clusterOf(ctx, o.target.on, o.streams, true)
		if err != nil {
			return nil, err
		}
		return c.Loader(o.pods), nil
	}
	// Without the system there is no need for a sandbox, or for an image.
	c, err := k.clusterOf(ctx, o.target.on, o.streams, false)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if o.target.on == "kind" || k.image != "" || k.push != "" {
		if c, err = k.clusterOf(ctx, o.target.on, o.streams, true); err != nil {
			return nil, err
		}
		if d, err = c.Find(ctx, d.System().Name); err != nil {
			return nil, err
		}
	}
	to.System = d.System()
	return d.Loader(o.pods), nil
}

// useCluster has the runs of an experiment take place on a cluster.
func (o *runOptions) useCluster(ctx context.Context, e *experiment.Experiment, talk io.Writer, deps *runner.Deps) error {
	streams := Streams{In: o.streams.In, Out: o.streams.Out, Err: talk}
	c, err := o.target.kube.clusterOf(ctx, o.target.on, streams, true, func(config *kubeapi.Config) {
		// An experiment in the cluster may make the Job of this name alone.
		if o.detached.called != "" {
			config.LoadName = manifest.ExperimentLoadName(e.Name)
		}
	})
	if err != nil {
		return err
	}
	recoverWith(ctx, o.target.command("down", e.System.Name))
	deps.Deployer, deps.CleanupTimeout = c, kubeCleanupTimeout
	deps.PollReplicas = kubePollReplicas
	// A pod that runs an experiment can generate the load of one pod itself.
	if !c.Inside() || o.pods > 1 {
		deps.Loader = c.Loader(o.pods)
	}
	return nil
}
