package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

const (
	// slowAfter is when pods have had more time to end than they need.
	slowAfter = 10 * time.Second
	// lookTimeout bounds the look at what holds a deletion up.
	lookTimeout = 5 * time.Second
)

// AwaitPodsGone returns when no pod that a selector takes is left. Its error, and
// progress, name nodes that are not ready and hold pods up.
func AwaitPodsGone(ctx context.Context, c *kubeapi.Client, namespace, selector string) error {
	return awaiting(ctx, c, namespace, selector, func(ctx context.Context) error { return watch.AwaitPodsGone(ctx, c.Clientset, namespace, selector) })
}

// awaiting waits for the end of pods that a selector takes. If nodes that are not ready
// hold some of them up, it tells so as progress, once, and in the error of wait.
func awaiting(ctx context.Context, c *kubeapi.Client, namespace, selector string, wait func(context.Context) error) error {
	gone := make(chan error, 1)
	go func() { gone <- wait(ctx) }()
	look := time.NewTicker(slowAfter)
	defer look.Stop()
	for told := false; ; {
		select {
		case err := <-gone:
			if why := heldBy(ctx, c, namespace, selector, err != nil); why != "" {
				err = kubeapi.WithNextStep(err, why)
			}
			return err
		case <-look.C:
			if why := heldBy(ctx, c, namespace, selector, !told); why != "" {
				c.Config.Progress(why)
				told = true
			}
		}
	}
}

// heldBy names the pods that cannot end since their node is not ready, with what to do;
// "" if there are none, or if that is not asked. Nodes that the user may not look at are
// taken for ready.
func heldBy(ctx context.Context, c *kubeapi.Client, namespace, selector string, asked bool) string {
	if !asked {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	pods, err := c.Clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return ""
	}
	waiting := map[string][]string{}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.DeletionTimestamp != nil && p.Spec.NodeName != "" {
			waiting[p.Spec.NodeName] = append(waiting[p.Spec.NodeName], p.Name)
		}
	}
	var lost []string
	for name, held := range waiting {
		node, err := c.Clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if why, ready := nodehelper.Ready(node); err == nil && !ready {
			lost = append(lost, fmt.Sprintf("%s on node %q, which is not ready: %s", podsNamed(held), name, strings.TrimSuffix(why, ".")))
		}
	}
	if len(lost) == 0 {
		return ""
	}
	slices.Sort(lost)
	return fmt.Sprintf("nobody confirms the end of %s; mend the node, or if it will not come back, run 'kubectl -n %s delete pods -l %s --force --grace-period=0'", strings.Join(lost, "; "), namespace, selector)
}

// podsNamed names one pod and counts the others.
func podsNamed(names []string) string {
	text := "pod " + slices.Min(names)
	switch n := len(names) - 1; n {
	case 0:
		return text
	case 1:
		return text + " and 1 more"
	default:
		return fmt.Sprintf("%s and %d more", text, n)
	}
}
