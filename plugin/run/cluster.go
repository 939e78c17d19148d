package run

import (
	"context"
	"io"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// kubeCleanupTimeout bounds the clean-up on a cluster, where deleting a namespace may
// take minutes.
const kubeCleanupTimeout = 4 * time.Minute

// useCluster makes the runs of an experiment take place on a cluster.
func (o *runOptions) useCluster(ctx context.Context, e *experiment.Experiment, talk io.Writer, deps *runner.Deps) error {
	if err := manifest.Check(&e.System); err != nil { // before making a sandbox
		return err
	}
	streams := cli.Streams{In: o.streams.In, Out: o.streams.Out, Err: talk}
	c, err := o.target.ClusterForPods(ctx, streams, func(config *kubeapi.Config) {
		// A detached run has the right to create only the Job of this name.
		if o.detached.called != "" {
			config.LoadName = manifest.ExperimentLoadName(e.Name)
		}
	})
	if err != nil {
		return err
	}
	cli.RecoverWith(ctx, o.target.Command("down", e.System.Name))
	o.signals.elsewhere = true
	deps.Tracer = o.signals.tracer(nil)
	deps.Deployer, deps.CleanupTimeout = c, kubeCleanupTimeout
	// A detached run with one load pod generates the load in its own pod.
	if !c.Inside() || o.pods > 1 {
		loader := c.Loader(o.pods)
		if o.signals.wanted {
			loader.TraceSample = float64(o.signals.share)
		}
		deps.Loader, deps.Tracer = loader, o.signals.tracer(loader)
	}
	return nil
}
