package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
)

// A networkBackend is one way to break networks, as the helper of a node tells of
// it.
type networkBackend struct {
	Name  string `json:"name"`
	Works bool   `json:"works"`
	Why   string `json:"why,omitempty"`
}

// probeHelper asks the helper of a node, which is made for it where there is none and
// ended again.
func probeHelper(ctx context.Context, c *Client, node string, backends *[]networkBackend) (err error) {
	if err := ensureNamespace(ctx, c); err != nil {
		return err
	}
	configs := c.client.CoreV1().ConfigMaps(helper.Namespace)
	_, err = configs.Create(ctx, helper.NewOrders(node), metav1.CreateOptions{FieldManager: FieldManager})
	made := err == nil
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a helper for node %q: %w", node, err)
	}
	if made {
		defer func() { err = errors.Join(err, endProbe(context.WithoutCancel(ctx), c, node)) }()
	}
	v := &visit{c: c, node: node, agent: foundAgent(c)}
	return v.order(ctx, http.MethodGet, "/backends", nil, backends)
}

// endProbe takes back what probe has made, unless somebody has given the helper
// orders since.
func endProbe(ctx context.Context, c *Client, node string) error {
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	configs := c.client.CoreV1().ConfigMaps(helper.Namespace)
	config, err := configs.Get(ctx, helper.Name(node), metav1.GetOptions{})
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
	return tidyHelpers(ctx, c, everySystem)
}

// foundAgent runs helpers with the image that is found for them.
func foundAgent(c *Client) func(context.Context) (helper.Options, error) {
	return func(ctx context.Context) (helper.Options, error) {
		image, policy, err := c.config.FindImage(ctx)
		return helper.Options{Image: image, PullPolicy: policy, Priority: helper.PriorityClass}, err
	}
}
