package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// ProbeHelper asks the helper of a node, which is made for it where there is none and
// ended again.
func ProbeHelper(ctx context.Context, c *kubeapi.Client, node string, backends *[]control.Backend) (err error) {
	if err := EnsureNamespace(ctx, c); err != nil {
		return err
	}
	configs := c.Clientset.CoreV1().ConfigMaps(Namespace)
	_, err = configs.Create(ctx, NewOrders(node), metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
	made := err == nil
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a helper for node %q: %w", node, err)
	}
	if made {
		defer func() { err = errors.Join(err, endProbe(context.WithoutCancel(ctx), c, node)) }()
	}
	h := &helperClient{c: c, node: node, agent: FoundAgent(c)}
	return h.do(ctx, request{method: http.MethodGet, path: control.NodeBackendsPath, answer: backends})
}

// endProbe takes back what probe has made, unless somebody has given the helper
// orders since.
func endProbe(ctx context.Context, c *kubeapi.Client, node string) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	configs := c.Clientset.CoreV1().ConfigMaps(Namespace)
	config, err := configs.Get(ctx, Name(node), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && len(config.Data) > 0 {
		return nil
	}
	if err == nil {
		err = configs.Delete(ctx, config.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion}})
	}
	switch {
	case apierrors.IsConflict(err):
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("ending the helper of node %q: %w", node, err)
	}
	if err := endHelper(ctx, c, node); err != nil {
		return fmt.Errorf("ending the helper of node %q: %w", node, err)
	}
	return DeleteUnusedNamespace(ctx, c, EverySystem)
}

// FoundAgent runs helpers with the image that is found for them.
func FoundAgent(c *kubeapi.Client) func(context.Context) (Options, error) {
	return func(ctx context.Context) (Options, error) {
		image, policy, err := c.Config.FindImage(ctx)
		return Options{Image: image, PullPolicy: policy, PullSecret: c.Config.PullSecret, Priority: PriorityClass}, err
	}
}
