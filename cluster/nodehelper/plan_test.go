package nodehelper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

func pod(name, node string, phase corev1.PodPhase, ips ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase, HostIP: "172.18.0.2"},
	}
	for _, ip := range ips {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	return p
}

func pause(id string) order.Fault {
	return order.Fault{ID: id, Fault: fault.Fault{Type: fault.Pause, Target: fault.Target{Service: "db"}, Probability: 1}}
}

func TestOrdersAreSortedByNodeAndPod(t *testing.T) {
	a, b := pod("a", "one", corev1.PodRunning), pod("b", "two", corev1.PodRunning)
	c, waits, over := pod("c", "one", corev1.PodRunning), pod("waits", "", corev1.PodPending), pod("over", "one", corev1.PodFailed)
	orders := Orders([]DesiredFault{{pause("y"), []*corev1.Pod{c, waits, b, a, over}}, {pause("x"), []*corev1.Pod{a}}})
	var got []string
	for _, node := range []string{"one", "two"} {
		for _, p := range orders[node] {
			for _, f := range p.Faults {
				got = append(got, node+" "+p.Name+" "+f.ID)
			}
		}
	}
	if want := []string{"one a x", "one a y", "one c y", "two b y"}; len(orders) != 2 || !slices.Equal(got, want) {
		t.Errorf("the orders are %q, want %q", got, want)
	}
}

func TestAddresses(t *testing.T) {
	host := pod("host", "one", corev1.PodRunning, "172.18.0.2")
	host.Spec.HostNetwork = true
	pods := []*corev1.Pod{pod("b", "one", corev1.PodRunning, "10.0.0.2", "fd00::2"), host, pod("a", "one", corev1.PodRunning, "10.0.0.1"), pod("none", "", corev1.PodPending)}
	if got := fmt.Sprint(PodAddresses(pods)); got != "[10.0.0.1 10.0.0.2 fd00::2]" {
		t.Errorf("the pods have %s", got)
	}
	services := []*corev1.Service{
		{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9", "fd00:96::9"}}},
		{Spec: corev1.ServiceSpec{ClusterIP: "None", ClusterIPs: []string{"None"}}},
		{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}},
	}
	if got := fmt.Sprint(ServiceAddresses(services)); got != "[10.96.0.9 fd00:96::9]" {
		t.Errorf("the Services have %s", got)
	}
	node := &corev1.Node{Spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24", "fd00:10:244:1::/64"}}}
	if got := fmt.Sprint(ProbeAddresses(pods[0], node)); got != "[10.244.1.1 172.18.0.2 fd00:10:244:1::1]" {
		t.Errorf("probes come from %s", got)
	}
	if got := fmt.Sprint(ProbeAddresses(pods[0], nil)); got != "[172.18.0.2]" {
		t.Errorf("from a node that may not be looked at, probes come from %s", got)
	}
}

func TestSetDesired(t *testing.T) {
	now := time.Now()
	config := NewOrders("one")
	mine := []order.Pod{{UID: "1", Name: "a", Faults: []order.Fault{pause("x")}}}
	mine[0].Faults[0].Deadline = now.Add(time.Minute)
	first, changed, err := SetDesired(config, "shop/shop", Desired{Pods: mine}, now)
	if err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	if again, changed, err := SetDesired(config, "shop/shop", Desired{Pods: mine}, now.Add(time.Second)); err != nil || changed || again.Version != first.Version {
		t.Errorf("the same is version %d after %d, changed: %v, %v", again.Version, first.Version, changed, err)
	}
	// A clock that goes back does not make versions go back.
	other := []order.Pod{{UID: "2", Name: "b", Faults: []order.Fault{pause("x")}}}
	second, _, err := SetDesired(config, "shop/shop", Desired{Pods: other}, now.Add(-time.Hour))
	if err != nil || second.Version <= first.Version {
		t.Errorf("version %d follows %d: %v", second.Version, first.Version, err)
	}
	if _, _, err := SetDesired(config, "foreign.faults/a", Desired{Pods: mine}, now); err != nil || len(config.Data) != 2 {
		t.Errorf("two owners have %d orders: %v", len(config.Data), err)
	}
	if o, err := OrderOf(config, "shop/shop", now); err != nil || o == nil || o.Pods[0].UID != "2" {
		t.Errorf("the order is %+v: %v", o, err)
	}
	// Faults that are over are dropped at the next change.
	later := now.Add(2 * time.Minute)
	if _, changed, err := SetDesired(config, "shop/shop", Desired{Pods: nil}, later); err != nil || !changed || len(config.Data) != 0 {
		t.Errorf("there is left %v: %v, %v", config.Data, changed, err)
	}
}

func TestOrdersThatAreTooLargeAreRefused(t *testing.T) {
	f := pause("x")
	f.Peers = slices.Repeat([]string{strings.Repeat("9", 40)}, MaxPeers)
	var pods []order.Pod
	for i := range 100 {
		pods = append(pods, order.Pod{UID: fmt.Sprint(i), Faults: []order.Fault{f}})
	}
	config := NewOrders("one")
	if _, _, err := SetDesired(config, "shop/shop", Desired{Pods: pods}, time.Now()); err == nil || !strings.Contains(err.Error(), "more than the") || len(config.Data) > 0 {
		t.Errorf("%v; %d orders", err, len(config.Data))
	}
	config.Data["shop_shop.json"] = "{"
	if _, err := OrdersIn(config, time.Now()); err == nil || !strings.Contains(err.Error(), "shop_shop.json") {
		t.Errorf("orders that cannot be read give %v", err)
	}
}
