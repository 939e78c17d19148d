package manifest

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// The kinds by which the operator of Prometheus finds pods to scrape and rules to
// evaluate.
const (
	MonitoringGroup    = "monitoring.coreos.com"
	MonitoringVersion  = "v1"
	PodMonitorKind     = "PodMonitor"
	PrometheusRuleKind = "PrometheusRule"
	// PodMonitors and PrometheusRules are the names of the resources.
	PodMonitors     = "podmonitors"
	PrometheusRules = "prometheusrules"
)

// ScrapeInterval is the time between two scrapes, as the operator writes times, unless
// somebody asks for another.
const ScrapeInterval = "5s"

const (
	// DashboardLabel has the sidecar of Grafana load what a ConfigMap has.
	DashboardLabel = "grafana_dashboard"
	// DashboardsRole is the RoleLabel of that ConfigMap.
	DashboardsRole = "dashboards"
)

// Monitoring says how a system is watched.
type Monitoring struct {
	System, Namespace string
	// Interval is the time between two scrapes, as the operator writes times.
	Interval string
	// Labels are more labels of the PodMonitor and the PrometheusRule, by which an
	// operator may select them.
	Labels map[string]string
	// Groups are the groups of rules, and Dashboards the files of Grafana, by name.
	Groups     []any
	Dashboards map[string]string
}

// BuildMonitoring makes the objects that have a system watched: a PodMonitor, a
// PrometheusRule, and a ConfigMap with dashboards.
func BuildMonitoring(m *Monitoring) []*unstructured.Unstructured {
	rule := monitoringObject(PrometheusRuleKind, m, map[string]any{"groups": m.Groups})
	dashboards := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	dashboards.SetName(ObjectName(m.System) + "-dashboards")
	dashboards.SetNamespace(m.Namespace)
	labels := CommonLabels(m.System)
	labels[RoleLabel], labels[DashboardLabel] = DashboardsRole, "1"
	dashboards.SetLabels(labels)
	data := map[string]any{}
	for name, text := range m.Dashboards {
		data[name] = text
	}
	dashboards.Object["data"] = data
	return []*unstructured.Unstructured{podMonitor(m), rule, dashboards}
}

// podMonitor has the metrics of all services of a system scraped. Its fields are those of
// the operator's API, which is not a library of ours. Series have the same labels as on
// other targets; a replica is a pod.
func podMonitor(m *Monitoring) *unstructured.Unstructured {
	relabel := func(from, to string) any {
		return map[string]any{"sourceLabels": []any{from}, "targetLabel": to}
	}
	return monitoringObject(PodMonitorKind, m, map[string]any{
		"selector": map[string]any{
			"matchLabels":      map[string]any{ManagedByLabel: ManagedBy, SystemLabel: m.System},
			"matchExpressions": []any{map[string]any{"key": ServiceLabel, "operator": "Exists"}},
		},
		"podMetricsEndpoints": []any{map[string]any{
			"port": controlPortName, "path": control.MetricsPath, "interval": m.Interval,
			// The operator has a label endpoint of its own, and services have one, too.
			"honorLabels": true,
			"relabelings": []any{
				relabel("__meta_kubernetes_pod_label_microsim_dev_system", "system"),
				relabel("__meta_kubernetes_pod_label_microsim_dev_service", control.LabelService),
				relabel("__meta_kubernetes_pod_name", "replica"),
			},
		}},
	})
}

func monitoringObject(kind string, m *Monitoring, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": MonitoringGroup + "/" + MonitoringVersion, "kind": kind, "spec": spec,
	}}
	o.SetName(ObjectName(m.System))
	o.SetNamespace(m.Namespace)
	labels := CommonLabels(m.System)
	for key, value := range m.Labels {
		labels[key] = value
	}
	o.SetLabels(labels)
	return o
}
