package access

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

// checkQuotas tells which quotas of a namespace leave no room for pods. Users who may not
// see quotas see none.
func checkQuotas(ctx context.Context, c *kubeapi.Client, namespace string) (findings []Check) {
	quotas, err := c.Clientset.CoreV1().ResourceQuotas(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	for i := range quotas.Items {
		// Those with scopes are for some pods, of which ours may be none.
		if q := &quotas.Items[i]; len(q.Spec.Scopes) == 0 && q.Spec.ScopeSelector == nil {
			findings = append(findings, checkQuota(q))
		}
	}
	return findings
}

// systemsUse are the resources of quotas that every system takes of.
func systemsUse() []corev1.ResourceName {
	return []corev1.ResourceName{
		"pods", "count/pods", "cpu", "requests.cpu", "limits.cpu", "memory", "requests.memory", "limits.memory", "services", "count/services",
		"secrets", "count/secrets", "configmaps", "count/configmaps", "count/deployments.apps", "count/replicasets.apps",
	}
}

// checkQuota tells whether a quota leaves room for more pods.
func checkQuota(quota *corev1.ResourceQuota) Check {
	f := Check{Name: "quota/" + quota.Name, What: "namespace " + quota.Namespace + " has room for more pods", Works: true}
	var full, wants []string
	for name, hard := range quota.Status.Hard {
		if !slices.Contains(systemsUse(), name) {
			continue
		}
		used := quota.Status.Used[name]
		if used.Cmp(hard) >= 0 {
			full = append(full, fmt.Sprintf("%s %s of %s", name, used.String(), hard.String()))
		}
		if strings.HasPrefix(string(name), "limits.") {
			wants = append(wants, string(name))
		}
	}
	slices.Sort(full)
	slices.Sort(wants)
	switch {
	case len(full) > 0:
		f.Works, f.Why, f.Remedy = false, "it is used up: "+strings.Join(full, ", "), "ask for a larger quota, or use another namespace with -n"
	case len(wants) > 0:
		f.What += "; it bounds " + strings.Join(wants, ", ") + ", so services need resources in their file, and loads a LimitRange with defaults"
	}
	return f
}
