package detached

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Launch says how an experiment is to run in the cluster by itself.
type Launch struct {
	// Document is the experiment as a file of kind Experiment.
	Document []byte
	// Image is that of the program, which is called with Args in the namespace
	// that the system goes to.
	Image      string
	Args       func(namespace string) []string
	pullPolicy corev1.PullPolicy
	// StoreImage is that of microsim-store, if the system needs it.
	StoreImage string
	// RuntimeImages are those of the runtimes that the systems of all its runs have.
	RuntimeImages map[topology.RuntimeName]manifest.RuntimeImage
	// Arch is the architecture of the nodes that the image is for; empty means
	// any.
	Arch string
	// AtMost is how long it may take.
	AtMost time.Duration
	// LoadPods is set where its load comes from pods of its own.
	LoadPods bool
}

// CanStart says why an experiment cannot be started in the cluster, before images
// are brought there; nil means that nothing is known to be in its way.
func CanStart(ctx context.Context, c *kubeapi.Client, e *experiment.Experiment) error {
	place, err := apply.PrepareTarget(ctx, c, &e.System)
	if err == nil {
		err = refuseExperiment(ctx, c, e, place)
	}
	if err != nil {
		return fmt.Errorf("starting experiment %q in the cluster: %w", e.Name, kubeapi.Explain(err))
	}
	return nil
}

// Start makes an experiment run in the cluster by itself, and returns
// when its program has begun. On an error, and where ctx ends before, nothing is
// left behind.
func Start(ctx context.Context, c *kubeapi.Client, e *experiment.Experiment, l Launch) (*Experiment, error) {
	doing := fmt.Sprintf("starting experiment %q in the cluster", e.Name)
	place, err := apply.PrepareTarget(ctx, c, &e.System)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, kubeapi.Explain(err))
	}
	doing += fmt.Sprintf(", in namespace %q", place.Namespace)
	d, err := planExperiment(ctx, c, e, l, place)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	x := &Experiment{Name: e.Name, Namespace: place.Namespace, System: e.System.Name, Phase: Starting}
	err = claim(ctx, c, d, place)
	if taken := (*takenError)(nil); errors.As(err, &taken) {
		return nil, fmt.Errorf("%s: %w", doing, err) // nothing that is there is of this start
	}
	if err == nil && d.Helpers != "" {
		err = reserveHelpers(ctx, c, d)
	}
	if err == nil {
		err = applyExperiment(ctx, c, d, place)
	}
	if err == nil {
		err = awaitStart(ctx, c, x)
	}
	if err == nil {
		return findIn(ctx, c, x.Namespace, x.Name)
	}
	err = fmt.Errorf("%s: %w", doing, kubeapi.Explain(err))
	return nil, errors.Join(err, undoStart(context.WithoutCancel(ctx), c, x, place))
}

// refuseExperiment says why an experiment cannot run in its place.
func refuseExperiment(ctx context.Context, c *kubeapi.Client, e *experiment.Experiment, place *apply.Target) error {
	if err := refuseClash(ctx, c, e, place.Namespace); err != nil {
		return err
	}
	if place.Runs {
		return fmt.Errorf("its system %q runs in namespace %q already; %s takes it down", e.System.Name, place.Namespace, c.Command("down", e.System.Name, "-n", place.Namespace))
	}
	for i := range e.Faults {
		if err := faults.CanInject(c, nil, &e.Faults[i]); err != nil {
			return err
		}
	}
	return nil
}

// planExperiment refuses what cannot run, and returns what is to run. It changes
// nothing.
func planExperiment(ctx context.Context, c *kubeapi.Client, e *experiment.Experiment, l Launch, place *apply.Target) (*manifest.Detached, error) {
	if err := refuseExperiment(ctx, c, e, place); err != nil {
		return nil, err
	}
	// Report mistakes of the system now, because its pod would report them late.
	if _, err := apply.Build(ctx, c, &e.System, e.Seed, place); err != nil {
		return nil, err
	}
	d := &manifest.Detached{
		Name: e.Name, Namespace: place.Namespace, Document: l.Document, Image: l.Image, Args: l.Args(place.Namespace), PullPolicy: l.pullPolicy,
		Arch: l.Arch, AtMost: l.AtMost, StoreImage: l.StoreImage, RuntimeImages: l.RuntimeImages, PullSecret: place.PullSecret,
		Rights: manifest.Rights{System: e.System.Name, Pods: manifest.DeletesPods(e)},
	}
	if l.LoadPods {
		d.Rights.Load = manifest.ExperimentLoadName(e.Name)
	}
	if manifest.NeedsHelpers(e) {
		d.Helpers = nodehelper.Namespace
	}
	_, err := manifest.BuildExperiment(d)
	return d, err
}

