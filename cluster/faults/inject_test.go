package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// An apiStage is a system with two replicas on node n1, behind an API server that
// stores objects and runs Jobs. Pods and helpers answer as the real ones do.
type apiStage struct {
	t      *testing.T
	server *apitest.Server
	inst   *Instance
	helper apitest.Helper

	mu sync.Mutex
	// inPods are the faults of each pod, by its name and their id.
	inPods map[string]map[string]control.FaultRequest
	// refuse is what the pods and the helper answer, while it is not empty.
	refuse string
}

func newAPIStage(t *testing.T) *apiStage {
	t.Helper()
	s := &apiStage{t: t, server: apitest.New(t), inPods: map[string]map[string]control.FaultRequest{}}
	s.server.RunJobs, s.server.Proxy = true, s.answer
	back := topology.NewService("back")
	back.Replicas = 2
	c := s.server.Client(t, kubeapi.Config{Image: "agent:1"})
	s.inst = NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{back}}, "shop", "secret")
	s.create(described())
	s.create(nodehelper.NewNamespace())
	s.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
	for i := range 2 {
		s.create(s.replica(i + 1))
	}
	return s
}

// described is what a system is known by that has not been taken down.
func described() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: manifest.ObjectName("shop"), Namespace: "shop", Labels: manifest.CommonLabels("shop")}}
}

// TestASystemThatWasTakenDownGetsNoFaults wants no record of faults beside others'
// objects, which nobody would remove.
func TestASystemThatWasTakenDownGetsNoFaults(t *testing.T) {
	s := newAPIStage(t)
	configs := apitest.Outside(t, s.inst.Client).CoreV1().ConfigMaps("shop")
	if err := configs.Delete(t.Context(), manifest.ObjectName("shop"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Inject(t.Context(), "one", slow("back", 0), time.Time{}); err == nil || !strings.Contains(err.Error(), "the system has been taken down") {
		t.Errorf("a fault in a system that was taken down: %v", err)
	}
	if _, err := configs.Get(t.Context(), manifest.FaultsName("shop"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the record of its faults: %v, want none", err)
	}
}

// agentContainers have the ports of an agent.
func agentContainers() []corev1.Container {
	return []corev1.Container{{Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: manifest.HTTPPort}, {Name: "control", ContainerPort: manifest.ControlPort},
	}}}
}

// replica is a pod of the service back that is ready.
func (s *apiStage) replica(i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("back-%d", i), Namespace: "shop", UID: types.UID(fmt.Sprintf("uid-back-%d", i)), Labels: manifest.ServiceLabels("shop", "back"),
			CreationTimestamp: metav1.NewTime(time.Unix(int64(1e9+i), 0)),
		},
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: agentContainers()},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func (s *apiStage) create(o any) {
	s.t.Helper()
	core, err := apitest.Outside(s.t, s.inst.Client).CoreV1(), error(nil)
	switch o := o.(type) {
	case *corev1.Namespace:
		_, err = core.Namespaces().Create(s.t.Context(), o, metav1.CreateOptions{})
	case *corev1.ConfigMap:
		_, err = core.ConfigMaps(o.Namespace).Create(s.t.Context(), o, metav1.CreateOptions{})
	case *corev1.Node:
		_, err = core.Nodes().Create(s.t.Context(), o, metav1.CreateOptions{})
	case *corev1.Pod:
		_, err = core.Pods(o.Namespace).Create(s.t.Context(), o, metav1.CreateOptions{})
	default:
		s.t.Fatalf("the stage makes no %T", o)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// answer is what pods of the system, and the helper, answer to control requests.
func (s *apiStage) answer(w http.ResponseWriter, r *http.Request, pod, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != "" {
		http.Error(w, s.refuse, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(pod, "helper-") {
		s.helper.Answer(w, r, path)
		return
	}
	if s.inPods[pod] == nil {
		s.inPods[pod] = map[string]control.FaultRequest{}
	}
	id := strings.TrimPrefix(path, control.FaultPath(""))
	switch r.Method {
	case http.MethodPut:
		var f control.FaultRequest
		_ = json.NewDecoder(r.Body).Decode(&f)
		s.inPods[pod][id] = f
	case http.MethodDelete:
		delete(s.inPods[pod], id)
	case http.MethodGet:
		known := []runner.Injection{}
		for id := range s.inPods[pod] {
			known = append(known, runner.Injection{ID: id, Hits: 1})
		}
		_ = json.NewEncoder(w).Encode(known)
	}
}

// faultsIn lists the faults that a pod has by its own account.
func (s *apiStage) faultsIn(pod string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.inPods[pod]))
}

func (s *apiStage) has(kind string) (names []string) {
	for _, name := range s.server.Names() {
		if strings.HasPrefix(name, kind+"/helper-") {
			names = append(names, name)
		}
	}
	return names
}

func slow(service string, replica int) fault.Fault {
	return fault.Fault{Type: fault.Latency, Target: fault.Target{Service: service, Replica: replica}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Second)}}
}

