package faults

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestReplicasKeepTheirPlaces(t *testing.T) {
	pod := func(name string, second int64, leaving bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"microsim.dev/service": "cart"}, CreationTimestamp: metav1.Unix(second, 0)}}
		if leaving {
			p.DeletionTimestamp = &metav1.Time{}
		}
		return p
	}
	evicted := pod("y", 0, false)
	evicted.Status.Phase = corev1.PodFailed
	var got []string
	system := &topology.System{Services: []topology.Service{topology.NewService("cart")}}
	for _, p := range new(ordinals).assign(system, []*corev1.Pod{pod("c", 2, false), pod("b", 1, false), pod("x", 0, true), evicted, pod("a", 1, false)})["cart"] {
		got = append(got, p.Name)
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("the pods are in the order %v, want the oldest first, then by name", got)
	}
}