// reserveHelpers starts, with the rights of this user, the helpers that an experiment
// will need: whoever may start them is root on their nodes, so it may not itself.
func reserveHelpers(ctx context.Context, c *kubeapi.Client, d *manifest.Detached) error {
	helpers, err := nodehelper.ReserveAll(ctx, c, order.SystemOwner(d.Namespace, d.Rights.System), time.Now().Add(d.AtMost))
	if err != nil {
		return err
	}
	d.Rights.HelperOrders, d.Rights.HelperTokens = helpers.Orders, helpers.Tokens
	c.Config.Progress(fmt.Sprintf("helpers ready for the faults of the experiment, on %d of the nodes", len(helpers.Orders)))
	return nil
}

// A takenError says that another program has just started an experiment of the name.
type takenError struct{ status string }

func (e *takenError) Error() string {
	return fmt.Sprintf("another program has just started an experiment of this name; %s shows it, and metadata.name in the file gives this one another name", e.status)
}

// claim makes the ConfigMap by which an experiment is known, and its namespace if that was
// not there. Of two programs that start experiments of one name at the same time, it lets
// one go on: the other would take back what that one has made.
func claim(ctx context.Context, c *kubeapi.Client, d *manifest.Detached, place *apply.Target) error {
	if place.Ours && !place.There {
		namespace, err := manifest.BuildNamespace(d.Rights.System, place.Namespace)
		if err != nil {
			return err
		}
		if err := apply.Apply(ctx, c, []apply.Object{namespace}); err != nil {
			return err
		}
	}
	_, err := c.Clientset.CoreV1().ConfigMaps(place.Namespace).Create(ctx, manifest.DescribeExperiment(d), metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return &takenError{c.Command("status", d.Name, "-n", place.Namespace)}
	}
	return err
}

// applyExperiment applies the objects of an experiment.
func applyExperiment(ctx context.Context, c *kubeapi.Client, d *manifest.Detached, place *apply.Target) error {
	objects, err := manifest.BuildExperiment(d)
	if err != nil {
		return err
	}
	return apply.Apply(ctx, c, place.WithPullSecret(objects))
}

// refuseClash refuses an experiment of which there is one of the same name, or on
// the same system.
func refuseClash(ctx context.Context, c *kubeapi.Client, e *experiment.Experiment, namespace string) error {
	all, err := listIn(ctx, c, namespace)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.Name == e.Name || x.System == e.System.Name && !x.Phase.Over() {
			return fmt.Errorf("there is an experiment %q on system %q already, %s; %s shows its results, %s deletes it with them",
				x.Name, x.System, x.Phase, c.Command("report", x.Name, "-n", x.Namespace), c.Command("down", x.Name, "-n", x.Namespace))
		}
	}
	return nil
}

// awaitStart waits until the program of an experiment runs or has ended, or it is
// clear that it will not begin.
func awaitStart(ctx context.Context, c *kubeapi.Client, x *Experiment) error {
	w := watch.Begin(ctx)
	defer w.Close()
	pods := watch.Follow(w, watch.PodsOf(c.Clientset, x.Namespace, runnerSelector(x.Name)), &corev1.Pod{})
	started, patience := time.Now(), watch.NewPatience(c)
	return w.Until(ctx, watch.Condition{
		Waiting: "waiting until its pod runs", Timeout: c.Config.ReadyTimeout, Every: watch.Tick,
		Holds: func(ctx context.Context) (bool, error) {
			var d *watch.Diagnosis
			for _, pod := range pods() {
				if began, _ := lifeOf(pod); !began.IsZero() {
					return true, nil
				}
				d = watch.DiagnosePod(pod)
			}
			if len(pods()) == 0 && time.Since(started) > noPodPatience {
				d = watch.DiagnoseJob(ctx, c, x.Namespace, manifest.ExperimentName(x.Name))
			}
			if d != nil && patience.Lasting(ctx, "job/"+manifest.ExperimentName(x.Name), d) {
				return false, fmt.Errorf("its pod does not start: %s", d.Text)
			}
			return false, nil
		},
		Late: func() error { return fmt.Errorf("its pod did not run within %v", c.Config.ReadyTimeout) },
	})
}

// noPodPatience is how long a Job may take to make its pod before its events are
// asked why it has not.
const noPodPatience = 3 * time.Second

// undoStart removes what the start of an experiment has made, and its namespace
// where that was not there before.
func undoStart(ctx context.Context, c *kubeapi.Client, x *Experiment, place *apply.Target) error {
	err := deleteObjects(ctx, c, x)
	if err == nil {
		err = kubeapi.IgnoreForbidden(nodehelper.RemoveOwner(ctx, c, order.SystemOwner(x.Namespace, x.System)))
	}
	if err == nil && place.Ours && !place.There {
		err = apply.TakeDown(ctx, c, x.System, x.Namespace)
	}
	if err == nil {
		err = nodehelper.DeleteUnusedNamespace(ctx, c, nodehelper.EverySystem)
	}
	if err != nil {
		return &runner.CleanupError{
			Left: []string{fmt.Sprintf("objects of experiment %q in namespace %q", x.Name, x.Namespace)}, Err: kubeapi.Explain(err),
			Remedy: "run " + c.Command("down", x.Name, "-n", x.Namespace),
		}
	}
	return nil
}
