package watch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

var shop = &topology.System{Name: "shop", Services: []topology.Service{{Name: "cart", Replicas: 1}}}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: manifest.ServiceLabels("shop", "cart")}
}

func create(t *testing.T, c *kubeapi.Client, d *appsv1.Deployment, pods ...*corev1.Pod) {
	t.Helper()
	if _, err := apitest.Outside(t, c).AppsV1().Deployments("shop").Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if _, err := apitest.Outside(t, c).CoreV1().Pods("shop").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func starting() *appsv1.Deployment {
	one := int32(1)
	return &appsv1.Deployment{ObjectMeta: meta("cart"), Spec: appsv1.DeploymentSpec{Replicas: &one}}
}

func refusing(message string) *appsv1.Deployment {
	d := starting()
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: message}}
	return d
}

func waiting(reason string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta("cart-1"), Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Image: "agent:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
	}}}}
}

// TestLastWordsAreThoseOfTheServer: the pod of a real server has two containers, of which the
// API server tells nothing without a name.
func TestLastWordsAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	server := apitest.New(t)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/pods/cart-1/log") {
			return false
		}
		if r.URL.Query().Get("container") != manifest.ServerName {
			http.Error(w, "a container name must be specified", http.StatusBadRequest)
			return true
		}
		_, _ = io.WriteString(w, "no space left on device\n") // a client that is gone fails the test
		return true
	}
	c := server.Client(t, kubeapi.Config{ReadyTimeout: time.Minute})
	pod := waiting("CrashLoopBackOff")
	pod.Status.ContainerStatuses[0].Name = manifest.ServerName
	create(t, c, starting(), pod)
	err := watch.AwaitReady(t.Context(), c, shop, "shop")
	if err == nil || !strings.Contains(err.Error(), "the server agent:1 of pod cart-1") || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v, want the last words of the server", err)
	}
}

func unschedulable() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta("cart-1"), Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available",
	}}}}
}

// TestAwaitReadyDiagnoses sees each cause through the API server. A cause that may
// go away is reported as progress, and is in the error at the end of the time. A
// cause that cannot go away ends the wait.
func TestAwaitReadyDiagnoses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		deployment *appsv1.Deployment
		pods       []*corev1.Pod
		want       string
		hopeless   bool
	}{
		"image":         {starting(), []*corev1.Pod{waiting("ImagePullBackOff")}, "the image agent:1 cannot be pulled", false},
		"bad name":      {starting(), []*corev1.Pod{waiting("InvalidImageName")}, `"agent:1" is not an image`, true},
		"crash loop":    {starting(), []*corev1.Pod{waiting("CrashLoopBackOff")}, "pod cart-1 ends again and again", true},
		"unschedulable": {starting(), []*corev1.Pod{unschedulable()}, "no node takes it: 0/1 nodes", false},
		"quota":         {refusing("exceeded quota: few"), nil, "ask for a larger quota", false},
		"PSA":           {refusing(`violates PodSecurity "restricted:latest"`), nil, "use a namespace that admits them", false},
		"no cause":      {starting(), nil, "its pods have not become ready; 'kubectl -n shop describe pods", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 1500 * time.Millisecond
			if tt.hopeless {
				timeout = time.Minute
			}
			server := apitest.New(t)
			c := server.Client(t, kubeapi.Config{ReadyTimeout: timeout})
			create(t, c, tt.deployment, tt.pods...)
			started := time.Now()
			err := watch.AwaitReady(t.Context(), c, shop, "shop")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if tt.hopeless {
				if took := time.Since(started); took > 30*time.Second || strings.Contains(err.Error(), "after") {
					t.Errorf("it ended after %v with %v, want it to end at once", took, err)
				}
				return
			}
			if !strings.Contains(err.Error(), "after 1.5s it is not ready") {
				t.Errorf("got %v, want the time", err)
			}
			if tt.want != "" && name != "no cause" && !strings.Contains(server.Progress(), "service/cart not ready: ") {
				t.Errorf("the progress %q does not tell why it is not ready", server.Progress())
			}
		})
	}
}

func TestAwaitReadyReturnsWhenAllIsReady(t *testing.T) {
	t.Parallel()
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{ReadyTimeout: time.Minute})
	create(t, c, starting(), waiting("ContainerCreating"))
	done := make(chan error, 1)
	go func() { done <- watch.AwaitReady(t.Context(), c, shop, "shop") }()
	select {
	case err := <-done:
		t.Fatalf("it returned %v before the pod was ready", err)
	case <-time.After(300 * time.Millisecond):
	}
	ready := starting()
	ready.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	if _, err := apitest.Outside(t, c).AppsV1().Deployments("shop").UpdateStatus(t.Context(), ready, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(server.Progress(), "service/cart ready (1/1 pods") {
		t.Errorf("the progress is %q", server.Progress())
	}
}

func TestAwaitReadyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := apitest.New(t).Client(t, kubeapi.Config{ReadyTimeout: time.Minute})
	create(t, c, starting())
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted)
	if err := watch.AwaitReady(ctx, c, shop, "shop"); !errors.Is(err, interrupted) {
		t.Errorf("got %v, want the interruption", err)
	}
}
