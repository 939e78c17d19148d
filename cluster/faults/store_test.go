package faults

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// storeSystem is a service that calls an embedded store, and a real one at an address.
func storeSystem() *topology.System {
	s := &topology.System{Name: "shop", Services: []topology.Service{
		topology.NewService("web", topology.CallTo("db"), topology.CallTo("users")), topology.NewService("db"), topology.NewService("users"),
	}}
	s.Services[1].Kind, s.Services[1].Endpoints = topology.Postgres, nil
	s.Services[2].Kind, s.Services[2].Endpoints = topology.Redis, nil
	s.Services[2].Store = &topology.Store{Engine: topology.Real, Address: "users.example:6379"}
	return s
}

// TestFaultsOnStores takes those that a store knows and those on the way to it.
func TestFaultsOnStores(t *testing.T) {
	for _, c := range []struct {
		t       fault.Type
		service string
		want    string // part of the error; empty if the fault is possible
	}{
		{fault.DiskFull, "db", ""},
		{fault.Failover, "db", ""},
		{fault.LockWait, "db", ""},
		{fault.NetPartition, "db", ""},
		{fault.Kill, "db", ""},
		{fault.Pause, "db", ""},
		{fault.DiskFull, "web", "acts on data stores"},
		{fault.Error, "db", "acts on requests, and \"db\" is a data store of kind postgres"},
		{fault.CacheFlush, "db", "is no cache"},
		{fault.DiskFull, "users", "is not ours to change"},
		{fault.Kill, "users", "not ours to stop"},
		{fault.NetPartition, "users", ""},
	} {
		f := fault.Fault{Type: c.t, Probability: 1, Target: fault.Target{Service: c.service}}
		err := CanInject(&kubeapi.Client{}, storeSystem(), &f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s: %v, want %q", c.t, c.service, err, c.want)
		}
	}
}

// TestFaultsOnTheNetworkMeanThePortOfTheProtocol wants packets of the port of the store.
func TestFaultsOnTheNetworkMeanThePortOfTheProtocol(t *testing.T) {
	db := apitest.ServicePod("db", 1)
	db.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "tcp-postgres", ContainerPort: 5432}, {Name: "control", ContainerPort: 8081}}}}
	faults := []Injection{{ID: "a", Fault: fault.Fault{Type: fault.NetPartition, Target: fault.Target{Service: "db"}}}}
	desired, err := desiredFaults(faults, map[string][]*corev1.Pod{"db": {db}})
	if err != nil || len(desired) != 1 || len(desired[0].Fault.Peers) != 1 || desired[0].Fault.Peers[0] != "tcp:*;local=5432" {
		t.Errorf("desired are %+v, %v; want packets of port 5432", desired, err)
	}
}

// TestRequestsToStoresAreRefused: a store speaks no HTTP.
func TestRequestsToStoresAreRefused(t *testing.T) {
	inst := NewInstance(&kubeapi.Client{}, storeSystem(), "shop", "token")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := inst.Do(req, "db")
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "it is a data store of kind postgres, which speaks its own protocol") {
		t.Errorf("Do: %v", err)
	}
}

// TestFaultsInStoresGoToTheirControl wants the order, with its deadline, in the pod of the
// store, and its end.
func TestFaultsInStoresGoToTheirControl(t *testing.T) {
	s := newAPIStage(t)
	s.inst.System().Services[0].Kind = topology.Postgres
	deadline := time.Now().Add(time.Minute)
	f := fault.Fault{Type: fault.DiskFull, Probability: 1, Target: fault.Target{Service: "back", Replica: 1}}
	if err := s.inst.Inject(t.Context(), "full", f, deadline); err != nil {
		t.Fatal(err)
	}
	got := s.inPods["back-1"]["full"]
	if got.Fault.Type != fault.DiskFull || !got.Deadline.Equal(deadline) || len(s.inPods["back-2"]) > 0 {
		t.Errorf("the pods have the faults %+v, want disk-full until %v in the first", s.inPods, deadline)
	}
	if err := s.inst.Clear(t.Context(), "full"); err != nil {
		t.Fatal(err)
	}
	if len(s.inPods["back-1"]) > 0 {
		t.Errorf("after the end the pods have %+v", s.inPods)
	}
}
