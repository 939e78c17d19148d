package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

const (
	// deleteTimeout bounds the requests that delete; they go on when their
	// caller's time is over.
	deleteTimeout = 2 * time.Minute
	// goneTimeout bounds the wait until all is gone.
	goneTimeout = 3 * time.Minute
)

// Close deletes all that was made for the system, and waits until it is gone. A
// namespace that was made for it goes, too, unless somebody else uses it. The
// end of ctx bounds the waiting, not the deleting.
func (d *Deployment) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	released := d.release()
	err := d.c.remove(ctx, d.system.Name, d.namespace)
	if err != nil {
		return errors.Join(released, &experiment.CleanupError{
			Left: []string{fmt.Sprintf("objects of system %q in namespace %q", d.system.Name, d.namespace)}, Err: explain(err),
			Remedy: fmt.Sprintf("run 'kubectl microsim down %s -n %s'", d.system.Name, d.namespace),
		})
	}
	return released
}

// Down deletes a system, whole or in parts, wherever Config allows to look.
func (c *Cluster) Down(ctx context.Context, name string) error {
	namespaces, err := c.traces(ctx, name)
	if err != nil {
		return fmt.Errorf("taking down system %q: %w", name, explain(err))
	}
	switch {
	case len(namespaces) == 0:
		return &NotFoundError{name, c.config.Namespace}
	case len(namespaces) > 1:
		return fmt.Errorf("taking down system %q: there is one in each of the namespaces %s; name one with -n", name, strings.Join(namespaces, ", "))
	}
	if err := c.remove(ctx, name, namespaces[0]); err != nil {
		return &experiment.CleanupError{
			Left: []string{fmt.Sprintf("objects of system %q in namespace %q", name, namespaces[0])}, Err: explain(err), Remedy: "run the command again",
		}
	}
	return nil
}

// traces lists the namespaces in which there is anything of a system.
func (c *Cluster) traces(ctx context.Context, name string) ([]string, error) {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(name)}
	var found []string
	see := func(namespace string) {
		if !slices.Contains(found, namespace) {
			found = append(found, namespace)
		}
	}
	if err := c.eachObject(ctx, c.config.Namespace, list, func(_ string, o metav1.Object) { see(o.GetNamespace()) }); err != nil {
		return nil, err
	}
	namespaces, err := c.client.CoreV1().Namespaces().List(ctx, list)
	switch {
	case apierrors.IsForbidden(err): // then it was not made by this user, either
	case err != nil:
		return nil, err
	default:
		for _, ns := range namespaces.Items {
			if c.config.Namespace == "" || c.config.Namespace == ns.Name {
				see(ns.Name)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// remove deletes a system and waits until it is gone.
func (c *Cluster) remove(ctx context.Context, system, namespace string) error {
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	// Pods that go take their faults with them, but their node's helper stays.
	disbanded := ignoreForbidden(c.disband(deleting, helper.SystemOwner(namespace, system)))
	namespaceGoes, err := c.deleteAll(deleting, system, namespace)
	if err := errors.Join(disbanded, err); err != nil {
		return err
	}
	others := func(o metav1.Object) bool {
		return o.GetNamespace() != namespace || o.GetLabels()[manifest.SystemLabel] != system
	}
	if err := c.tidyHelpers(deleting, others); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, goneTimeout, fmt.Errorf("it was not gone after %v", goneTimeout))
	defer cancel()
	if err := c.helpersGone(waiting); err != nil {
		return err
	}
	if namespaceGoes {
		if err := c.namespaceGone(waiting, namespace); err != nil {
			return fmt.Errorf("waiting until namespace %q is gone: %w", namespace, err)
		}
		return nil
	}
	lw := labelled(c.client.CoreV1().RESTClient(), "pods", namespace, manifest.Selector(system))
	if err := until(waiting, lw, &corev1.Pod{}, func(s cache.Store) bool { return len(s.ListKeys()) == 0 }); err != nil {
		return fmt.Errorf("waiting until its pods are gone: %w", err)
	}
	return nil
}

// deleteAll asks for the deletion of all objects of a system, and reports
// whether its namespace goes with them.
func (c *Cluster) deleteAll(ctx context.Context, system, namespace string) (namespaceGoes bool, err error) {
	ns, err := c.client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	// Who may not look at it has not made it.
	if err != nil && !apierrors.IsForbidden(err) {
		return false, err
	}
	if err == nil && madeFor(ns, system) {
		others, err := c.others(ctx, system, namespace)
		if err != nil {
			return false, err
		}
		namespaceGoes = len(others) == 0
		if !namespaceGoes {
			c.config.Progress(fmt.Sprintf("namespace/%s stays: it has objects of others, such as %s", namespace, others[0]))
		}
	}
	if err := c.deletePods(ctx, system, namespace); err != nil {
		return false, err
	}
	if !namespaceGoes {
		return false, c.deleteRest(ctx, system, namespace)
	}
	err = c.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(ns.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return false, err
	}
	return true, nil
}

// deletePods deletes the pods of a system and what makes them. They have nothing
// to finish, so they need no time for it.
func (c *Cluster) deletePods(ctx context.Context, system, namespace string) error {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(system)}
	options := metav1.DeleteOptions{PropagationPolicy: background()}
	if err := c.client.AppsV1().Deployments(namespace).DeleteCollection(ctx, options, list); err != nil {
		return err
	}
	// Before their pods, which they would replace.
	if err := c.client.BatchV1().Jobs(namespace).DeleteCollection(ctx, options, list); err != nil && !apierrors.IsForbidden(err) {
		return err
	}
	soon := int64(1)
	return errors.Join(
		c.client.AppsV1().ReplicaSets(namespace).DeleteCollection(ctx, options, list),
		c.client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &soon}, list))
}

