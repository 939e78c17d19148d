package access

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

func TestQuotasThatLeaveNoRoom(t *testing.T) {
	list := func(pairs ...string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for i := 0; i < len(pairs); i += 2 {
			l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return l
	}
	for name, tt := range map[string]struct {
		hard, used corev1.ResourceList
		works      bool
		want       string
	}{
		"room":   {list("pods", "10"), list("pods", "3"), true, "has room for more pods"},
		"none":   {list("pods", "0"), list("pods", "0"), false, "used up: pods 0 of 0"},
		"memory": {list("requests.memory", "1Gi", "pods", "9"), list("requests.memory", "1024Mi", "pods", "1"), false, "used up: requests.memory 1Gi of 1Gi"},
		"others": {list("services.loadbalancers", "0"), list("services.loadbalancers", "0"), true, "has room for more pods"},
		"limits": {list("limits.memory", "1Gi"), list("limits.memory", "0"), true, "bounds limits.memory, so services need resources"},
	} {
		t.Run(name, func(t *testing.T) {
			q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "few", Namespace: "team"}, Status: corev1.ResourceQuotaStatus{Hard: tt.hard, Used: tt.used}}
			found := checkQuotas(t.Context(), &kubeapi.Client{Clientset: fake.NewClientset(q)}, "team")
			if len(found) != 1 || found[0].Name != "quota/few" || found[0].Works != tt.works || !strings.Contains(found[0].What+found[0].Why, tt.want) || tt.works != (found[0].Remedy == "") {
				t.Errorf("got %+v", found)
			}
		})
	}
}
