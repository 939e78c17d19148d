package detached

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Delete deletes an experiment with its results and, where it has not
// taken it down itself, its system. One that runs is ended. It returns when all
// is gone.
func Delete(ctx context.Context, c *kubeapi.Client, x *Experiment) error {
	err := deleteObjects(ctx, c, x)
	if err == nil {
		err = deleteSystemOf(ctx, c, x)
	}
	if err == nil {
		err = nodehelper.DeleteUnusedNamespace(ctx, c, nodehelper.EverySystem)
	}
	if err != nil {
		return &runner.CleanupError{
			Left: []string{fmt.Sprintf("objects of experiment %q and system %q in namespace %q", x.Name, x.System, x.Namespace)}, Err: kubeapi.Explain(err),
			Remedy: "run " + c.Command("down", x.Name, x.System, "-n", x.Namespace, "--ignore-not-found"),
		}
	}
	return nil
}

// deleteObjects deletes what carries the label of an experiment: first its
// program, which would not understand what happens to it otherwise, and last the
// ConfigMap by which it is found.
func deleteObjects(ctx context.Context, c *kubeapi.Client, x *Experiment) error {
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), apply.DeleteTimeout)
	defer cancel()
	list := metav1.ListOptions{LabelSelector: manifest.ExperimentSelector(x.Name)}
	options := metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()}
	soon := int64(1)
	if err := c.Clientset.BatchV1().Jobs(x.Namespace).DeleteCollection(deleting, options, list); err != nil {
		return err
	}
	if err := c.Clientset.CoreV1().Pods(x.Namespace).DeleteCollection(deleting, metav1.DeleteOptions{GracePeriodSeconds: &soon}, list); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, apply.GoneTimeout, fmt.Errorf("it was not gone after %v", apply.GoneTimeout))
	defer cancel()
	if err := apply.AwaitPodsGone(waiting, c, x.Namespace, list.LabelSelector); err != nil {
		return err
	}
	deleting, cancel = context.WithTimeout(context.WithoutCancel(ctx), apply.DeleteTimeout)
	defer cancel()
	if err := deleteRights(deleting, c, x, options, list); err != nil {
		return err
	}
	return c.Clientset.CoreV1().ConfigMaps(x.Namespace).DeleteCollection(deleting, options, list)
}

func deleteRights(ctx context.Context, c *kubeapi.Client, x *Experiment, options metav1.DeleteOptions, list metav1.ListOptions) error {
	rbac := c.Clientset.RbacV1()
	// In the namespace of the helpers there may be an experiment of the same
	// name from another namespace, so these have names of their own.
	name := manifest.HelperRightsName(x.Name, x.Namespace)
	errs := []error{
		rbac.RoleBindings(x.Namespace).DeleteCollection(ctx, options, list),
		rbac.Roles(x.Namespace).DeleteCollection(ctx, options, list),
		c.Clientset.CoreV1().ServiceAccounts(x.Namespace).DeleteCollection(ctx, options, list),
		orMissing(rbac.RoleBindings(nodehelper.Namespace).Delete(ctx, name, options)),
		orMissing(rbac.Roles(nodehelper.Namespace).Delete(ctx, name, options)),
	}
	return errors.Join(errs...)
}

// orMissing takes it for done that there is nothing to delete, or nothing that
// this user could have made.
func orMissing(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

// deleteSystemOf deletes the system of an experiment that is gone, and the
// namespace where it was made for it. A system that somebody brought up after
// the experiment had taken its own down is not its business.
func deleteSystemOf(ctx context.Context, c *kubeapi.Client, x *Experiment) error {
	if x.Results != nil && !x.Results.LeftSystem {
		d, err := c.Clientset.CoreV1().ConfigMaps(x.Namespace).Get(ctx, manifest.ObjectName(x.System), metav1.GetOptions{})
		if err == nil && d.CreationTimestamp.After(x.Ended) {
			c.Config.Progress(fmt.Sprintf("system/%s stays: it was brought up after the experiment", x.System))
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return apply.TakeDown(ctx, c, x.System, x.Namespace)
}
