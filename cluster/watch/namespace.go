package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// MadeByUs reports whether this program has made a namespace.
func MadeByUs(ns *corev1.Namespace) bool {
	return ns.Labels[manifest.ManagedByLabel] == manifest.ManagedBy
}

// MadeFor reports whether this program has made a namespace for a system.
func MadeFor(ns *corev1.Namespace, system string) bool {
	return MadeByUs(ns) && ns.Labels[manifest.SystemLabel] == system
}

// SettledNamespace returns the namespace, or nil if there is none. It waits
// until one that is being deleted is gone.
func SettledNamespace(ctx context.Context, c *kubeapi.Client, name string) (*corev1.Namespace, error) {
	ns, err := c.Clientset.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if ns.DeletionTimestamp == nil {
		return ns, nil
	}
	c.Config.Progress(fmt.Sprintf("namespace/%s is being deleted; waiting until it is gone", name))
	waiting, cancel := context.WithTimeoutCause(ctx, c.Config.ReadyTimeout, fmt.Errorf("it was not gone after %v", c.Config.ReadyTimeout))
	defer cancel()
	if err := AwaitNamespaceGone(waiting, c, name); err != nil {
		return nil, fmt.Errorf("%w; 'kubectl get namespace %s -o yaml' shows what holds it", err, name)
	}
	return nil, nil
}

// slowDeletion is when a namespace has had more time to go than it needs.
const slowDeletion = 10 * time.Second

// AwaitNamespaceGone waits until the namespace has been deleted, because objects
// cannot be created in it before. Its error, and progress, say what holds the deletion up.
func AwaitNamespaceGone(ctx context.Context, c *kubeapi.Client, name string) error {
	w := Begin(ctx)
	w.Tell = c.Once
	defer w.Close()
	found := Follow(w, Named(c.Clientset.CoreV1().RESTClient(), "namespaces", "", name), &corev1.Namespace{})
	started, why := time.Now(), ""
	err := w.Until(ctx, Condition{
		Waiting: fmt.Sprintf("waiting until namespace %q is gone", name), Every: Tick,
		Holds: func(context.Context) (bool, error) {
			all := found()
			if len(all) == 0 {
				return true, nil
			}
			if why = heldUp(all[0]); why != "" && time.Since(started) > slowDeletion {
				c.Once(fmt.Sprintf("namespace/%s is not gone yet: %s", name, why))
			}
			return false, nil
		},
	})
	if err != nil && why != "" {
		return kubeapi.WithNextStep(err, why)
	}
	return err
}

// heldUp says why a namespace is not gone, as the controller that deletes it tells; "" if it
// does not.
func heldUp(ns *corev1.Namespace) string {
	for _, kind := range []corev1.NamespaceConditionType{
		corev1.NamespaceDeletionDiscoveryFailure, corev1.NamespaceDeletionGVParsingFailure, corev1.NamespaceDeletionContentFailure,
		corev1.NamespaceFinalizersRemaining, corev1.NamespaceContentRemaining,
	} {
		for _, condition := range ns.Status.Conditions {
			if condition.Type != kind || condition.Status != corev1.ConditionTrue {
				continue
			}
			text := strings.TrimSuffix(OneLine(condition.Message), ".")
			if kind == corev1.NamespaceDeletionDiscoveryFailure {
				text += "; nothing of it may be left, but an API of the cluster cannot tell: 'kubectl get apiservices' shows which is not available, to be mended or deleted"
			}
			return text
		}
	}
	return ""
}
