package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func servicePod(service string, i int) *corev1.Pod {
	ip := fmt.Sprintf("10.%d.%d.%d", len(service), i/250, i%250+1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%05d", service, i), Namespace: "shop", UID: types.UID(fmt.Sprintf("%s-%d", service, i)), Labels: manifest.ServiceLabels("shop", service),
		},
		Spec:   corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i%100)},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

func servicePods(service string, n int) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range n {
		pods = append(pods, servicePod(service, i))
	}
	return pods
}

func TestWishes(t *testing.T) {
	pods := map[string][]*corev1.Pod{"web": servicePods("web", 2), "db": servicePods("db", 3), "large": servicePods("large", 501), "idle": nil}
	in := func(kind fault.Type, target string) injection {
		parsed, err := fault.ParseTarget(target)
		if err != nil {
			t.Fatal(err)
		}
		return injection{ID: "x", Fault: fault.Fault{Type: kind, Target: parsed}}
	}
	for _, tt := range []struct {
		injection injection
		want      string
	}{
		{in(fault.NetDelay, "db"), "db-00000 db-00001 db-00002 | tcp:*;local=8080 false"},
		{in(fault.NetDelay, "db/2"), "db-00001 | tcp:*;local=8080 false"},
		{in(fault.NetPartition, "web->db/3"), "db-00002 | tcp:10.3.0.1;local=8080 tcp:10.3.0.2;local=8080 true"},
		{in(fault.NetPartition, "idle->db/3"), "db-00002 |  true"},
		{in(fault.CPUStress, "web"), "web-00000 web-00001 |  false"},
		{in(fault.Pause, "web/1"), "web-00000 |  false"},
		{in(fault.Latency, "web"), "none"},
		{in(fault.NetDelay, "large->db"), "at most 500"},
	} {
		wishes, err := wishesOf([]injection{tt.injection}, pods)
		got := "none"
		for _, w := range wishes {
			var names []string
			for _, p := range w.Pods {
				names = append(names, p.Name)
			}
			got = fmt.Sprintf("%s | %s %v", strings.Join(names, " "), strings.Join(w.Fault.Peers, " "), w.Fault.Only)
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s of %s: got %q, want %q", tt.injection.Fault.Type, tt.injection.Fault.Target, got, tt.want)
		}
	}
}

// thousands is a cluster with a system of 6000 pods and a fault on all of them.
func thousands(tb testing.TB) *Deployment {
	tb.Helper()
	record, err := json.Marshal([]injection{{ID: "slow", Since: time.Now(), Fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "db"}}}})
	if err != nil {
		tb.Fatal(err)
	}
	objects := []runtime.Object{&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: manifest.FaultsName("shop"), Namespace: "shop"}, Data: map[string]string{faultsKey: string(record)},
	}}
	for _, p := range servicePods("db", 6000) {
		objects = append(objects, p)
	}
	c := &Cluster{client: fake.NewClientset(objects...), config: Config{Progress: func(string) {}, CheckNetwork: func(*fault.Fault) error { return nil }}}
	return c.deployment(&topology.System{Name: "shop", Services: []topology.Service{{Name: "db", Replicas: 6000}}}, 1, "shop", "")
}

func TestThousandsOfPodsAreOrdered(t *testing.T) {
	orders, err := thousands(t).wanted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for node, pods := range orders {
		for _, p := range pods {
			n, err := strconv.Atoi(strings.TrimPrefix(p.Name, "db-"))
			if want := fmt.Sprintf("node-%d", n%100); err != nil || node != want {
				t.Fatalf("pod %s is ordered on %s, want %s", p.Name, node, want)
			}
			seen[p.UID] = len(p.Faults) == 1
		}
	}
	if len(orders) != 100 || len(seen) != 6000 {
		t.Errorf("%d pods of %d nodes are hit, want 6000 of 100", len(seen), len(orders))
	}
}

func BenchmarkPlanThousandsOfPods(b *testing.B) {
	d := thousands(b)
	f := fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "db"}}
	f.Args.Delay.Fixed = 300e6
	f.Probability = 1
	for b.Loop() {
		effects, err := d.Plan(context.Background(), "x", f, time.Time{})
		if err != nil || len(effects) != 6000 {
			b.Fatalf("%d pods: %v", len(effects), err)
		}
	}
}

func TestGuards(t *testing.T) {
	ours := Selection{Namespace: "shop", Selector: "app=x", MaxPods: 2}
	system := Selection{Namespace: "kube-system", Selector: "app=x", MaxPods: 2}
	admitted := system
	admitted.AllowSystem = true
	host := servicePod("host", 1)
	host.Spec.HostNetwork = true
	for _, tt := range []struct {
		selection Selection
		pods      []*corev1.Pod
		want      string
	}{
		{ours, servicePods("web", 2), ""},
		{ours, nil, "no pod"},
		{ours, servicePods("web", 3), "--max-pods=3"},
		{system, servicePods("web", 1), "--allow-system"},
		{Selection{Namespace: helper.Namespace, MaxPods: 1}, servicePods("web", 1), "--allow-system"},
		{admitted, servicePods("web", 1), ""},
		{admitted, []*corev1.Pod{host}, "network of its node"},
	} {
		err := tt.selection.guard(tt.pods)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v with %d pods: %v; want %q", tt.selection, len(tt.pods), err, tt.want)
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
	pods := servicePods("web", 4)
	for i, p := range pods {
		p.Status.HostIP = fmt.Sprintf("172.18.0.%d", i%2)
		p.Spec.NodeName = fmt.Sprint(i % 2)
	}
	f := &foreignFault{injection{ID: "x", Fault: fault.Fault{Type: fault.NetDelay}}, Selection{To: []string{"db"}, MaxPods: 3}}
	wishes := foreignWishes(f, pods, []string{"10.96.0.1"}, nil)
	var got []string
	for _, w := range wishes {
		got = append(got, fmt.Sprint(len(w.Pods), w.Fault.Peers, w.Fault.Only, w.Fault.Exempt))
	}
	if want := []string{"2 [10.96.0.1] true [172.18.0.0]", "1 [10.96.0.1] true [172.18.0.1]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Fault.Type = fault.CPUStress
	if w := foreignWishes(f, pods, nil, nil); w[0].Fault.Only || w[0].Fault.Exempt != nil {
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

func TestDeeds(t *testing.T) {
	deeds := deedsOf([]order.Status{
		{Owner: "a", FaultID: "x", By: "tc", Effective: "delay 1s"}, {Owner: "a", FaultID: "x", By: "tc", Effective: "delay 1s"},
		{Owner: "a", FaultID: "x", Error: "no such pod"}, {Owner: "b", FaultID: "x", By: "emulate"},
	})
	d := deeds[[2]string{"a", "x"}]
	if got := fmt.Sprint(d.by, d.effective, d.errors); len(deeds) != 2 || got != "[tc] [delay 1s] [no such pod]" {
		t.Errorf("%d deeds, and the first is %s", len(deeds), got)
	}
	if err := troubleOf("x", []order.Status{{FaultID: "y", Error: "no"}, {FaultID: "x"}}); err != nil {
		t.Errorf("trouble of another fault, or of none, is %v", err)
	}
}
