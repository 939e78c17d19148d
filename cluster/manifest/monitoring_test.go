package manifest

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestMonitoringBelongsToTheSystem(t *testing.T) {
	objects := BuildMonitoring(&Monitoring{
		System: "shop", Namespace: "shops", Interval: "3s", Labels: map[string]string{"release": "monitoring"},
		Groups: []any{map[string]any{"name": "g"}}, Dashboards: map[string]string{"a.json": "{}"},
	})
	for i, kind := range []string{PodMonitorKind, PrometheusRuleKind, "ConfigMap"} {
		o := objects[i]
		if o.GetKind() != kind || o.GetNamespace() != "shops" || o.GetLabels()[SystemLabel] != "shop" || o.GetLabels()[ManagedByLabel] != ManagedBy {
			t.Errorf("object %d is %s %s/%s with %v, want a %s", i, o.GetKind(), o.GetNamespace(), o.GetName(), o.GetLabels(), kind)
		}
		if release := o.GetLabels()["release"]; (release == "monitoring") != (kind != "ConfigMap") {
			t.Errorf("%s has the label release=%q", kind, release)
		}
	}
	// `up` deletes what its file does not name, but for objects with a role.
	if labels := objects[2].GetLabels(); labels[RoleLabel] == "" || labels[DashboardLabel] != "1" {
		t.Errorf("the dashboards have the labels %v", labels)
	}
	endpoints, _, _ := unstructured.NestedSlice(objects[0].Object, "spec", "podMetricsEndpoints")
	if e := endpoints[0].(map[string]any); e["interval"] != "3s" || e["honorLabels"] != true || len(e["relabelings"].([]any)) != 3 {
		t.Errorf("the PodMonitor scrapes %v", e)
	}
}
