package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// maxReserved bounds the nodes of one reservation: each gets a privileged pod.
const maxReserved = 50

// Reserved are the objects of the helpers of a reservation, in the namespace of the
// helpers.
type Reserved struct {
	// Orders names the ConfigMaps with their orders, Tokens the Secrets with their
	// tokens.
	Orders, Tokens []string
}

// ReserveAll starts a helper on each node that takes pods, and returns when they are
// ready. They stay until a time, or until RemoveOwner or Unreserve, for an owner that
// has no right to make helpers itself.
func ReserveAll(ctx context.Context, c *kubeapi.Client, owner string, until time.Time) (*Reserved, error) {
	nodes, err := schedulableNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &Reconciler{Client: c, Owner: owner, Agent: FoundAgent(c), Reserved: map[string]time.Time{}, Wanted: nothing}
	for _, node := range nodes {
		r.Reserved[node] = until
	}
	if _, err := r.Reconcile(ctx); err != nil {
		return nil, fmt.Errorf("starting the helpers of nodes: %w", err)
	}
	reserved := &Reserved{}
	pods, err := c.Clientset.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: Selector()})
	if err != nil {
		return nil, fmt.Errorf("listing the helpers of nodes: %w", kubeapi.Explain(err))
	}
	for _, node := range nodes {
		reserved.Orders = append(reserved.Orders, Name(node))
		for i := range pods.Items {
			p := &pods.Items[i]
			if token := SecretOf(&p.Spec); p.Spec.NodeName == node && p.DeletionTimestamp == nil && token != "" && !slices.Contains(reserved.Tokens, token) {
				reserved.Tokens = append(reserved.Tokens, token)
			}
		}
	}
	return reserved, nil
}

// Unreserve ends the reservation of an owner, whose faults are cleared. The helpers
// end by themselves soon.
func Unreserve(ctx context.Context, c *kubeapi.Client, owner string) error {
	r := &Reconciler{Client: c, Owner: owner, Keep: true, Reserved: map[string]time.Time{}, Wanted: nothing}
	_, err := r.Reconcile(ctx)
	return err
}

func nothing(context.Context) (map[string][]order.Pod, error) { return nil, nil }

// schedulableNodes lists the nodes on which pods of systems can come to run.
func schedulableNodes(ctx context.Context, c *kubeapi.Client) ([]string, error) {
	list, err := c.Clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the nodes that need a helper: %w", kubeapi.Explain(err))
	}
	var names []string
	for i := range list.Items {
		if n := &list.Items[i]; takesPods(n) {
			names = append(names, n.Name)
		}
	}
	switch {
	case len(names) == 0:
		return nil, errors.New("no node is ready and takes pods; 'kubectl get nodes' shows why")
	case len(names) > maxReserved:
		return nil, fmt.Errorf("%d nodes would need a helper each, and at most %d get one; run the experiment without --detach, which makes helpers only where its pods are", len(names), maxReserved)
	}
	return names, nil
}

func takesPods(n *corev1.Node) bool {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return ready && len(watch.RepellingTaints(n)) == 0 && !n.Spec.Unschedulable
}
