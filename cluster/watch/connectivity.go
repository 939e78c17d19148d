package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	// ConnectedPause is the time between two questions to a pod.
	ConnectedPause = 100 * time.Millisecond
)

// AwaitConnected returns when every service can be reached from every node with
// a pod of the system. Pods are ready before that: their names and the virtual
// addresses of their Services take a moment to become known on each node, and no
// object tells of it, so one pod of each node is asked.
func AwaitConnected(ctx context.Context, pods map[string][]*corev1.Pod, unreachable func(ctx context.Context, pod string) ([]string, error)) error {
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

// connectedFrom returns when a pod reaches all services, which it is asked again and
// again.
func connectedFrom(ctx context.Context, node, pod string, unreachable func(ctx context.Context, pod string) ([]string, error)) error {
	w := Begin(ctx)
	defer w.Close()
	var missing []string
	var last error
	asking := func(err error) error { return fmt.Errorf("asking pod %q which services it reaches: %w", pod, err) }
	return w.Until(ctx, Condition{
		Waiting: "waiting until its services reach each other", Timeout: connectedTimeout, Every: ConnectedPause,
		Holds: func(ctx context.Context) (bool, error) {
			answer, err := unreachable(ctx, pod)
			if ctx.Err() == nil {
				missing, last = answer, err // the end of the wait is not an answer
			}
			var refused *controlhttp.StatusError
			switch {
			case errors.As(err, &refused) && refused.Code == http.StatusNotFound:
				return true, nil // another program serves, which cannot tell
			case len(kubeapi.MissingRights(err)) > 0:
				return false, asking(err)
			}
			return err == nil && len(answer) == 0, nil
		},
		Late: func() error {
			if last != nil {
				return asking(last)
			}
			return fmt.Errorf("from node %q, %s cannot be reached, though the pods are ready; look for a NetworkPolicy, and whether kube-proxy and the DNS of the cluster work", node, strings.Join(missing, ", "))
		},
	})
}

// reachTimeout bounds one attempt to reach a Service.
const reachTimeout = time.Second

// AwaitReached returns when connections to all addresses (host:port) are taken, from where
// this program runs. A pod that runs a system sends its load to Services, and systems of
// other runtimes have no pod that could be asked.
func AwaitReached(ctx context.Context, addresses []string) error {
	w := Begin(ctx)
	defer w.Close()
	var missing []string
	dialer := net.Dialer{Timeout: reachTimeout}
	return w.Until(ctx, Condition{
		Waiting: "waiting until its services are reached from this pod", Timeout: connectedTimeout, Every: ConnectedPause,
		Holds: func(ctx context.Context) (bool, error) {
			var not []string
			for _, address := range addresses {
				conn, err := dialer.DialContext(ctx, "tcp", address)
				if err != nil {
					not = append(not, address)
					continue
				}
				conn.Close()
			}
			if ctx.Err() == nil {
				missing = not
			}
			return len(not) == 0, nil
		},
		Late: func() error {
			return fmt.Errorf("from this pod, %s cannot be reached, though the pods are ready; look for a NetworkPolicy, and whether kube-proxy and the DNS of the cluster work", strings.Join(missing, ", "))
		},
	})
}
