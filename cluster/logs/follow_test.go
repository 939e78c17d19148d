package logs

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestFollowGoesOnWhileALineIsHandedOn has the reader of lines wait until the log of
// another pod is asked for: no lock may be held meanwhile.
func TestFollowGoesOnWhileALineIsHandedOn(t *testing.T) {
	server := apitest.New(t)
	asked := make(chan string, 10)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		var pod string
		if _, err := fmt.Sscanf(r.URL.Path, "/api/v1/namespaces/shop/pods/cart-%1s/log", &pod); err != nil {
			return false
		}
		asked <- pod
		fmt.Fprintf(w, "2026-01-02T03:04:0%sZ line of %s\n", pod, pod)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	c := server.Client(t, kubeapi.Config{})
	create := func(n int) {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("cart-%d", n), UID: types.UID(fmt.Sprintf("uid-%d", n)), Labels: manifest.ServiceLabels("shop", "cart"),
				CreationTimestamp: metav1.NewTime(time.Unix(int64(n), 0)),
			},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
		}
		if _, err := apitest.Outside(t, c).CoreV1().Pods("shop").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	create(1)
	cart := topology.NewService("cart")
	cart.Replicas = 2
	inst := faults.NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{cart}}, "shop", "secret")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var lines []string
	err := Read(ctx, inst, Options{Follow: true, Tail: -1}, func(l Line) {
		lines = append(lines, fmt.Sprintf("%s/%d %s", l.Service, l.Replica, l.Text))
		if len(lines) == 2 {
			stop()
			return
		}
		<-asked // of the first pod
		create(2)
		select {
		case <-asked:
		case <-time.After(30 * time.Second):
			t.Error("the log of the second pod is not read while a line of the first is handed on")
			stop()
		}
	})
	if err != nil || !slices.Equal(lines, []string{"cart/1 line of 1", "cart/2 line of 2"}) {
		t.Errorf("the lines are %q, %v", lines, err)
	}
}
