// Package detached runs experiments inside a cluster, without the machine that
// started them: it starts, finds and deletes them, and keeps their results.
package detached

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// An Experiment is one that runs, or has run, in the cluster by itself.
type Experiment struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// System is the name of the system that it brings up.
	System string    `json:"system"`
	Phase  Phase     `json:"phase"`
	Made   time.Time `json:"created"`
	// Started is when its program began, Ended when it ended.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Why says what is wrong with one that cannot start, has died, or has ended
	// in an error.
	Why string `json:"why,omitempty"`
	// Results tells of what it has left; nil while there is nothing.
	Results *Results `json:"results,omitempty"`
}

// Phase says how far an experiment has come.
type Phase string

// The phases of experiments.
const (
	Starting Phase = "starting"
	Running  Phase = "running"
	// Passed, Failed and Ended have results: all checks held, some did not, or
	// the run came to a bad end.
	Passed Phase = "passed"
	Failed Phase = "failed"
	Ended  Phase = "error"
	// Died has none: its program was ended before it could keep any.
	Died Phase = "died"
)

// Over reports whether an experiment in this phase has come to its end.
func (p Phase) Over() bool { return p != Starting && p != Running }

// A NotFoundError says that there is no such experiment.
type NotFoundError struct {
	name, namespace string
	c               *kubeapi.Client
}

func (e *NotFoundError) Error() string {
	where := "the cluster"
	if e.namespace != "" {
		where = fmt.Sprintf("namespace %q", e.namespace)
	}
	return fmt.Sprintf("there is no experiment %q in %s; %s lists those there are, %s starts one", e.name, where, e.c.Command("status"), e.c.Command("run", "-f", "FILE", "--detach"))
}

// List lists the experiments of the namespaces that Config allows to look
// at, by namespace and name.
func List(ctx context.Context, c *kubeapi.Client) ([]*Experiment, error) {
	return listIn(ctx, c, c.Config.Namespace)
}

func listIn(ctx context.Context, c *kubeapi.Client, namespace string) ([]*Experiment, error) {
	found, err := findLeftovers(ctx, c, namespace)
	if err != nil {
		return nil, fmt.Errorf("looking for experiments: %w", kubeapi.Explain(err))
	}
	var all []*Experiment
	for _, r := range found {
		all = append(all, r.experiment())
	}
	slices.SortFunc(all, func(a, b *Experiment) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// Find returns an experiment by its name.
func Find(ctx context.Context, c *kubeapi.Client, name string) (*Experiment, error) {
	return findIn(ctx, c, c.Config.Namespace, name)
}

func findIn(ctx context.Context, c *kubeapi.Client, namespace, name string) (*Experiment, error) {
	all, err := listIn(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x *Experiment) bool { return x.Name != name })
	switch {
	case len(all) == 0:
		return nil, &NotFoundError{name, namespace, c}
	case len(all) > 1:
		return nil, fmt.Errorf("there is an experiment %q in each of the namespaces %s; name one with -n", name, namespacesOf(all))
	}
	return all[0], nil
}

// ListOn lists the experiments that have a name, or whose system has it. They
// are in one namespace.
func ListOn(ctx context.Context, c *kubeapi.Client, name string) ([]*Experiment, error) {
	all, err := List(ctx, c)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x *Experiment) bool { return x.Name != name && x.System != name })
	if len(all) > 0 && slices.ContainsFunc(all, func(x *Experiment) bool { return x.Namespace != all[0].Namespace }) {
		return nil, fmt.Errorf("there are experiments %q in the namespaces %s; name one with -n", name, namespacesOf(all))
	}
	return all, nil
}

func namespacesOf(all []*Experiment) string {
	var names []string
	for _, x := range all {
		names = append(names, x.Namespace)
	}
	return strings.Join(names, ", ")
}

// leftovers are the objects by which an experiment is known. Each but one may be
// missing.
type leftovers struct {
	config, index *corev1.ConfigMap
	job           *batchv1.Job
	pod           *corev1.Pod
}

