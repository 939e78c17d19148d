package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// monitoringClient speaks of PodMonitors, for which there is no typed client
// here.
func monitoringClient(config *rest.Config, client *http.Client) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: manifest.MonitoringGroup, Version: manifest.MonitoringVersion}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	return rest.RESTClientForConfigAndClient(config, client)
}

// hasPodMonitors reports whether the cluster knows PodMonitors, by which the
// operator of Prometheus finds what to scrape.
func (c *Cluster) hasPodMonitors(ctx context.Context) (bool, error) {
	raw, err := c.monitoring.Get().AbsPath("/apis", manifest.MonitoringGroup, manifest.MonitoringVersion).Do(ctx).Raw()
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether the cluster knows PodMonitors: %w", err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return false, fmt.Errorf("reading which kinds the cluster knows: %w", err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == manifest.PodMonitors }), nil
}

// buildFor is build for this very cluster, with what it knows.
func (c *Cluster) buildFor(ctx context.Context, system *topology.System, seed uint64, p *place) ([]object, error) {
	if c.config.PodMonitor != nil {
		p.monitored = *c.config.PodMonitor
		return c.build(system, seed, p)
	}
	var err error
	if p.monitored, err = c.hasPodMonitors(ctx); err != nil {
		return nil, fmt.Errorf("planning system %q: %w", system.Name, explain(err))
	}
	return c.build(system, seed, p)
}

// splitMonitor takes the PodMonitor out of the objects of a system; nil where
// there is none.
func splitMonitor(objects []object) (others []object, monitor object) {
	for _, o := range objects {
		if o.GetKind() == manifest.PodMonitorKind {
			monitor = o
			continue
		}
		others = append(others, o)
	}
	return others, monitor
}

// applyMonitor applies a PodMonitor. One that nobody has asked for is left out
// where the user may not make it.
func (c *Cluster) applyMonitor(ctx context.Context, monitor object) error {
	if monitor == nil {
		return nil
	}
	_, err := c.patch(ctx, monitor, false)
	switch {
	case c.leavesOut(monitor, err):
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("making podmonitor/%s: the cluster does not know this kind; leave --pod-monitor out, or install the operator of Prometheus: %w", monitor.GetName(), err)
	}
	return err
}

// leavesOut reports, and tells, that an object is gone without: a PodMonitor that
// nobody has asked for, where the user may not make any.
func (c *Cluster) leavesOut(o object, err error) bool {
	if o.GetKind() != manifest.PodMonitorKind || c.config.PodMonitor != nil || !apierrors.IsForbidden(err) {
		return false
	}
	c.config.Progress(fmt.Sprintf("podmonitor/%s left out: %v; --pod-monitor=false does so without a word", o.GetName(), err))
	return true
}

// deleteMonitors deletes PodMonitors, where the cluster knows the kind and the
// user may have made any.
func (c *Cluster) deleteMonitors(ctx context.Context, namespace string, list metav1.ListOptions) error {
	err := c.monitoring.Delete().Namespace(namespace).Resource(manifest.PodMonitors).
		Param("labelSelector", list.LabelSelector).Do(ctx).Error()
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return err
}
