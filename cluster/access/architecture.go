package access

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Architecture is that of the machine on which the API server runs, in Go's word,
// such as amd64. All nodes of a sandbox are of it.
func Architecture(ctx context.Context, config *rest.Config) (string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("preparing to speak to the cluster at %q: %w", config.Host, err)
	}
	v, err := serverVersion(ctx, client)
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
