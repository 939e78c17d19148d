package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestPodsThatAreToHaveAFault(t *testing.T) {
	pods := map[string][]*corev1.Pod{"web": apitest.ServicePods("web", 2), "db": apitest.ServicePods("db", 3), "large": apitest.ServicePods("large", 501), "idle": nil}
	in := func(kind fault.Type, target string) Injection {
		parsed, err := fault.ParseTarget(target)
		if err != nil {
			t.Fatal(err)
		}
		return Injection{ID: "x", Fault: fault.Fault{Type: kind, Target: parsed}}
	}
	for _, tt := range []struct {
		injection Injection
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
		desired, err := desiredFaults([]Injection{tt.injection}, pods)
		got := "none"
		for _, d := range desired {
			var names []string
			for _, p := range d.Pods {
				names = append(names, p.Name)
			}
			got = fmt.Sprintf("%s | %s %v", strings.Join(names, " "), strings.Join(d.Fault.Peers, " "), d.Fault.Only)
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
func thousands(tb testing.TB) *Instance {
	tb.Helper()
	record, err := json.Marshal([]Injection{{ID: "slow", Since: time.Now(), Fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "db"}}}})
	if err != nil {
		tb.Fatal(err)
	}
	objects := []runtime.Object{&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: manifest.FaultsName("shop"), Namespace: "shop"}, Data: map[string]string{manifest.FaultsKey: string(record)},
	}}
	for _, p := range apitest.ServicePods("db", 6000) {
		objects = append(objects, p)
	}
	c := &kubeapi.Client{Clientset: fake.NewClientset(objects...), Config: kubeapi.Config{Progress: func(string) {}, CheckNetwork: func(*fault.Fault) error { return nil }}}
	return NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{{Name: "db", Replicas: 6000}}}, "shop", "")
}

func TestThousandsOfPodsAreOrdered(t *testing.T) {
	orders, err := thousands(t).desired(t.Context())
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
