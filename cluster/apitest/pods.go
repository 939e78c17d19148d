package apitest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// ServicePod is a running pod of a service of system shop, on one of 100 nodes.
func ServicePod(service string, i int) *corev1.Pod {
	ip := fmt.Sprintf("10.%d.%d.%d", len(service), i/250, i%250+1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%05d", service, i), Namespace: "shop", UID: types.UID(fmt.Sprintf("%s-%d", service, i)), Labels: manifest.ServiceLabels("shop", service),
		},
		Spec:   corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i%100)},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// ServicePods are the first n of them.
func ServicePods(service string, n int) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range n {
		pods = append(pods, ServicePod(service, i))
	}
	return pods
}
