package watch

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

func MadeByUs(ns *corev1.Namespace) bool {
	return ns.Labels[manifest.ManagedByLabel] == manifest.ManagedBy
}

func MadeFor(ns *corev1.Namespace, system string) bool {
	return MadeByUs(ns) && ns.Labels[manifest.SystemLabel] == system
}

// SettledNamespace returns the namespace, or nil where there is none. One that
// is being deleted is waited for.
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
	waiting, cancel := context.WithTimeout(ctx, c.Config.ReadyTimeout)
	defer cancel()
	if err := AwaitNamespaceGone(waiting, c, name); err != nil {
		return nil, fmt.Errorf("waiting until the namespace %q, which is being deleted, is gone: %w; 'kubectl get namespace %s -o yaml' shows what holds it", name, err, name)
	}
	return nil, nil
}

func AwaitNamespaceGone(ctx context.Context, c *kubeapi.Client, name string) error {
	only := func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name }
	lw := cache.NewFilteredListWatchFromClient(c.Clientset.CoreV1().RESTClient(), "namespaces", "", only)
	return Until(ctx, lw, &corev1.Namespace{}, func(s cache.Store) bool { return len(s.ListKeys()) == 0 })
}
