package nodehelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// EnsureNamespace makes the namespace of the helpers where it is not there.
func EnsureNamespace(ctx context.Context, c *kubeapi.Client) error {
	ns, err := watch.SettledNamespace(ctx, c, Namespace)
	if err != nil && !apierrors.IsForbidden(err) {
		return err
	}
	if ns != nil || err != nil {
		return nil //nolint:nilerr // who may not look at it finds out by using it
	}
	_, err = c.Clientset.CoreV1().Namespaces().Create(ctx, NewNamespace(), metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the namespace %q for the helpers, which faults on networks and resources need: %w", Namespace, err)
	}
	// Pods are refused before their service account has been made.
	lw := watch.Named(c.Clientset.CoreV1().RESTClient(), "serviceaccounts", Namespace, "default")
	waiting := fmt.Sprintf("waiting for the service account \"default\" of namespace %q", Namespace)
	return watch.AwaitObjects(ctx, lw, &corev1.ServiceAccount{}, waiting, func(all []*corev1.ServiceAccount) bool { return len(all) > 0 })
}

// makeHelper makes the helper of a node. Its orders are there.
func makeHelper(ctx context.Context, c *kubeapi.Client, node string, o Options) error {
	if o.Image == "" {
		return errors.New("no image of microsim-agent is known; name one with --image")
	}
	if err := checkNode(ctx, c, node); err != nil {
		return err
	}
	// Do not let ctx cut this request short: then it would not be known whether the
	// Job exists and needs its token.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubeapi.ControlTimeout)
	defer cancel()
	secrets, err := makeSecrets(ctx, c, node, &o)
	if err == nil {
		job := NewJob(node, o)
		if err = checkAdmission(ctx, c, job); err != nil {
			err = fmt.Errorf("its helper is refused: %w", err)
		} else if job, err = c.Clientset.BatchV1().Jobs(Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: kubeapi.FieldManager}); err == nil {
			return adopt(ctx, c, job, secrets...)
		}
	}
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	var undone error
	for _, name := range secrets {
		undone = errors.Join(undone, c.Clientset.CoreV1().Secrets(Namespace).Delete(undoing, name, metav1.DeleteOptions{}))
	}
	if apierrors.IsAlreadyExists(err) {
		return undone // somebody else has made it
	}
	return errors.Join(kubeapi.Explain(err), undone)
}

// makeSecrets makes the Secrets that the helper of a node refers to, and returns the names of
// those that are there, on an error, too.
func makeSecrets(ctx context.Context, c *kubeapi.Client, node string, o *Options) (names []string, err error) {
	create := func(s *corev1.Secret) (string, error) {
		s, err := c.Clientset.CoreV1().Secrets(Namespace).Create(ctx, s, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
		if err != nil {
			return "", err
		}
		names = append(names, s.Name)
		return s.Name, nil
	}
	if o.secret, err = create(NewSecret(node, kubeapi.NewToken())); err != nil {
		return names, fmt.Errorf("making the token of its helper: %w", kubeapi.Explain(err))
	}
	if o.PullSecret.Name == "" {
		return names, nil
	}
	from, err := c.PullSecret(ctx, o.PullSecret)
	if err == nil {
		o.pullSecret, err = create(newPullSecret(node, from))
	}
	if err != nil {
		return names, fmt.Errorf("letting its helper pull its image: %w", kubeapi.Explain(err))
	}
	return names, nil
}

// adopt makes the orders, and the Secrets that are named, go with the helper.
func adopt(ctx context.Context, c *kubeapi.Client, job *batchv1.Job, secrets ...string) error {
	yes := true
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{
		{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, BlockOwnerDeletion: &yes},
	}}})
	if err != nil {
		return fmt.Errorf("describing the helper %q: %w", job.Name, err)
	}
	o := metav1.PatchOptions{FieldManager: kubeapi.FieldManager}
	// The Secrets come first: nobody else knows of them.
	for _, secret := range secrets {
		if err != nil {
			break
		}
		_, err = c.Clientset.CoreV1().Secrets(Namespace).Patch(ctx, secret, types.MergePatchType, patch, o)
	}
	if err == nil {
		_, err = c.Clientset.CoreV1().ConfigMaps(Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, o)
	}
	if apierrors.IsNotFound(err) {
		return kubeapi.ErrOvertaken
	}
	return err
}

// checkNode says why no pod can be started on a node. A user without the right to
// read nodes finds out by trying.
func checkNode(ctx context.Context, c *kubeapi.Client, name string) error {
	node, err := c.Clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case apierrors.IsNotFound(err):
		return errors.New("there is no such node any more")
	case err != nil:
		return fmt.Errorf("looking at the node: %w", kubeapi.Explain(err))
	}
	if why, ready := Ready(node); !ready {
		return &notReadyError{why}
	}
	return nil
}

// Ready reports whether a node runs pods, and why not, in the words of its kubelet or
// of the one who misses it.
func Ready(node *corev1.Node) (why string, ready bool) {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return condition.Message, false
		}
	}
	return "", true
}

// A notReadyError says that a node runs no pods at the moment, in the words of its
// kubelet or of the one who misses it.
type notReadyError struct{ why string }

func (e *notReadyError) Error() string {
	return fmt.Sprintf("the node is not ready: %s; mend it, or choose pods of other nodes", e.why)
}