// findLeftovers looks for experiments, by namespace/name. If there are no
// ConfigMaps of experiments, it asks for nothing else, because not every user may
// list Jobs.
func findLeftovers(ctx context.Context, c *kubeapi.Client, namespace string) (map[string]*leftovers, error) {
	found := map[string]*leftovers{}
	of := func(o metav1.Object) *leftovers {
		key := o.GetNamespace() + "/" + o.GetLabels()[manifest.ExperimentLabel]
		if found[key] == nil {
			found[key] = &leftovers{}
		}
		return found[key]
	}
	configs := func(role string) ([]corev1.ConfigMap, error) {
		list, err := c.Clientset.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.RoleSelector(role)})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	described, err := configs(manifest.ExperimentRole)
	if err != nil {
		return nil, err
	}
	for i := range described {
		of(&described[i]).config = &described[i]
	}
	if len(described) > 0 {
		if err := addJobs(ctx, c, namespace, of); err != nil {
			return nil, err
		}
	}
	// An experiment keeps its results before it ends: whoever saw it end before
	// sees them now.
	kept, err := configs(manifest.ResultsRole)
	if err != nil {
		return nil, err
	}
	for i := range kept {
		of(&kept[i]).index = &kept[i]
	}
	return found, nil
}

// addJobs adds the Jobs of experiments, and their pods.
func addJobs(ctx context.Context, c *kubeapi.Client, namespace string, of func(metav1.Object) *leftovers) error {
	selector := metav1.ListOptions{LabelSelector: manifest.RoleSelector(manifest.ExperimentRole)}
	jobs, err := c.Clientset.BatchV1().Jobs(namespace).List(ctx, selector)
	if err != nil {
		return err
	}
	for i := range jobs.Items {
		of(&jobs.Items[i]).job = &jobs.Items[i]
	}
	pods, err := c.Clientset.CoreV1().Pods(namespace).List(ctx, selector)
	if err != nil {
		return err
	}
	for i := range pods.Items {
		of(&pods.Items[i]).pod = &pods.Items[i]
	}
	return nil
}

// experiment describes the experiment that the leftovers are of.
func (r *leftovers) experiment() *Experiment {
	var o metav1.Object
	switch {
	case r.config != nil:
		o = r.config
	case r.job != nil:
		o = r.job
	case r.index != nil:
		o = r.index
	default:
		o = r.pod
	}
	x := &Experiment{
		Name: o.GetLabels()[manifest.ExperimentLabel], Namespace: o.GetNamespace(), System: o.GetAnnotations()[manifest.RunsAnnotation],
		Made: o.GetCreationTimestamp().Time,
	}
	if r.pod != nil {
		x.Started, x.Ended = lifeOf(r.pod)
	}
	if r.index == nil {
		x.Phase, x.Why = r.phase()
		return x
	}
	results, err := readIndex(r.index)
	if err != nil {
		// It must be possible to see it, and to delete it.
		x.Phase, x.Why = Ended, err.Error()
		return x
	}
	x.Results, x.Started, x.Ended = results, results.Started, results.Ended
	x.Phase, x.Why = results.phase(), results.Error
	return x
}

// lifeOf is when the program of an experiment began and ended.
func lifeOf(pod *corev1.Pod) (started, ended time.Time) {
	for i := range pod.Status.ContainerStatuses {
		state := pod.Status.ContainerStatuses[i].State
		if state.Running != nil {
			started = state.Running.StartedAt.Time
		}
		if state.Terminated != nil {
			started, ended = state.Terminated.StartedAt.Time, state.Terminated.FinishedAt.Time
		}
	}
	return started, ended
}

// phase says how far an experiment without results has come, and what is wrong
// with it.
func (r *leftovers) phase() (phase Phase, why string) {
	if r.job == nil {
		if r.ending() {
			return Running, "its Job has been deleted, so " + endsSoon
		}
		return Died, "its Job has been deleted"
	}
	for _, c := range r.job.Status.Conditions {
		over := c.Type == batchv1.JobFailed || c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailureTarget
		switch {
		case !over || c.Status != corev1.ConditionTrue:
		case r.ending():
			return Running, "its pod has been asked to end, so " + endsSoon
		default:
			return Died, r.lastState(c)
		}
	}
	if r.pod == nil || r.pod.Status.Phase == corev1.PodPending {
		if r.pod != nil {
			if t := watch.DiagnosePod(r.pod); t != nil {
				why = t.Text
			}
		}
		return Starting, why
	}
	return Running, ""
}

