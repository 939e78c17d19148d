package access

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// NodeArchitectures lists those of the nodes that take pods, in Go's words: first
// the one of this machine, then by how many nodes have it. Where nodes may not be
// listed, the one of this machine is taken for theirs.
func NodeArchitectures(ctx context.Context, c kubernetes.Interface) ([]string, error) {
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return []string{runtime.GOARCH}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of the cluster: %w", kubeapi.Explain(err))
	}
	count := map[string]int{}
	for i := range nodes.Items {
		if n := &nodes.Items[i]; !n.Spec.Unschedulable && n.Status.NodeInfo.Architecture != "" {
			count[n.Status.NodeInfo.Architecture]++
		}
	}
	if len(count) == 0 {
		return []string{runtime.GOARCH}, nil
	}
	var all []string
	for arch := range count {
		all = append(all, arch)
	}
	slices.SortFunc(all, func(a, b string) int {
		if own := a == runtime.GOARCH; own != (b == runtime.GOARCH) {
			if own {
				return -1
			}
			return 1
		}
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	return all, nil
}

// NodeArchitecture is the first of NodeArchitectures.
func NodeArchitecture(ctx context.Context, config *rest.Config) (string, error) {
	c, err := kubeapi.NewClient(kubeapi.Config{REST: config})
	if err != nil {
		return "", err
	}
	all, err := NodeArchitectures(ctx, c.Clientset)
	if err != nil {
		return "", err
	}
	return all[0], nil
}
