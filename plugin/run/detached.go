package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// detachedRun has the flags of a run that the cluster executes by itself.
type detachedRun struct {
	detach bool
	// image is the image of this program, for clusters into which this program
	// cannot load images.
	image string
	// called is set only inside a pod: the command line by which a person repeats
	// the run.
	called string
}

func (d *detachedRun) AddFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.detach, "detach", false, "on a cluster: let the experiment run there by itself, and return when it has begun; 'report' shows what became of it")
	cmd.Flags().StringVar(&d.image, "runner-image", "", "image of kubectl-microsim that the cluster can pull, for --detach")
	cmd.Flags().StringVar(&d.called, calledFlag, "", "how this run would be called from outside its pod")
	_ = cmd.Flags().MarkHidden(calledFlag)
}

// Validate refuses flags that have no effect together.
func (d *detachedRun) Validate(o *runOptions, flags *pflag.FlagSet) error {
	switch {
	case !d.detach && d.image != "":
		return errors.New("--runner-image is the image of a run that is on its own: write --detach, too, or leave it out")
	case !d.detach:
		return nil
	case !o.target.OnCluster():
		return errors.New("--detach leaves the experiment to a cluster: write --on kind or --on cluster, or leave it out")
	case o.dryRun:
		return nil
	}
	return cli.Refuse(flags, "are for what a run has shown, and a detached run has not yet: give them to 'kubectl microsim report' when it has ended",
		"out", "force", "report", "junit", "output")
}

// startDetached starts the experiment in the cluster, and returns when it has
// begun.
func (o *runOptions) startDetached(ctx context.Context, e experiment.Experiment, args []string) error {
	document, err := spec.FormatExperiment(&e)
	if err != nil {
		return err
	}
	called := o.called(args) + " --detach"
	if o.series.duration > 0 {
		called += " --duration " + o.series.duration.String()
	}
	if err := manifest.Check(&e.System); err != nil { // before a sandbox is made for it
		return err
	}
	var agent string
	c, err := o.target.ClusterForPods(ctx, o.streams, func(config *kubeapi.Config) { agent = config.Image })
	if err != nil {
		return err
	}
	if err := detached.CanStart(ctx, c.Client, &e); err != nil {
		return cli.Cause(ctx, err)
	}
	stores, runtimes, err := o.imagesOf(ctx, c.Config, &e)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	runner, err := o.detached.bring(ctx, o, c)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer cli.RecoverWith(ctx, o.target.Command("down", e.Name))()
	x, err := detached.Start(ctx, c.Client, &e, detached.Launch{
		Document: document, Image: runner.ref, Arch: runner.arch, StoreImage: stores, RuntimeImages: runtimes, AtMost: o.atMost(&e), LoadPods: o.pods > 1,
		Args: func(namespace string) []string { return o.runnerArgs(namespace, agent, called) },
	})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	fmt.Fprintf(o.streams.Out, "experiment/%s started\n", x.Name)
	fmt.Fprintf(o.streams.Err, "It runs in namespace %s by itself. From any machine that reaches the cluster:\n", x.Namespace)
	return cli.PrintTable(o.streams.Err, []string{"COMMAND", "WHAT"}, [][]string{
		{o.followUp("report", x) + " --wait", "show its results when it has ended"},
		{o.followUp("status", x), "show how far it is"},
		{o.followUp("down", x), "end and delete it, with its system and results"},
	})
}

// imagesOf brings the images that the systems of all runs need to the nodes, because
// the program in the pod cannot.
func (o *runOptions) imagesOf(ctx context.Context, c kubeapi.Config, e *experiment.Experiment) (stores string, runtimes map[topology.RuntimeName]manifest.RuntimeImage, err error) {
	chosen, err := e.Select(o.series.names())
	if err != nil {
		return "", nil, err
	}
	runtimes = map[topology.RuntimeName]manifest.RuntimeImage{}
	for _, v := range chosen {
		applied, problems := e.Apply(v)
		if err := problems.Err(); err != nil {
			return "", nil, err
		}
		if stores == "" && manifest.UsesStores(&applied.System) {
			if stores, _, err = c.StoreImage(ctx); err != nil {
				return "", nil, err
			}
		}
		for i := range applied.System.Services {
			s := &applied.System.Services[i]
			r, foreign := s.Foreign()
			if !foreign || runtimes[r.Name].Reference != "" {
				continue
			}
			if runtimes[r.Name], err = c.RuntimeImage(ctx, r.Name); err != nil {
				return "", nil, fmt.Errorf("service %q: %w", s.Name, err)
			}
		}
	}
	return stores, runtimes, nil
}

