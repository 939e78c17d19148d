package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Pods say that they are ready for a while after their node is gone.
func TestStatusLooksAtNodes(t *testing.T) {
	c := apitest.New(t).Client(t, kubeapi.Config{})
	core := apitest.Outside(t, c).CoreV1()
	for name, ready := range map[string]corev1.ConditionStatus{"fine": corev1.ConditionTrue, "silent": corev1.ConditionUnknown} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Message: "Its kubelet is silent."}}}}
		if _, err := core.Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	cart := topology.NewService("cart")
	cart.Replicas = 3
	for i, node := range []string{"fine", "gone", "silent"} {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "cart-" + node, Labels: manifest.ServiceLabels("shop", "cart"), CreationTimestamp: metav1.NewTime(time.Unix(int64(1e9+i), 0))},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}
		if _, err := core.Pods("shop").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	d := &Deployment{Instance: faults.NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{cart}}, "shop", "token"), seed: 1}
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]runner.State{"cart-fine": runner.Ready, "cart-gone": runner.Down, "cart-silent": runner.Down}
	for _, r := range status.Services[0].Replicas {
		if r.State != want[r.Pod] {
			t.Errorf("%s is %s, want %s", r.Pod, r.State, want[r.Pod])
		}
	}
	if trouble := status.Services[0].Trouble; !strings.Contains(trouble, "deleted") {
		t.Errorf("without a Deployment, the trouble is %q", trouble)
	}
	lost := d.lostNodes(t.Context(), map[string][]*corev1.Pod{"cart": {{Spec: corev1.PodSpec{NodeName: "gone"}}, {Spec: corev1.PodSpec{NodeName: "silent"}}, {}}})
	if len(lost) != 2 || lost["gone"] != "which is gone" || lost["silent"] != "which is not ready: Its kubelet is silent" {
		t.Errorf("lost are %q", lost)
	}
}

// A service that others have scaled down is not ready for no reason that its pods tell.
func TestScaledDownByOthers(t *testing.T) {
	for replicas, told := range map[int32]bool{0: true, 1: true, 2: false, 5: false} {
		got := scaledDown(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &replicas}}, 2)
		if (got != "") != told || told && !strings.Contains(got, fmt.Sprintf("scaled to %d of the 2 replicas of the file", replicas)) {
			t.Errorf("%d of 2: %q", replicas, got)
		}
	}
}