func netDelay() fault.Fault {
	f := slow("back", 0)
	f.Type = fault.NetDelay
	return f
}

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func TestInjectAndClearInPods(t *testing.T) {
	s := newAPIStage(t)
	deadline := in(time.Minute)
	if err := s.inst.Inject(t.Context(), "all", slow("back", 0), deadline); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Inject(t.Context(), "second", slow("back", 2), deadline); err != nil {
		t.Fatal(err)
	}
	if one, two := s.faultsIn("back-1"), s.faultsIn("back-2"); !slices.Equal(one, []string{"all"}) || !slices.Equal(two, []string{"all", "second"}) {
		t.Fatalf("the pods have %q and %q", one, two)
	}
	if got := s.inPods["back-2"]["second"]; !got.Deadline.Equal(deadline) || got.Fault.Target.Replica != 0 {
		t.Errorf("the pod was given %+v, want the deadline, and no replica, which it does not know", got)
	}
	active, err := s.inst.Active(t.Context())
	if err != nil || len(active) != 2 || active[0].ID != "all" || active[0].Hits != 2 || !slices.Equal(active[1].Replicas, []string{"back/2"}) {
		t.Errorf("active are %+v, %v", active, err)
	}
	if err := s.inst.Clear(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	if one, two := s.faultsIn("back-1"), s.faultsIn("back-2"); len(one) != 0 || !slices.Equal(two, []string{"second"}) {
		t.Errorf("the pods have %q and %q after the clear", one, two)
	}
	// A second clear, and one of another program, change nothing.
	if err := s.inst.Clear(t.Context(), "all"); err != nil {
		t.Error(err)
	}
	if helpers := s.has("jobs"); len(helpers) != 0 {
		t.Errorf("faults in services have made %q", helpers)
	}
}

// A fault that acts in the callers of its target goes to their pods, also to those that
// come later, and not to those of the target.
func TestUnreachableActsInCallers(t *testing.T) {
	s := newAPIStage(t)
	web, other := topology.NewService("web"), topology.NewService("other")
	web.Endpoints[0].Steps = []topology.Step{{Call: &topology.Call{To: "back"}}}
	s.inst.System().Services = append(s.inst.System().Services, web, other)
	for _, service := range []string{"web", "other"} {
		p := s.replica(1)
		p.Name, p.UID, p.Labels = service+"-1", types.UID("uid-"+service), manifest.ServiceLabels("shop", service)
		s.create(p)
	}
	gone := fault.Fault{Type: fault.Unreachable, Target: fault.Target{Service: "back"}, Probability: 1}
	if err := s.inst.Inject(t.Context(), "gone", gone, in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	gone.Target.From = "other"
	if err := s.inst.Inject(t.Context(), "from-other", gone, in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for pod, want := range map[string][]string{"web-1": {"gone"}, "other-1": {"from-other"}, "back-1": nil, "back-2": nil} {
		if got := s.faultsIn(pod); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", pod, got, want)
		}
	}
	active, err := s.inst.Active(t.Context())
	if err != nil || len(active) != 2 || active[0].Hits != 1 || !slices.Equal(active[0].Replicas, []string{"web/1"}) {
		t.Errorf("active are %+v, %v", active, err)
	}
	faults, _, err := s.inst.recorded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := s.replica(2)
	second.Name, second.Labels = "web-2", manifest.ServiceLabels("shop", "web")
	if err := s.inst.syncPod(t.Context(), second, 2, faults); err != nil || !slices.Equal(s.faultsIn("web-2"), []string{"gone"}) {
		t.Errorf("a new pod of a caller has %q, %v", s.faultsIn("web-2"), err)
	}
	if err := s.inst.Clear(t.Context(), "gone"); err != nil || len(s.faultsIn("web-1")) != 0 {
		t.Errorf("after the clear web-1 has %q, %v", s.faultsIn("web-1"), err)
	}
}

func TestInjectTakesBackWhatAPodRefuses(t *testing.T) {
	s := newAPIStage(t)
	s.refuse = "no such fault here"
	err := s.inst.Inject(t.Context(), "all", slow("back", 0), in(time.Minute))
	if err == nil || !strings.Contains(err.Error(), "no such fault here") || !strings.Contains(err.Error(), `pod "back-1"`) {
		t.Errorf("got %v, want the pod and its reason", err)
	}
	s.refuse = ""
	active, err := s.inst.Active(t.Context())
	if err != nil || len(active) != 0 {
		t.Errorf("%+v is recorded after it was refused, %v", active, err)
	}
	// The same fault can be tried again under its id.
	if err := s.inst.Inject(t.Context(), "all", slow("back", 0), in(time.Minute)); err != nil {
		t.Error(err)
	}
}

func TestInjectAndClearByAHelper(t *testing.T) {
	s := newAPIStage(t)
	if err := s.inst.Inject(t.Context(), "net", netDelay(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := s.helper.Faults(); !slices.Equal(got, []string{"back-1/net", "back-2/net"}) {
		t.Fatalf("the helper carries out %q", got)
	}
	active, err := s.inst.Active(t.Context())
	if err != nil || len(active) != 1 || active[0].By != "tc" || len(active[0].Errors) != 0 {
		t.Errorf("active are %+v, %v", active, err)
	}
	if err := s.inst.Clear(t.Context(), "net"); err != nil {
		t.Fatal(err)
	}
	if got := s.helper.Faults(); len(got) != 0 {
		t.Errorf("the helper carries out %q after the clear", got)
	}
	if left := slices.Concat(s.has("jobs"), s.has("configmaps")); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}

// Prepare starts no helper if one of the faults cannot be injected.
func TestPrepareRefusesWhatCannotBeInjected(t *testing.T) {
	s := newAPIStage(t)
	delayed := netDelay()
	delayed.Target.Service = "nowhere"
	for _, f := range []fault.Fault{slow("nowhere", 0), delayed} {
		if err := s.inst.Prepare(t.Context(), []fault.Fault{netDelay(), f}); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("Prepare of %s for an unknown service gives %v", f.Type, err)
		}
	}
	if jobs := s.has("jobs"); len(jobs) != 0 {
		t.Errorf("a refused preparation started the helpers %v", jobs)
	}
}

// TestAFaultStaysWithItsReplica: if the pod of a replica with a fault goes, another pod would
// become that replica by its age, without the fault.
func TestAFaultStaysWithItsReplica(t *testing.T) {
	s := newAPIStage(t)
	if err := s.inst.Inject(t.Context(), "slow", slow("back", 1), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := apitest.Outside(t, s.inst.Client).CoreV1().Pods("shop").Delete(t.Context(), "back-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.create(s.replica(3))
	pods, err := s.inst.Pods(t.Context())
	if err != nil || len(pods["back"]) != 2 || pods["back"][0].Name != "back-3" || pods["back"][1].Name != "back-2" {
		t.Errorf("the replicas are %v, %v; want back-3 in the place of back-1", pods["back"], err)
	}
}

// TestFaultsOnEdgesAreRefused with what comes nearest to each.
func TestFaultsOnEdgesAreRefused(t *testing.T) {
	s := newAPIStage(t)
	for _, f := range []fault.Fault{
		{Type: fault.StopReading, Target: fault.Target{Service: "back"}, Probability: 1},
		{Type: fault.Bandwidth, Target: fault.Target{Service: "back"}, Probability: 1, Args: fault.Args{Rate: 1000}},
	} {
		err := s.inst.CanInject(&f)
		if err == nil || !strings.Contains(err.Error(), "--on local") || !strings.Contains(err.Error(), fault.WithoutGate(f.Type)) {
			t.Errorf("%s: got %v", f.Type, err)
		}
	}
}

// TestPrepareStartsHelpersBeforeTheyAreNeeded sees that a prepared fault needs no
// helper to be made, nor waited for, and that what was prepared ends with the system.
func TestPrepareStartsHelpersBeforeTheyAreNeeded(t *testing.T) {
	s := newAPIStage(t)
	if err := s.inst.Prepare(t.Context(), []fault.Fault{slow("back", 0)}); err != nil || len(s.has("jobs")) != 0 {
		t.Fatalf("faults in the service made %q, %v", s.has("jobs"), err)
	}
	if err := s.inst.Prepare(t.Context(), []fault.Fault{slow("back", 0), netDelay()}); err != nil {
		t.Fatal(err)
	}
	if made := s.has("jobs"); len(made) != 1 || len(s.helper.Faults()) != 0 {
		t.Fatalf("Jobs %q carry out %q; want one that carries out nothing", made, s.helper.Faults())
	}
	o := s.helper.Order("shop/shop")
	if left := time.Until(o.Reserved); left < reserveFor-time.Minute || left > reserveFor {
		t.Fatalf("the helper is reserved for %v, want %v", left, reserveFor)
	}
	before := len(s.server.Requests())
	if err := s.inst.Inject(t.Context(), "net", netDelay(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, r := range s.server.Requests()[before:] {
		changes = append(changes, strings.SplitN(r, "?", 2)[0])
	}
	want := []string{
		"POST /api/v1/namespaces/shop/configmaps",
		"PUT /api/v1/namespaces/microsim-system/configmaps/" + nodehelper.Name("n1"),
		"PUT /api/v1/namespaces/microsim-system/pods/http:" + nodehelper.Name("n1") + "-pod:8081/proxy/orders/shop%2Fshop",
	}
	if !slices.Equal(changes, want) {
		t.Errorf("the fault took\n%s\nwant\n%s", strings.Join(changes, "\n"), strings.Join(want, "\n"))
	}
	// The end of a fault leaves the helper for the next.
	if err := s.inst.Clear(t.Context(), "net"); err != nil || len(s.helper.Faults()) != 0 || len(s.has("jobs")) != 1 {
		t.Fatalf("Jobs %q carry out %q after the clear, %v", s.has("jobs"), s.helper.Faults(), err)
	}
	// Another program that clears a fault does not end it, either.
	other := NewInstance(s.inst.Client, s.inst.System(), "shop", "secret")
	if err := other.Clear(t.Context(), "nothing"); err != nil || len(s.has("jobs")) != 1 {
		t.Fatalf("Jobs %q are left by another program, %v", s.has("jobs"), err)
	}
	if err := nodehelper.RemoveOwner(t.Context(), s.inst.Client, order.SystemOwner("shop", "shop")); err != nil {
		t.Fatal(err)
	}
	if left := slices.Concat(s.has("jobs"), s.has("configmaps")); len(left) != 0 {
		t.Errorf("%q is left of what was prepared", left)
	}
}

func TestAHelperThatWasReplacedIsFound(t *testing.T) {
	s := newAPIStage(t)
	if err := s.inst.Prepare(t.Context(), []fault.Fault{netDelay()}); err != nil {
		t.Fatal(err)
	}
	jobs := apitest.Outside(t, s.inst.Client).BatchV1().Jobs(nodehelper.Namespace)
	if err := jobs.Delete(t.Context(), nodehelper.Name("n1"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.helper.Restart()
	if err := s.inst.Inject(t.Context(), "net", netDelay(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := s.helper.Faults(); len(got) != 2 {
		t.Errorf("the next helper carries out %q", got)
	}
}

// TestAPodThatRefusedItsFaultsIsTriedAgain holds a system while a pod becomes ready
// that does not take its fault at first.
func TestAPodThatRefusedItsFaultsIsTriedAgain(t *testing.T) {
	s := newAPIStage(t)
	if err := s.inst.Hold(); err != nil {
		t.Fatal(err)
	}
	defer s.inst.Release()
	if err := s.inst.Inject(t.Context(), "all", slow("back", 0), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.refuse = "not yet"
	s.mu.Unlock()
	s.create(s.replica(3))
	// The informer may wake the watcher once more; further tries are its own.
	for deadline := time.Now().Add(30 * time.Second); strings.Count(s.server.Progress(), "did not get its faults, trying again") < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the pod was not tried again: %s", s.server.Progress())
		}
	}
	if got := s.faultsIn("back-3"); len(got) != 0 {
		t.Fatalf("the pod has %q, which it refused", got)
	}
	s.mu.Lock()
	s.refuse = ""
	s.mu.Unlock()
	for deadline := time.Now().Add(30 * time.Second); len(s.faultsIn("back-3")) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pod never got its fault")
		}
	}
}
