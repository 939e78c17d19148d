package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A stage is a system on a cluster without controllers: the test makes the pods.
type stage struct {
	t      *testing.T
	client *fake.Clientset
	d      *Instance
	made   int
}

func newStage(t *testing.T, replicas int) *stage {
	back := topology.NewService("back")
	back.Replicas = replicas
	client := fake.NewClientset()
	c := &kubeapi.Client{Clientset: client, Config: kubeapi.Config{Progress: func(string) {}}}
	s := &stage{t: t, client: client, d: NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{back}}, "shop", "secret")}
	if _, err := client.CoreV1().ConfigMaps("shop").Create(t.Context(), described(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for range replicas {
		s.pod(true)
	}
	return s
}

// pod makes the next pod, a second younger than the one before.
func (s *stage) pod(ready bool) *corev1.Pod {
	s.t.Helper()
	s.made++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("back-%d", s.made), Namespace: "shop", UID: types.UID(fmt.Sprintf("uid-%d", s.made)), Labels: manifest.ServiceLabels("shop", "back"),
		CreationTimestamp: metav1.NewTime(time.Unix(int64(1e9+s.made), 0)),
	}}
	p.Spec.Containers = agentContainers()
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	made, err := s.client.CoreV1().Pods("shop").Create(s.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *stage) becomesReady(p *corev1.Pod) {
	s.t.Helper()
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if _, err := s.client.CoreV1().Pods("shop").UpdateStatus(s.t.Context(), p, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// expect checks the replicas, each written as index=pod state restarts.
func (s *stage) expect(want ...string) {
	s.t.Helper()
	v, err := s.d.Look(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for i, r := range s.d.ReplicasOf("back", v) {
		got = append(got, fmt.Sprintf("%d=%s %s %d", r.Index, v.Pods["back"][i].Name, r.State, r.Restarts))
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		s.t.Errorf("replicas are\n%q, want\n%q", got, want)
	}
}

func (s *stage) kill(id string, kind fault.Type, replica int) error {
	return s.d.Inject(s.t.Context(), id, fault.Fault{Type: kind, Target: fault.Target{Service: "back", Replica: replica}, Probability: 1}, time.Time{})
}

// acting lists the faults that act, as id on its replicas.
func (s *stage) acting() string {
	s.t.Helper()
	active, err := s.d.Active(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, in := range active {
		all = append(all, in.ID+" on "+strings.Join(in.Replicas, ","))
	}
	return strings.Join(all, "; ")
}

func TestTheNextPodTakesThePlaceOfTheKilledOne(t *testing.T) {
	s := newStage(t, 3)
	if err := s.kill("one", fault.Kill, 1); err != nil {
		t.Fatal(err)
	}
	s.expect("1= down 1", "2=back-2 ready 0", "3=back-3 ready 0")
	if got := s.acting(); got != "one on back/1" {
		t.Errorf("while the replica is away, %q acts", got)
	}
	next := s.pod(false)
	s.expect("1=back-4 starting 1", "2=back-2 ready 0", "3=back-3 ready 0")
	s.becomesReady(next)
	s.expect("1=back-4 ready 1", "2=back-2 ready 0", "3=back-3 ready 0")
	if got := s.acting(); got != "" {
		t.Errorf("when the replica is back, %q acts", got)
	}
	// Others find the same: all is in the record.
	if err := NewInstance(s.d.Client, s.d.System(), "shop", "").Inject(t.Context(), "one", fault.Fault{Type: fault.Restart, Probability: 1, Target: fault.Target{Service: "back", Replica: 2}}, time.Time{}); err != nil {
		t.Fatalf("a fault that has been carried out is in the way of another: %v", err)
	}
	s.expect("1=back-4 ready 1", "2= down 1", "3=back-3 ready 0")
	s.pod(true)
	if err := s.kill("again", fault.Kill, 1); err != nil {
		t.Fatal(err)
	}
	s.expect("1= down 2", "2=back-5 ready 1", "3=back-3 ready 0")
	if err := s.d.Clear(t.Context(), "again"); err != nil {
		t.Error(err)
	}
	s.expect("1= down 2", "2=back-5 ready 1", "3=back-3 ready 0")
}

func TestAllPodsAreKilledAtOnce(t *testing.T) {
	s := newStage(t, 2)
	if err := s.kill("all", fault.Kill, 0); err != nil {
		t.Fatal(err)
	}
	s.expect("1= down 1", "2= down 1")
	s.pod(true)
	s.expect("1=back-3 ready 1", "2= down 1")
	if got := s.acting(); got != "all on back/1,back/2" {
		t.Errorf("%q acts", got)
	}
	// A replica that is away already cannot be ended, and that is not an error.
	if err := s.kill("nothing", fault.Kill, 2); err != nil {
		t.Error(err)
	}
}

func TestKilledPodsGetNoTime(t *testing.T) {
	for kind, want := range map[fault.Type]string{fault.Kill: "0", fault.Restart: "its own"} {
		s := newStage(t, 1)
		if err := s.kill("one", kind, 1); err != nil {
			t.Fatal(err)
		}
		got := "nothing deleted"
		for _, a := range s.client.Actions() {
			if d, ok := a.(k8stesting.DeleteActionImpl); ok {
				got = "its own"
				if d.DeleteOptions.GracePeriodSeconds != nil {
					got = fmt.Sprint(*d.DeleteOptions.GracePeriodSeconds)
				}
				if uid := d.DeleteOptions.Preconditions.UID; uid == nil || *uid != "uid-1" {
					t.Errorf("%s would delete another pod of the same name", kind)
				}
			}
		}
		if got != want {
			t.Errorf("%s gives the pod %s seconds, want %s", kind, got, want)
		}
	}
}

func TestAKillThatIsForbiddenLeavesNothing(t *testing.T) {
	s := newStage(t, 2)
	s.client.PrependReactor("delete", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "back-1", nil)
	})
	if err := s.kill("one", fault.Kill, 1); err == nil || !strings.Contains(err.Error(), `deleting pod "back-1"`) {
		t.Errorf("the error is %v", err)
	}
	s.expect("1=back-1 ready 0", "2=back-2 ready 0")
	if got := s.acting(); got != "" {
		t.Errorf("%q acts", got)
	}
}

func TestPodsThatEndHaveNoPlace(t *testing.T) {
	s := newStage(t, 2)
	v, err := s.d.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var r ordinals
	r.end(v.Pods, "back", func(index int) bool { return index == 1 })
	ending := v.Pods["back"][0].DeepCopy()
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	pods := r.assign(s.d.System(), []*corev1.Pod{ending, v.Pods["back"][1]})
	if len(pods["back"]) != 2 || Present(pods["back"][0]) || podState(pods["back"][0]) != runner.Down || r.replaced(pods)["back/1"] != 1 {
		t.Errorf("a pod that ends still has its place: %v", pods)
	}
	// The record stays small: who has gone is only counted.
	r.end(pods, "back", func(int) bool { return false })
	if len(r.Ended) != 0 || r.replaced(pods)["back/1"] != 1 {
		t.Errorf("the roster is %+v", r)
	}
}

func TestADamagedRosterIsSurvived(t *testing.T) {
	s := newStage(t, 3)
	pods, err := s.d.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []map[types.UID]int{{"uid-1": -1}, {"uid-1": 1 << 40}, {"uid-1": 2, "uid-2": 2}} {
		r := ordinals{Index: index}
		if got := r.assign(s.d.System(), pods["back"]); len(got["back"]) != 3 {
			t.Errorf("with %v, there are %d places", index, len(got["back"]))
		}
	}
}

func TestAServiceThatShrinksHasNoGaps(t *testing.T) {
	s := newStage(t, 3)
	if err := s.kill("one", fault.Kill, 1); err != nil {
		t.Fatal(err)
	}
	s.d.System().Services[0].Replicas = 1
	s.expect("1=back-2 ready 1", "2=back-3 ready 0")
}
