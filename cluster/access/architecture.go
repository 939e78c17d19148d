package access

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Architecture is that of the machine on which the API server runs, in Go's word,
// such as amd64. All nodes of a sandbox are of it.
func Architecture(ctx context.Context, config *rest.Config) (string, error) {
	c, err := kubeapi.NewClient(kubeapi.Config{REST: config})
	if err != nil {
		return "", err
	}
	v, err := serverVersion(ctx, c.Clientset)
	if err != nil {
		return "", err
	}
	_, arch, found := strings.Cut(v.Platform, "/")
	if !found {
		return "", fmt.Errorf("asking the cluster for its architecture: it calls its platform %q", v.Platform)
	}
	return arch, nil
}

// serverVersion is that of the API server.
func serverVersion(ctx context.Context, client kubernetes.Interface) (*version.Info, error) {
	answer := client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx)
	// Raw has no more of an error than its code: what the server says is in Error.
	if err := answer.Error(); err != nil {
		return nil, fmt.Errorf("asking the cluster for its version: %w", kubeapi.Explain(err))
	}
	raw, err := answer.Raw()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its version: %w", err)
	}
	var v version.Info
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("reading the version of the cluster: %w", err)
	}
	return &v, nil
}

// NodesHave reports whether every node is known to have an image. Users who may not see
// nodes do not know.
func NodesHave(ctx context.Context, config *rest.Config, image string) bool {
	c, err := kubeapi.NewClient(kubeapi.Config{REST: config})
	if err != nil {
		return false
	}
	nodes, err := c.Clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		return false
	}
	return len(nodesWithout(nodes.Items, image)) == 0
}

// nodesWithout names the nodes of which it is not known that they have an image.
func nodesWithout(nodes []corev1.Node, image string) (names []string) {
	for i := range nodes {
		if !slices.ContainsFunc(nodes[i].Status.Images, func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, image) }) {
			names = append(names, nodes[i].Name)
		}
	}
	return names
}
