package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// HasPodMonitors reports whether the cluster knows PodMonitors, by which the
// operator of Prometheus finds what to scrape.
func HasPodMonitors(ctx context.Context, c *kubeapi.Client) (bool, error) {
	known, err := monitoringKinds(ctx, c)
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return slices.Contains(known, manifest.PodMonitors), err
}

// monitoringKinds are the resources of the operator of Prometheus that the cluster knows.
func monitoringKinds(ctx context.Context, c *kubeapi.Client) (resources []string, err error) {
	answer := c.Monitoring.Get().AbsPath("/apis", manifest.MonitoringGroup, manifest.MonitoringVersion).Do(ctx)
	// Raw has no more of an error than its code: what the server says is in Error.
	err = answer.Error()
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking whether the cluster knows PodMonitors: %w", err)
	}
	raw, err := answer.Raw()
	if err != nil {
		return nil, fmt.Errorf("reading which kinds the cluster knows: %w", err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("reading which kinds the cluster knows: %w", err)
	}
	for i := range list.APIResources {
		resources = append(resources, list.APIResources[i].Name)
	}
	return resources, nil
}

// Monitoring applies the objects that have a system watched, all of them or none: the API
// server checks them first, with the rights of the user.
func Monitoring(ctx context.Context, c *kubeapi.Client, objects []Object) error {
	known, err := monitoringKinds(ctx, c)
	if err != nil {
		return kubeapi.Explain(err)
	}
	for _, resource := range []string{manifest.PodMonitors, manifest.PrometheusRules} {
		if !slices.Contains(known, resource) {
			return fmt.Errorf("the cluster does not know %s.%s, so there is no operator of Prometheus; install kube-prometheus (https://prometheus-operator.dev/docs/getting-started/installation/) or the Helm chart kube-prometheus-stack, and try again", resource, manifest.MonitoringGroup)
		}
	}
	for _, dryRun := range []bool{true, false} {
		err := kubeapi.Each(len(objects), func(i int) error {
			_, err := patch(ctx, c, objects[i], dryRun)
			return err
		})
		if err != nil {
			return kubeapi.Explain(kubeapi.Summarize(err))
		}
	}
	return nil
}

// SplitMonitor takes the PodMonitor out of the objects of a system; nil where
// there is none.
func SplitMonitor(objects []Object) (others []Object, monitor Object) {
	for _, o := range objects {
		if o.GetKind() == manifest.PodMonitorKind {
			monitor = o
			continue
		}
		others = append(others, o)
	}
	return others, monitor
}

// ApplyMonitor applies a PodMonitor. One that nobody has asked for is left out
// where the user may not make it.
func ApplyMonitor(ctx context.Context, c *kubeapi.Client, monitor Object) error {
	if monitor == nil {
		return nil
	}
	_, err := patch(ctx, c, monitor, false)
	switch {
	case leavesOut(c, monitor, err):
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("making podmonitor/%s: the cluster does not know this kind; leave --pod-monitor out, or install the operator of Prometheus: %w", monitor.GetName(), err)
	}
	return err
}

// leavesOut reports, and tells, that an object is gone without: a PodMonitor that
// nobody has asked for, where the user may not make any.
func leavesOut(c *kubeapi.Client, o Object, err error) bool {
	if o.GetKind() != manifest.PodMonitorKind || c.Config.PodMonitor != nil || !apierrors.IsForbidden(err) {
		return false
	}
	c.Config.Progress(fmt.Sprintf("podmonitor/%s left out: %v; --pod-monitor=false does so without a word", o.GetName(), err))
	return true
}

// DeleteMonitors deletes PodMonitors and PrometheusRules, where the cluster knows the
// kinds and the user may have made any.
func DeleteMonitors(ctx context.Context, c *kubeapi.Client, namespace string, list metav1.ListOptions) error {
	for _, resource := range []string{manifest.PodMonitors, manifest.PrometheusRules} {
		err := c.Monitoring.Delete().Namespace(namespace).Resource(resource).
			Param("labelSelector", list.LabelSelector).Do(ctx).Error()
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsMethodNotSupported(err) {
			return err
		}
	}
	return nil
}
