package watch

import (
	"context"
	"fmt"

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

// AwaitNamespaceGone waits until the namespace has been deleted, because objects
// cannot be created in it before.
func AwaitNamespaceGone(ctx context.Context, c *kubeapi.Client, name string) error {
	waiting := fmt.Sprintf("waiting until namespace %q is gone", name)
	return AwaitObjects(ctx, Named(c.Clientset.CoreV1().RESTClient(), "namespaces", "", name), &corev1.Namespace{}, waiting, none[*corev1.Namespace])
}
