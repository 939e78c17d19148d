package workload

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// pods makes running pods of node n1 with the label app=cart.
func pods(t *testing.T, c *kubeapi.Client, names ...string) {
	t.Helper()
	for _, name := range names {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "cart"}},
			Spec:       corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"},
		}
		if _, err := apitest.Outside(t, c).CoreV1().Pods("team").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// newStage makes an API server with node n1, whose helper answers.
func newStage(t *testing.T, helper *apitest.Helper) (*apitest.Server, *kubeapi.Client) {
	t.Helper()
	server := apitest.New(t)
	server.RunJobs = true
	server.Proxy = func(w http.ResponseWriter, r *http.Request, _, path string) { helper.Answer(w, r, path) }
	c := server.Client(t, kubeapi.Config{Image: "agent:1"})
	core := apitest.Outside(t, c).CoreV1()
	if _, err := core.Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Namespaces().Create(t.Context(), nodehelper.NewNamespace(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return server, c
}

func slow() fault.Fault {
	return fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "cart"}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Second)}}
}

// TestInjectAndClear breaks selected pods with nothing but the rights that doctor
// asks for.
func TestInjectAndClear(t *testing.T) {
	helper := &apitest.Helper{}
	server, c := newStage(t, helper)
	core := apitest.Outside(t, c).CoreV1()
	pods(t, c, "cart-1", "cart-2")
	rules := map[string][]rbacv1.PolicyRule{}
	for _, p := range rights.Purposes() {
		switch p.Name {
		case "selected-pods":
			rules["team"] = p.Rules()
		case "helpers":
			rules[nodehelper.Namespace] = p.Rules()
		case "helper-namespace":
			rules[""] = p.Rules()
		}
	}
	server.Allow(rules)

	x, err := Select(t.Context(), c, Selection{Namespace: "team", Selector: "app=cart", MaxPods: 2})
	if err != nil {
		t.Fatal(err)
	}
	delay := slow()
	if err := x.Inject(t.Context(), "slow", delay, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := helper.Faults(); !slices.Equal(got, []string{"cart-1/slow", "cart-2/slow"}) {
		t.Fatalf("the helper carries out %q", got)
	}
	if err := x.Inject(t.Context(), "slow", delay, time.Now().Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second fault of the same id: %v", err)
	}
	active, err := x.Active(t.Context())
	if err != nil || len(active) != 1 || active[0].By != "tc" || len(active[0].Replicas) != 2 {
		t.Errorf("active are %+v, %v", active, err)
	}

	// While it is followed, a pod that takes the place of another gets the fault, and
	// no more pods than are allowed. Follow and Inject may run at the same time.
	following, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { x.Follow(following) })
	if err := core.Pods("team").Delete(t.Context(), "cart-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	pods(t, c, "cart-3", "cart-4")
	for deadline := time.Now().Add(30 * time.Second); !slices.Equal(helper.Faults(), []string{"cart-2/slow", "cart-3/slow"}); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the helper carries out %q", helper.Faults())
		}
	}
	stop()
	done.Wait()

	if err := x.Clear(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	if got := helper.Faults(); len(got) != 0 {
		t.Errorf("the helper carries out %q after the clear", got)
	}
	for _, name := range server.Names() {
		if strings.HasPrefix(name, "jobs/") || strings.HasPrefix(name, "configmaps/") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestARefusalOfTheHelperIsShown injects a fault that the helper refuses on one of two
// pods: the reason is shown, and the fault is taken back as a whole.
func TestARefusalOfTheHelperIsShown(t *testing.T) {
	var bounds []int
	helper := &apitest.Helper{Refuse: func(owner string, p order.Pod, f order.Fault) string {
		bounds = append(bounds, f.MaxPods)
		if owner == order.WorkloadsOwner("team") && p.Name == "cart-2" {
			return `the helper refuses it: it is a pod of namespace "bank"`
		}
		return ""
	}}
	server, c := newStage(t, helper)
	pods(t, c, "cart-1", "cart-2")
	x, err := Select(t.Context(), c, Selection{Namespace: "team", Selector: "app=cart", MaxPods: 7})
	if err != nil {
		t.Fatal(err)
	}
	err = x.Inject(t.Context(), "slow", slow(), time.Now().Add(time.Minute))
	if err == nil || !strings.Contains(err.Error(), `uid-cart-2: the helper refuses it: it is a pod of namespace "bank"`) {
		t.Errorf("the error is %v", err)
	}
	if !slices.Equal(bounds, []int{7, 7}) {
		t.Errorf("the helper is told to hit at most %d pods", bounds)
	}
	if left := helper.Faults(); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	for _, name := range server.Names() {
		if strings.HasPrefix(name, "jobs/") || strings.HasPrefix(name, "configmaps/") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestOnlyAllowSystemGivesThePodsOfTheCluster looks at the helpers that faults are
// given to: the one for kube-system takes such pods, others do not.
func TestOnlyAllowSystemGivesThePodsOfTheCluster(t *testing.T) {
	c := &kubeapi.Client{Config: kubeapi.Config{FindImage: func(context.Context) (string, corev1.PullPolicy, error) { return "agent:1", "", nil }}}
	for namespace, want := range map[string]bool{"kube-system": true, nodehelper.Namespace: true, "team": false} {
		x := &Workloads{c: c, namespace: namespace}
		o, err := x.agent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		args := nodehelper.NewJob("n1", o).Spec.Template.Spec.Containers[0].Args
		if got := slices.Contains(args, "--allow-system"); got != want {
			t.Errorf("the helper for pods of %s runs with %q", namespace, args)
		}
	}
}
