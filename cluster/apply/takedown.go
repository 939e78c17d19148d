package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

const (
	// DeleteTimeout bounds the requests that delete; they go on when their
	// caller's time is over.
	DeleteTimeout = 2 * time.Minute
	// GoneTimeout bounds the wait until all is gone.
	GoneTimeout = 3 * time.Minute
)

// FindNamespaces lists the namespaces in which there is anything of a system.
func FindNamespaces(ctx context.Context, c *kubeapi.Client, name string) ([]string, error) {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(name)}
	var found []string
	see := func(namespace string) {
		if !slices.Contains(found, namespace) {
			found = append(found, namespace)
		}
	}
	if err := eachObject(ctx, c, c.Config.Namespace, list, func(_ string, o metav1.Object) { see(o.GetNamespace()) }); err != nil {
		return nil, err
	}
	namespaces, err := c.Clientset.CoreV1().Namespaces().List(ctx, list)
	switch {
	case apierrors.IsForbidden(err): // then it was not made by this user, either
	case err != nil:
		return nil, err
	default:
		for _, ns := range namespaces.Items {
			if c.Config.Namespace == "" || c.Config.Namespace == ns.Name {
				see(ns.Name)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// TakeDown deletes a system and waits until it is gone.
func TakeDown(ctx context.Context, c *kubeapi.Client, system, namespace string) error {
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), DeleteTimeout)
	defer cancel()
	// Pods that go take their faults with them, but their node's helper stays.
	disbanded := kubeapi.IgnoreForbidden(nodehelper.RemoveOwner(deleting, c, order.SystemOwner(namespace, system)))
	namespaceGoes, err := deleteSystem(deleting, c, system, namespace)
	if err := errors.Join(disbanded, err); err != nil {
		return err
	}
	others := func(o metav1.Object) bool {
		return o.GetNamespace() != namespace || o.GetLabels()[manifest.SystemLabel] != system
	}
	if err := nodehelper.DeleteUnusedNamespace(deleting, c, others); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, GoneTimeout, fmt.Errorf("it was not gone after %v", GoneTimeout))
	defer cancel()
	if err := awaiting(waiting, c, nodehelper.Namespace, nodehelper.Selector(), func(ctx context.Context) error { return nodehelper.AwaitHelpersGone(ctx, c) }); err != nil {
		return err
	}
	selector := manifest.Selector(system)
	if namespaceGoes {
		return awaiting(waiting, c, namespace, selector, func(ctx context.Context) error { return watch.AwaitNamespaceGone(ctx, c, namespace) })
	}
	return AwaitPodsGone(waiting, c, namespace, selector)
}

// deleteSystem asks for the deletion of all objects of a system, and reports
// whether its namespace goes with them.
func deleteSystem(ctx context.Context, c *kubeapi.Client, system, namespace string) (namespaceGoes bool, err error) {
	ns, err := c.Clientset.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	// The caller cannot read it, so it did not create it.
	if err != nil && !apierrors.IsForbidden(err) {
		return false, err
	}
	if err == nil && watch.MadeFor(ns, system) {
		others, err := listOthers(ctx, c, system, namespace)
		if err != nil {
			return false, err
		}
		namespaceGoes = len(others) == 0
		if !namespaceGoes {
			c.Config.Progress(fmt.Sprintf("namespace/%s stays: it has objects of others, such as %s", namespace, others[0]))
		}
	}
	if err := deletePods(ctx, c, system, namespace); err != nil {
		return false, err
	}
	if !namespaceGoes {
		return false, deleteRest(ctx, c, system, namespace)
	}
	err = c.Clientset.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(ns.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return false, err
	}
	return true, nil
}

// deletePods deletes the pods of a system and what makes them. They have nothing
// to finish, so they need no time for it.
func deletePods(ctx context.Context, c *kubeapi.Client, system, namespace string) error {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(system)}
	options := metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()}
	if err := c.Clientset.AppsV1().Deployments(namespace).DeleteCollection(ctx, options, list); err != nil {
		return err
	}
	// Before their pods, which they would replace.
	if err := c.Clientset.BatchV1().Jobs(namespace).DeleteCollection(ctx, options, list); err != nil && !apierrors.IsForbidden(err) {
		return err
	}
	soon := int64(1)
	return errors.Join(
		c.Clientset.AppsV1().ReplicaSets(namespace).DeleteCollection(ctx, options, list),
		c.Clientset.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &soon}, list))
}

// deleteRest deletes what of a system is left without its pods. With its
// namespace it would go by itself.
func deleteRest(ctx context.Context, c *kubeapi.Client, system, namespace string) error {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(system)}
	options := metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()}
	core := c.Clientset.CoreV1()
	return errors.Join(
		core.ConfigMaps(namespace).DeleteCollection(ctx, options, list),
		DeleteMonitors(ctx, c, namespace, list),
		deleteSecrets(ctx, c, system, namespace),
		deleteServices(ctx, c, namespace, list))
}

// deleteSecrets deletes the Secrets of a system. Without the right to delete them
// by label, as in a detached run, it deletes the one Secret that every system has.
func deleteSecrets(ctx context.Context, c *kubeapi.Client, system, namespace string) error {
	secrets := c.Clientset.CoreV1().Secrets(namespace)
	err := secrets.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()}, metav1.ListOptions{LabelSelector: manifest.Selector(system)})
	if !apierrors.IsForbidden(err) {
		return err
	}
	secret, err := secrets.Get(ctx, manifest.ObjectName(system), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && !belongs(secret, system) {
		return nil
	}
	if err == nil {
		err = secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(secret.UID))})
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// deleteServices deletes Services one by one, as older API servers ask for.
func deleteServices(ctx context.Context, c *kubeapi.Client, namespace string, list metav1.ListOptions) error {
	services := c.Clientset.CoreV1().Services(namespace)
	found, err := services.List(ctx, list)
	if err != nil {
		return err
	}
	return kubeapi.Each(len(found.Items), func(i int) error {
		if err := services.Delete(ctx, found.Items[i].Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

// listOthers lists objects in a namespace that do not belong to the system, without
// those that every namespace has.
func listOthers(ctx context.Context, c *kubeapi.Client, system, namespace string) ([]string, error) {
	list := metav1.ListOptions{LabelSelector: manifest.SystemLabel + "!=" + system}
	var others []string
	err := eachObject(ctx, c, namespace, list, func(kind string, o metav1.Object) {
		if kind == "configmap" && o.GetName() == "kube-root-ca.crt" || kind == "secret" && strings.HasPrefix(o.GetName(), "default-token-") {
			return
		}
		others = append(others, kind+"/"+o.GetName())
	})
	if err != nil {
		return nil, err
	}
	pods, err := c.Clientset.CoreV1().Pods(namespace).List(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		others = append(others, "pod/"+pods.Items[i].Name)
	}
	claims, err := c.Clientset.CoreV1().PersistentVolumeClaims(namespace).List(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range claims.Items {
		others = append(others, "persistentvolumeclaim/"+claims.Items[i].Name)
	}
	return others, nil
}