// deleteRest deletes what of a system is left without its pods. With its
// namespace it would go by itself.
func (c *Cluster) deleteRest(ctx context.Context, system, namespace string) error {
	list := metav1.ListOptions{LabelSelector: manifest.Selector(system)}
	options := metav1.DeleteOptions{PropagationPolicy: background()}
	core := c.client.CoreV1()
	return errors.Join(
		core.ConfigMaps(namespace).DeleteCollection(ctx, options, list),
		c.deleteMonitors(ctx, namespace, list),
		c.deleteSecrets(ctx, system, namespace),
		c.deleteServices(ctx, namespace, list))
}

// deleteSecrets deletes the Secrets of a system. Who may not delete all that have
// its labels, as an experiment in the cluster may not, deletes the one that every
// system has.
func (c *Cluster) deleteSecrets(ctx context.Context, system, namespace string) error {
	secrets := c.client.CoreV1().Secrets(namespace)
	err := secrets.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: background()}, metav1.ListOptions{LabelSelector: manifest.Selector(system)})
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
func (c *Cluster) deleteServices(ctx context.Context, namespace string, list metav1.ListOptions) error {
	services := c.client.CoreV1().Services(namespace)
	found, err := services.List(ctx, list)
	if err != nil {
		return err
	}
	return each(len(found.Items), func(i int) error {
		if err := services.Delete(ctx, found.Items[i].Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

// others lists objects in a namespace that do not belong to the system, without
// those that every namespace has.
func (c *Cluster) others(ctx context.Context, system, namespace string) ([]string, error) {
	list := metav1.ListOptions{LabelSelector: manifest.SystemLabel + "!=" + system}
	var others []string
	err := c.eachObject(ctx, namespace, list, func(kind string, o metav1.Object) {
		if kind == "configmap" && o.GetName() == "kube-root-ca.crt" || kind == "secret" && strings.HasPrefix(o.GetName(), "default-token-") {
			return
		}
		others = append(others, kind+"/"+o.GetName())
	})
	if err != nil {
		return nil, err
	}
	pods, err := c.client.CoreV1().Pods(namespace).List(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		others = append(others, "pod/"+pods.Items[i].Name)
	}
	claims, err := c.client.CoreV1().PersistentVolumeClaims(namespace).List(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range claims.Items {
		others = append(others, "persistentvolumeclaim/"+claims.Items[i].Name)
	}
	return others, nil
}
