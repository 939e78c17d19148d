package faults

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestAProgramInAPodAsksTheControlPort: a data store answers no HTTP at its own port.
func TestAProgramInAPodAsksTheControlPort(t *testing.T) {
	cache, web := topology.NewService("cache"), topology.NewService("web")
	cache.Kind = topology.Redis
	own := topology.NewService("own")
	own.Image = "registry.example/own:1"
	system := &topology.System{Name: "shop", Services: []topology.Service{cache, web, own}}
	pod := func(ip string, ports ...corev1.ContainerPort) []*corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning}}
		p.Spec.Containers = []corev1.Container{{Name: manifest.ContainerName, Ports: ports}}
		return []*corev1.Pod{p}
	}
	control := corev1.ContainerPort{Name: "control", ContainerPort: 8081}
	v := &view{Pods: map[string][]*corev1.Pod{
		"cache": pod("10.1.0.1", corev1.ContainerPort{Name: "tcp-redis", ContainerPort: 6379}, control),
		"web":   pod("fd00::1", corev1.ContainerPort{Name: "http", ContainerPort: 8080}, control),
		"own":   pod("10.1.0.3", corev1.ContainerPort{Name: "http", ContainerPort: 9000}),
	}}
	for _, inside := range []bool{true, false} {
		inst := NewInstance(apitest.New(t).Client(t, kubeapi.Config{Inside: inside}), system, "shop", "token")
		for service, want := range map[string][2]string{
			"cache": {"http://10.1.0.1:6379", "http://10.1.0.1:8081"}, "web": {"http://[fd00::1]:8080", "http://[fd00::1]:8081"}, "own": {"http://10.1.0.3:9000", ""},
		} {
			if !inside {
				want[1] = ""
			}
			if r := inst.ReplicasOf(service, v)[0]; r.URL != want[0] || r.ControlURL != want[1] {
				t.Errorf("inside %v, %s is at %q, its control at %q", inside, service, r.URL, r.ControlURL)
			}
		}
	}
}
