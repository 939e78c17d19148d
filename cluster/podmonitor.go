package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// hasPodMonitors reports whether the cluster knows PodMonitors, by which the
// operator of Prometheus finds what to scrape.
func (c *Cluster) hasPodMonitors(ctx context.Context) (bool, error) {
	raw, err := c.client.Discovery().RESTClient().Get().AbsPath("/apis", manifest.MonitoringGroup, manifest.MonitoringVersion).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether the cluster knows PodMonitors: %w", err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return false, fmt.Errorf("reading which kinds the cluster knows: %w", err)
	}
	for _, r := range list.APIResources {
		if r.Name == manifest.PodMonitors {
			return true, nil
		}
	}
	return false, nil
}