// followUp returns the command line of another command for a detached experiment.
func (o *runOptions) followUp(command string, x *detached.Experiment) string {
	if len(o.target.Kube.Changed("namespace")) > 0 {
		return o.target.Command(command, x.Name)
	}
	return o.target.Command(command, x.Name, "-n", x.Namespace)
}

// calledFlag is the hidden flag that sets detachedRun.called.
const calledFlag = "called-as"

// runnerArgs returns the arguments of the program in its pod. called is the command
// line of this run. The seed and the duration are in the document already.
func (o *runOptions) runnerArgs(namespace, agent, called string) []string {
	args := []string{
		"runner", "--namespace", namespace, "--", "--image", agent, "--ready-timeout", o.target.Kube.ReadyTimeout.String(),
		"--" + target.LoadPodsFlag, fmt.Sprint(o.pods), "--" + calledFlag, called,
	}
	args = append(args, o.signals.args()...)
	if name := o.target.Kube.PullSecret; name != "" {
		args = append(args, "--image-pull-secret", name)
	}
	if len(o.series.variants) > 0 {
		args = append(args, "--variants", strings.Join(o.series.variants, ","))
	}
	if o.series.seeds > 1 {
		args = append(args, "--seeds", fmt.Sprint(o.series.seeds))
	}
	return args
}

// beside is how long a run may take beside its load, its tail and the start of its
// pods. unboundedRun is how long a run may take if its load ends by a count.
const (
	beside       = 10 * time.Minute
	unboundedRun = 24 * time.Hour
)

// atMost returns how long all runs of an experiment may take before the cluster
// ends them.
func (o *runOptions) atMost(e *experiment.Experiment) time.Duration {
	length, bounded := experiment.Length(e.Load.WithDefaults())
	variants := max(1, len(e.Variants))
	for i := range e.Variants {
		if v := e.Variants[i].Load; v != nil {
			l, ok := experiment.Length(v.WithDefaults())
			length, bounded = max(length, l), bounded && ok
		}
	}
	if !bounded {
		return unboundedRun
	}
	each := length + e.Tail.Std() + o.target.Kube.ReadyTimeout + beside
	return each * time.Duration(variants*o.series.seeds)
}

// A runnerImage is the image of this program in the cluster. It runs on nodes of
// arch, or on all nodes if arch is empty.
type runnerImage struct{ ref, arch string }

// bring makes the image of this program available to the cluster: by loading it
// into nodes, by a registry, or as published.
func (d *detachedRun) bring(ctx context.Context, o *runOptions, c *cluster.Cluster) (runnerImage, error) {
	if d.image != "" {
		return runnerImage{ref: d.image}, nil
	}
	k := o.target.Kube
	img, arch, err := runnerFor(ctx, c)
	if err != nil {
		return runnerImage{}, err
	}
	if k.Push == "" {
		known, err := k.LoadImage(ctx, o.target.On, o.streams, c.Config.REST, img)
		if err != nil || known {
			return runnerImage{img.Tag.String(), arch}, err
		}
		published, err := kube.Published()
		if err != nil {
			return runnerImage{}, err
		}
		if published != nil {
			return runnerImage{ref: published.Runner}, nil
		}
		return runnerImage{}, errors.New("finding the image of kubectl-microsim, which runs the experiment: the nodes of this cluster cannot be reached from here, as those of kind, minikube and k3d could; push it to a registry that they can pull from with --push REFERENCE, or name one that is there with --runner-image")
	}
	to := kube.BesideAgent(k.Push, "runner")
	fmt.Fprintf(o.streams.Err, "Pushing the image of kubectl-microsim to %s\n", to)
	ref, err := cli.Interruptible(ctx, func() (string, error) { return image.Push(ctx, []*image.Image{img}, to) })
	return runnerImage{ref, arch}, err
}

// runnerFor builds the image of this program for the first architecture of the
// cluster's nodes for which there is a program.
func runnerFor(ctx context.Context, c *cluster.Cluster) (*image.Image, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("finding this program, which runs the experiment: %w", err)
	}
	architectures, err := access.NodeArchitectures(ctx, c.Clientset)
	if err != nil {
		return nil, "", err
	}
	var failed error
	for _, arch := range architectures {
		program, err := image.FindRunner(self, arch)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		img, err := image.Build(program)
		return img, arch, err
	}
	return nil, "", failed
}
