package manifest

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// The kind by which the operator of Prometheus finds pods to scrape.
const (
	MonitoringGroup   = "monitoring.coreos.com"
	MonitoringVersion = "v1"
	PodMonitorKind    = "PodMonitor"
	// PodMonitors is the name of the resource.
	PodMonitors = "podmonitors"
)

// podMonitor has the metrics of all pods of a system scraped. Its fields are
// those of the operator's API, which is not a library of ours.
func podMonitor(system string, o *Options) *unstructured.Unstructured {
	m := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": MonitoringGroup + "/" + MonitoringVersion,
		"kind":       PodMonitorKind,
		"spec": map[string]any{
			"selector":            map[string]any{"matchLabels": map[string]any{ManagedByLabel: ManagedBy, SystemLabel: system}},
			"podMetricsEndpoints": []any{map[string]any{"port": controlPortName, "path": control.MetricsPath}},
		},
	}}
	m.SetName(ObjectName(system))
	m.SetNamespace(o.Namespace)
	m.SetLabels(CommonLabels(system))
	return m
}