// endsSoon is what the program of an experiment does if its pod is asked to end.
const endsSoon = "it takes its system down and stores what it has seen"

// confirmed is how late the end of a pod may be seen. The pod of a lost node never ends.
const confirmed = 30 * time.Second

// ending reports whether the program of an experiment still runs, although its Job is over:
// that has failed as soon as its pod is asked to end, and results come after that.
func (r *leftovers) ending() bool {
	if r.pod == nil || r.pod.Status.Phase != corev1.PodRunning {
		return false
	}
	at := r.pod.DeletionTimestamp // the end of its grace period
	return at == nil || time.Now().Before(at.Add(confirmed))
}

// lastState says how an experiment that left nothing has ended.
func (r *leftovers) lastState(c batchv1.JobCondition) string {
	if r.pod == nil {
		if c.Reason == batchv1.JobReasonDeadlineExceeded {
			return "it was ended because it took longer than its runs can"
		}
		return "its pod is gone: it was deleted, or its node is lost"
	}
	status := r.pod.Status
	text := strings.TrimSpace(status.Reason + " " + status.Message)
	for i := range status.ContainerStatuses {
		if t := status.ContainerStatuses[i].State.Terminated; t != nil {
			text = strings.TrimSpace(fmt.Sprintf("%s ended with exit code %d (%s). %s", text, t.ExitCode, t.Reason, watch.OneLine(t.Message)))
		}
	}
	return cmp.Or(text, c.Message)
}

// LastLine returns the last line that an experiment has logged; "" if none can
// be read.
func LastLine(ctx context.Context, c *kubeapi.Client, x *Experiment) string {
	pods, err := c.Clientset.CoreV1().Pods(x.Namespace).List(ctx, metav1.ListOptions{LabelSelector: runnerSelector(x.Name)})
	if err != nil || len(pods.Items) == 0 {
		return ""
	}
	return watch.OneLine(c.TailOf(ctx, x.Namespace, pods.Items[0].Name, "", 1, false))
}

// runnerSelector selects the pod of an experiment.
func runnerSelector(experiment string) string {
	return manifest.ExperimentSelector(experiment) + "," + manifest.RoleLabel + "=" + manifest.ExperimentRole
}

// lookEvery is when an experiment is looked at though nothing has changed: that a pod does
// not end in its time is no change.
const lookEvery = 10 * time.Second

// Await returns an experiment when it is over. The end of ctx ends the wait, and
// nothing else.
func Await(ctx context.Context, c *kubeapi.Client, namespace, name string) (*Experiment, error) {
	x, err := findIn(ctx, c, namespace, name)
	if err != nil || x.Phase.Over() {
		return x, err
	}
	w := watch.Begin(ctx)
	defer w.Close()
	selector := manifest.ExperimentSelector(name)
	watch.Follow(w, watch.Labelled(c.Clientset.BatchV1().RESTClient(), "jobs", x.Namespace, selector), &batchv1.Job{})
	watch.Follow(w, watch.Labelled(c.Clientset.CoreV1().RESTClient(), "configmaps", x.Namespace, selector), &corev1.ConfigMap{})
	w.WakeOn(watch.PodsOf(c.Clientset, x.Namespace, selector), &corev1.Pod{})
	err = w.Until(ctx, watch.Condition{
		Waiting: fmt.Sprintf("waiting for experiment %q, which goes on", name), Every: lookEvery,
		Holds: func(ctx context.Context) (bool, error) {
			now, err := findIn(ctx, c, x.Namespace, name)
			var gone *NotFoundError
			switch {
			case errors.As(err, &gone):
				return false, fmt.Errorf("waiting for experiment %q: it was deleted", name)
			case ctx.Err() != nil:
				return false, err
			case err != nil:
				c.Config.Progress(fmt.Sprintf("experiment/%s cannot be seen, waiting: %v", name, err))
				w.WakeAfter(watch.Tick) // the API server may be back soon
				return false, nil
			}
			x = now
			return now.Phase.Over(), nil
		},
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}
