package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

const (
	// taintsTimeout bounds the look at the taints of nodes.
	taintsTimeout = 5 * time.Second
	// shownTaints is how many nodes are named with their taints.
	shownTaints = 3
)

// ownTaint tells of taints that Kubernetes itself sets, by the state or the role of a node:
// they are not to be taken away by hand.
func ownTaint(taint string) bool {
	return strings.HasPrefix(taint, "node.kubernetes.io/") || strings.HasPrefix(taint, "node-role.kubernetes.io/")
}

// RepellingTaints are the taints by which a node takes no pods of systems, which tolerate
// none, each as kubectl writes it: KEY=VALUE:EFFECT.
func RepellingTaints(node *corev1.Node) (taints []string) {
	for i := range node.Spec.Taints {
		if t := &node.Spec.Taints[i]; t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, t.ToString())
		}
	}
	return taints
}

// NameTaints adds to a diagnosis which taints keep a pod from which nodes: the scheduler
// only counts them. Nothing is added for users who may not look at nodes.
func (d *Diagnosis) NameTaints(ctx context.Context, c *kubeapi.Client) {
	if d.Key != unschedulable || !strings.Contains(d.Text, untolerated) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, taintsTimeout)
	defer cancel()
	list, err := c.Clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	var named []string
	step, more := "", 0
	for i := range list.Items {
		n := &list.Items[i]
		taints := RepellingTaints(n)
		if len(taints) == 0 {
			continue
		}
		if len(named) == shownTaints {
			more++
			continue
		}
		named = append(named, fmt.Sprintf("node %q has %s", n.Name, strings.Join(taints, ", ")))
		for _, t := range taints {
			if step == "" && !ownTaint(t) {
				step = fmt.Sprintf("; 'kubectl taint nodes %s %s-' takes that taint away", n.Name, t)
			}
		}
	}
	if len(named) == 0 {
		return
	}
	if more > 0 {
		named = append(named, fmt.Sprintf("%d more have taints", more))
	}
	d.Text += ": " + strings.Join(named, "; ") + step
}