// checkAdmission asks the API server whether it would take the helper's pod, as the
// Job's own attempts are reported only in events. A priority that is not to be
// had is gone without.
func checkAdmission(ctx context.Context, c *kubeapi.Client, job *batchv1.Job) error {
	template := &job.Spec.Template
	try := func() error {
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.GenerateName, pod.Namespace = job.Name+"-", job.Namespace
		_, err := c.Clientset.CoreV1().Pods(job.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	err := try()
	if err != nil && template.Spec.PriorityClassName != "" && strings.Contains(strings.ToLower(err.Error()), "priorityclass") {
		template.Spec.PriorityClassName = ""
		err = try()
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource"):
		return nil // who may make Jobs but no pods sees what becomes of them
	case kubeapi.ViolatesPodSecurity(err.Error()):
		return kubeapi.WithNextStep(err, fmt.Sprintf("ask for the label pod-security.kubernetes.io/enforce=privileged on the namespace %q", Namespace))
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return kubeapi.WithNextStep(err, fmt.Sprintf("ask for a larger quota in the namespace %q", Namespace))
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "failed quota"):
		return kubeapi.WithNextStep(err, fmt.Sprintf("ask for a LimitRange with defaults in the namespace %q", Namespace))
	}
	return kubeapi.Explain(err)
}

// reclaim makes sure that the helper, which has just taken an order, stays: who
// ended it because nobody wanted anything of it does so no more, or is too early
// and it has to be made again.
func reclaim(ctx context.Context, c *kubeapi.Client, node string, version int64) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%d"}}}`, WantedAnnotation, version)
	job, err := c.Clientset.BatchV1().Jobs(Namespace).Patch(ctx, Name(node), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kubeapi.FieldManager})
	if apierrors.IsNotFound(err) || err == nil && job.DeletionTimestamp != nil {
		return kubeapi.ErrOvertaken
	}
	if err != nil {
		return err
	}
	return adopt(ctx, c, job)
}

// endHelper deletes the helper of a node, unless it has orders again. The objects
// that it owns are deleted with it.
func endHelper(ctx context.Context, c *kubeapi.Client, node string) error {
	name := Name(node)
	return kubeapi.RetryConflicts(ctx, fmt.Sprintf("the Job %s/%s", Namespace, name), func(ctx context.Context) error {
		job, err := c.Clientset.BatchV1().Jobs(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return ignoreNotFound(err)
		}
		_, err = c.Clientset.CoreV1().ConfigMaps(Namespace).Get(ctx, name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		return ignoreNotFound(c.Clientset.BatchV1().Jobs(Namespace).Delete(ctx, name, metav1.DeleteOptions{
			PropagationPolicy: kubeapi.Background(), Preconditions: &metav1.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion},
		}))
	})
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// DeleteUnusedNamespace deletes the namespace of the helpers if this program has made
// it, and neither helpers nor any system or experiment that counts need it any more.
// Without the rights to find that out it leaves the namespace.
func DeleteUnusedNamespace(ctx context.Context, c *kubeapi.Client, counts func(ofSystem metav1.Object) bool) error {
	if needed, err := helpersNeeded(ctx, c); err != nil || needed {
		return kubeapi.IgnoreForbidden(err)
	}
	ours := metav1.ListOptions{LabelSelector: manifest.ManagedByLabel + "=" + manifest.ManagedBy}
	systems, err := c.Clientset.CoreV1().ConfigMaps("").List(ctx, ours)
	if err != nil {
		return kubeapi.IgnoreForbidden(err)
	}
	for i := range systems.Items {
		if counts(&systems.Items[i]) {
			return nil
		}
	}
	ns, err := c.Clientset.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !watch.MadeByUs(ns) || ns.DeletionTimestamp != nil {
		return kubeapi.IgnoreForbidden(err)
	}
	err = c.Clientset.CoreV1().Namespaces().Delete(ctx, Namespace, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(ns.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return kubeapi.IgnoreForbidden(err)
}

// EverySystem counts all of them.
func EverySystem(metav1.Object) bool { return true }

// helpersNeeded reports whether there are orders, or faults that act on selected
// pods.
func helpersNeeded(ctx context.Context, c *kubeapi.Client) (bool, error) {
	list, err := c.Clientset.CoreV1().ConfigMaps(Namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.ManagedByLabel + "=" + manifest.ManagedBy})
	if err != nil {
		return true, err
	}
	for i := range list.Items {
		config := &list.Items[i]
		if config.Labels[manifest.RoleLabel] != RecordRole {
			return true, nil
		}
		if some, err := hasFaults(config); err != nil || some {
			return true, err
		}
	}
	return false, nil
}

// hasFaults reports whether a record of faults has any whose time is not over.
func hasFaults(config *corev1.ConfigMap) (bool, error) {
	var all []runner.Injection
	if text := config.Data[manifest.FaultsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return false, fmt.Errorf("reading the record of faults in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	for i := range all {
		if all[i].Deadline.IsZero() || time.Now().Before(all[i].Deadline) {
			return true, nil
		}
	}
	return false, nil
}

// AwaitHelpersGone waits until the namespace of the helpers is gone where it goes.
func AwaitHelpersGone(ctx context.Context, c *kubeapi.Client) error {
	ns, err := c.Clientset.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{})
	if err != nil || ns.DeletionTimestamp == nil {
		return nil //nolint:nilerr // it is not there, or is not ours to look at
	}
	return watch.AwaitNamespaceGone(ctx, c, Namespace)
}
