package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

// A Launch says how an experiment is to run in the cluster by itself.
type Launch struct {
	// Document is the experiment as a file of kind Experiment.
	Document []byte
	// Image is that of the program, which is called with Args in the namespace
	// that the system goes to.
	Image      string
	Args       func(namespace string) []string
	PullPolicy corev1.PullPolicy
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
func CanStart(ctx context.Context, c *Client, e *experiment.Experiment) error {
	place, err := prepareTarget(ctx, c, &e.System)
	if err == nil {
		err = refuseExperiment(ctx, c, e, place)
	}
	if err != nil {
		return fmt.Errorf("starting experiment %q in the cluster: %w", e.Name, explain(err))
	}
	return nil
}

// StartExperiment makes an experiment run in the cluster by itself, and returns
// when its program has begun. On an error, and where ctx ends before, nothing is
// left behind.
func StartExperiment(ctx context.Context, c *Client, e *experiment.Experiment, l Launch) (*Experiment, error) {
	doing := fmt.Sprintf("starting experiment %q in the cluster", e.Name)
	place, err := prepareTarget(ctx, c, &e.System)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, explain(err))
	}
	doing += fmt.Sprintf(", in namespace %q", place.namespace)
	objects, err := planExperiment(ctx, c, e, l, place)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	x := &Experiment{Name: e.Name, Namespace: place.namespace, System: e.System.Name, Phase: Starting}
	if manifest.NeedsHelpers(e) {
		err = ensureNamespace(ctx, c)
	}
	if err == nil {
		err = apply(ctx, c, objects)
	}
	if err == nil {
		err = awaitStart(ctx, c, x)
	}
	if err == nil {
		return findExperimentIn(ctx, c, x.Namespace, x.Name)
	}
	err = fmt.Errorf("%s: %w", doing, explain(err))
	return nil, errors.Join(err, undoStart(context.WithoutCancel(ctx), c, x, place))
}

// refuseExperiment says why an experiment cannot run in its place.
func refuseExperiment(ctx context.Context, c *Client, e *experiment.Experiment, place *place) error {
	if err := refuseClash(ctx, c, e, place.namespace); err != nil {
		return err
	}
	if place.runs {
		return fmt.Errorf("its system %q runs in namespace %q already; 'kubectl microsim down %s' takes it down", e.System.Name, place.namespace, e.System.Name)
	}
	for i := range e.Faults {
		if err := canInject(c, nil, &e.Faults[i]); err != nil {
			return err
		}
	}
	return nil
}

// planExperiment refuses what cannot run, and returns what is to be applied. It
// changes nothing.
func planExperiment(ctx context.Context, c *Client, e *experiment.Experiment, l Launch, place *place) ([]object, error) {
	if err := refuseExperiment(ctx, c, e, place); err != nil {
		return nil, err
	}
	// What is wrong with the system is better said now than by its pod.
	if _, err := build(c, &e.System, e.Seed, place); err != nil {
		return nil, err
	}
	d := &manifest.Detached{
		Name: e.Name, Namespace: place.namespace, Document: l.Document, Image: l.Image, Args: l.Args(place.namespace), PullPolicy: l.PullPolicy,
		Arch: l.Arch, AtMost: l.AtMost,
		Rights: manifest.Rights{System: e.System.Name, Pods: manifest.DeletesPods(e)},
	}
	if l.LoadPods {
		d.Rights.Load = manifest.ExperimentLoadName(e.Name)
	}
	if manifest.NeedsHelpers(e) {
		d.Helpers = helper.Namespace
	}
	objects, err := manifest.BuildExperiment(d)
	if err != nil || !place.ours || place.there {
		return objects, err
	}
	namespace, err := manifest.BuildNamespace(e.System.Name, place.namespace)
	if err != nil {
		return nil, err
	}
	return append([]object{namespace}, objects...), nil
}

// refuseClash refuses an experiment of which there is one of the same name, or on
// the same system.
func refuseClash(ctx context.Context, c *Client, e *experiment.Experiment, namespace string) error {
	all, err := experimentsIn(ctx, c, namespace)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.Name == e.Name || x.System == e.System.Name && !x.Phase.Over() {
			return fmt.Errorf("there is an experiment %q on system %q already, %s; 'kubectl microsim report %s -n %s' shows its results, 'kubectl microsim down %s -n %s' deletes it with them",
				x.Name, x.System, x.Phase, x.Name, x.Namespace, x.Name, x.Namespace)
		}
	}
	return nil
}

// awaitStart waits until the program of an experiment runs or has ended, or it is
// clear that it will not begin.
func awaitStart(ctx context.Context, c *Client, x *Experiment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.ReadyTimeout, errSlow)
	defer cancel()
	changed := newChanged()
	pods := follow(ctx, labelled(c.client.CoreV1().RESTClient(), "pods", x.Namespace, runnerSelector(x.Name)), &corev1.Pod{}, changed)
	defer pods.close()
	started, patience := time.Now(), newPatience(c)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		var t *trouble
		for _, o := range pods.store.List() {
			pod := o.(*corev1.Pod)
			if began, _ := lifeOf(pod); !began.IsZero() {
				return nil
			}
			t = diagnosePod(pod)
		}
		if len(pods.store.ListKeys()) == 0 && pods.synced() && time.Since(started) > noPodPatience {
			t = whyNoPod(ctx, c, x)
		}
		if t != nil && patience.lasting("experiment", t) {
			return fmt.Errorf("its pod does not start: %s", t.text)
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, errSlow) {
				return fmt.Errorf("waiting until its pod runs: %w", cause)
			}
			return fmt.Errorf("its pod did not run within %v", c.config.ReadyTimeout)
		}
	}
}

// noPodPatience is how long a Job may take to make its pod before it is asked
// why it has not.
const noPodPatience = 3 * time.Second

// whyNoPod says why a Job has not made its pod; nil where that is not known.
func whyNoPod(ctx context.Context, c *Client, x *Experiment) *trouble {
	events, err := c.client.CoreV1().Events(x.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Job,reason=FailedCreate,involvedObject.name=" + manifest.ExperimentName(x.Name)})
	if err != nil || len(events.Items) == 0 {
		return nil
	}
	return refusal(events.Items[len(events.Items)-1].Message)
}

// undoStart removes what the start of an experiment has made, and its namespace
// where that was not there before.
func undoStart(ctx context.Context, c *Client, x *Experiment, place *place) error {
	err := deleteObjects(ctx, c, x)
	if err == nil && place.ours && !place.there {
		err = takeDown(ctx, c, x.System, x.Namespace)
	}
	if err == nil {
		err = tidyHelpers(ctx, c, everySystem)
	}
	if err != nil {
		return &experiment.CleanupError{
			Left: []string{fmt.Sprintf("objects of experiment %q in namespace %q", x.Name, x.Namespace)}, Err: explain(err),
			Remedy: fmt.Sprintf("run 'kubectl microsim down %s -n %s'", x.Name, x.Namespace),
		}
	}
	return nil
}
