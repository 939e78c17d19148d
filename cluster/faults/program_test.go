package faults

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestFaultsOnProgramsOfUsers takes those that act in pods, and refuses the others.
func TestFaultsOnProgramsOfUsers(t *testing.T) {
	system := &topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web"), topology.NewService("pay"), topology.NewService("ship")}}
	system.Services[1].URL, system.Services[2].Image = "http://10.0.0.5:9000", "acme/ship:1"
	for _, c := range []struct {
		t             fault.Type
		service, from string
		want          string // part of the error; empty if the fault is possible
	}{
		{fault.Kill, "ship", "", ""},
		{fault.Pause, "ship", "", ""},
		{fault.NetPartition, "ship", "web", ""},
		{fault.Unreachable, "ship", "web", ""},
		{fault.Unreachable, "web", "ship", "takes no orders"},
		{fault.Error, "ship", "", "takes no orders"},
		{fault.Unreachable, "pay", "web", ""},
		{fault.NetPartition, "pay", "web", `service "pay" is at http://10.0.0.5:9000; write unreachable, or run the system with --on local`},
		{fault.Kill, "pay", "", "not ours to stop"},
	} {
		f := fault.Fault{Type: c.t, Probability: 1, Target: fault.Target{Service: c.service, From: c.from}}
		err := CanInject(&kubeapi.Client{}, system, &f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s: %v, want %q", c.t, c.service, err, c.want)
		}
	}
}

// TestFaultsOnTheNetworkMeanThePortOfTheProgram wants packets of the port that pods name.
func TestFaultsOnTheNetworkMeanThePortOfTheProgram(t *testing.T) {
	ship := apitest.ServicePod("ship", 1)
	ship.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 3000}}}}
	faults := []Injection{{ID: "a", Fault: fault.Fault{Type: fault.NetPartition, Target: fault.Target{Service: "ship"}}}}
	desired, err := desiredFaults(faults, map[string][]*corev1.Pod{"ship": {ship}})
	if err != nil || len(desired) != 1 || len(desired[0].Fault.Peers) != 1 || desired[0].Fault.Peers[0] != "tcp:*;local=3000" {
		t.Errorf("desired are %+v, %v; want packets of port 3000", desired, err)
	}
}

// TestAServerAtAURLHasNoPods wants no replicas that could be down.
func TestAServerAtAURLHasNoPods(t *testing.T) {
	system := &topology.System{Name: "shop", Services: []topology.Service{topology.NewService("pay")}}
	system.Services[0].URL = "http://10.0.0.5:9000"
	pods := new(ordinals).assign(system, nil)
	inst := NewInstance(nil, system, "shop", "token")
	if got := inst.ReplicasOf("pay", &view{Pods: pods}); len(got) != 0 {
		t.Errorf("replicas are %+v", got)
	}
	if got := portOf(nil); got != manifest.HTTPPort {
		t.Errorf("a service without pods has port %d", got)
	}
}
