package workload

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func TestGuards(t *testing.T) {
	ours := Selection{Namespace: "shop", Selector: "app=x", MaxPods: 2}
	system := Selection{Namespace: "kube-system", Selector: "app=x", MaxPods: 2}
	admitted := system
	admitted.AllowSystem = true
	host := apitest.ServicePod("host", 1)
	host.Spec.HostNetwork = true
	for _, tt := range []struct {
		selection Selection
		Pods      []*corev1.Pod
		want      string
	}{
		{ours, apitest.ServicePods("web", 2), ""},
		{ours, nil, "no pod"},
		{ours, apitest.ServicePods("web", 3), "--max-pods=3"},
		{system, apitest.ServicePods("web", 1), "--allow-system"},
		{Selection{Namespace: nodehelper.Namespace, MaxPods: 1}, apitest.ServicePods("web", 1), "--allow-system"},
		{admitted, apitest.ServicePods("web", 1), ""},
		{admitted, []*corev1.Pod{host}, "network of its node"},
	} {
		err := tt.selection.guard(tt.Pods)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v with %d pods: %v; want %q", tt.selection, len(tt.Pods), err, tt.want)
		}
	}
	for selector, want := range map[string]string{"": "every pod", "app in (": "reading the selector", "app=x": ""} {
		s := Selection{Namespace: "shop", Selector: selector, MaxPods: 1}
		if err := s.validate(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("selector %q: %v; want %q", selector, err, want)
		}
	}
}

func TestSelectedPodsKeepTheirProbes(t *testing.T) {
	pods := apitest.ServicePods("web", 4)
	for i, p := range pods {
		p.Status.HostIP = fmt.Sprintf("172.18.0.%d", i%2)
		p.Spec.NodeName = fmt.Sprint(i % 2)
	}
	f := &recordedFault{faults.Injection{ID: "x", Fault: fault.Fault{Type: fault.NetDelay}}, Selection{To: []string{"db"}, MaxPods: 3}}
	wishes := desiredFaults(f, pods, []string{"10.96.0.1"}, nil)
	var got []string
	for _, w := range wishes {
		got = append(got, fmt.Sprint(len(w.Pods), w.Fault.Peers, w.Fault.Only, w.Fault.Exempt))
	}
	if want := []string{"2 [10.96.0.1] true [172.18.0.0]", "1 [10.96.0.1] true [172.18.0.1]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Fault.Type = fault.CPUStress
	if w := desiredFaults(f, pods, nil, nil); w[0].Fault.Only || w[0].Fault.Exempt != nil {
		t.Errorf("a fault on resources has %+v", w[0].Fault)
	}
}

func TestServiceNamed(t *testing.T) {
	for text, want := range map[string]string{
		"cart": "cart in shop", "cart.other": "cart in other", "cart.other.svc": "cart in other", "cart.other.svc.cluster.local": "cart in other",
	} {
		name, in := serviceNamed(text, "shop")
		if got := name + " in " + in; got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
