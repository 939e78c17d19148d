package watch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	corev1 "k8s.io/api/core/v1"
)

const (
	// connectedTimeout bounds the wait for Services after their pods are ready.
	connectedTimeout = time.Minute
	// connectedPause is the time between two questions.
	ConnectedPause = 100 * time.Millisecond
)

// AwaitConnected returns when every service can be reached from every node with
// a pod of the system. Pods are ready before that: their names and the virtual
// addresses of their Services take a moment to become known on each node, and no
// object tells of it, so one pod of each node is asked.
func AwaitConnected(ctx context.Context, pods map[string][]*corev1.Pod, unreachable func(ctx context.Context, pod string) ([]string, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectedTimeout, ErrTimeout)
	defer cancel()
	asked := map[string]string{}
	for _, list := range pods {
		for _, p := range list {
			if Ready(p) && asked[p.Spec.NodeName] == "" {
				asked[p.Spec.NodeName] = p.Name
			}
		}
	}
	var nodes []string
	for node := range asked {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	return kubeapi.Each(len(nodes), func(i int) error { return connectedFrom(ctx, nodes[i], asked[nodes[i]], unreachable) })
}

func connectedFrom(ctx context.Context, node, pod string, unreachable func(ctx context.Context, pod string) ([]string, error)) error {
	for {
		missing, err := unreachable(ctx, pod)
		var refused *controlhttp.StatusError
		if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
			return nil // another program serves, which cannot tell
		}
		if err == nil && len(missing) == 0 {
			return nil
		}
		if len(kubeapi.MissingRights(err)) > 0 {
			return fmt.Errorf("asking pod %q which services it reaches: %w", pod, err)
		}
		select {
		case <-time.After(ConnectedPause):
			continue
		case <-ctx.Done():
		}
		switch cause := context.Cause(ctx); {
		case !errors.Is(cause, ErrTimeout):
			return fmt.Errorf("waiting until its services reach each other: %w", cause)
		case err != nil:
			return fmt.Errorf("asking pod %q which services it reaches: %w", pod, err)
		}
		return fmt.Errorf("from node %q, %s cannot be reached, though the pods are ready; look for a NetworkPolicy, and whether kube-proxy and the DNS of the cluster work", node, strings.Join(missing, ", "))
	}
}
