package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// keepDeployments stands in for the controllers until the test ends: all pods of each
// Deployment run, except those that say otherwise.
func keepDeployments(t *testing.T, c kubernetes.Interface, namespace string, fails func(*appsv1.Deployment) bool) {
	ctx, end := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.Cleanup(func() { end(); done.Wait() })
	done.Go(func() {
		for ctx.Err() == nil {
			list, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
			if err == nil {
				for i := range list.Items {
					keepDeployment(ctx, c, &list.Items[i], fails(&list.Items[i]))
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

func keepDeployment(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment, fails bool) {
	n := *d.Spec.Replicas
	want := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, AvailableReplicas: n}
	if fails {
		want.AvailableReplicas = 0
		want.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"}}
	}
	if d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != n || d.Status.AvailableReplicas != want.AvailableReplicas {
		d.Status = want
		_, _ = c.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{}) // tried again soon
	}
}

// twoServices are web, which calls back.
func twoServices(change func(web, back *topology.Service)) *topology.System {
	web, back := topology.NewService("web", topology.CallTo("back")), topology.NewService("back")
	change(&web, &back)
	return &topology.System{Name: "shop", Services: []topology.Service{web, back}}
}

// neverReady is a number of processors that no node has.
const neverReady = 999

// updates is a system on a cluster that is changed.
type updates struct {
	t       *testing.T
	server  *apitest.Server
	outside kubernetes.Interface
	started *Cluster
	found   *Deployment
	seen    int
	pods    *fakePods
}

// fakePods stand in for the agents: they follow descriptions, but for those that refuse.
type fakePods struct {
	mu      sync.Mutex
	follow  map[string]control.Description
	refuses map[string]bool
}

// answer is apitest.Server.Proxy.
func (f *fakePods) answer(w http.ResponseWriter, r *http.Request, pod, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case path != control.ServicePath:
		fmt.Fprint(w, "[]") // all services are reached
	case f.refuses[pod]:
		w.WriteHeader(http.StatusConflict)
	case r.Method == http.MethodPut:
		var d control.Description
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.follow[pod] = d
		fallthrough
	default:
		d := f.follow[pod]
		print, _ := d.Fingerprint() // a description has a JSON form
		_ = json.NewEncoder(w).Encode(control.Serving{Fingerprint: print})
	}
}

func (f *fakePods) refuse(pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses[pod] = true
}

func (f *fakePods) of(pod string) control.Description {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.follow[pod]
}

// start starts a ready pod of a service.
func (u *updates) start(service, name string) {
	u.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: manifest.ServiceLabels("shop", service)}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if _, err := u.outside.CoreV1().Pods("shop").Create(u.t.Context(), p, metav1.CreateOptions{}); err != nil {
		u.t.Fatal(err)
	}
	u.touched()
}

func newUpdates(t *testing.T) *updates {
	server := apitest.New(t)
	pods := &fakePods{follow: map[string]control.Description{}, refuses: map[string]bool{}}
	server.Proxy = pods.answer
	spec := func(_ *topology.System, s *topology.Service, seed uint64, peers manifest.Peers) ([]byte, error) {
		part := *s
		part.Replicas = topology.DefaultReplicas
		return json.Marshal(struct {
			Service topology.Service
			Seed    uint64
			Peers   manifest.Peers
		}{part, seed, peers})
	}
	never := false
	started := &Cluster{server.Client(t, kubeapi.Config{Image: "agent:old", AgentArgs: []string{"--verbose"}, ServiceSpec: spec, PodMonitor: &never, ReadyTimeout: time.Minute})}
	u := &updates{t: t, server: server, pods: pods, started: started, outside: apitest.Outside(t, started.Client)}
	keepDeployments(t, u.outside, "shop", func(d *appsv1.Deployment) bool {
		return d.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().Value() == neverReady
	})
	if _, err := started.Up(t.Context(), twoServices(func(_, _ *topology.Service) {}), 7); err != nil {
		t.Fatal(err)
	}
	// Another program, which knows no image and has none of the arguments.
	watcher := &Cluster{server.Client(t, kubeapi.Config{ServiceSpec: spec, PodMonitor: &never, ReadyTimeout: 3 * time.Second})}
	var err error
	if u.found, err = watcher.Find(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	u.touched()
	return u
}

// touched are the objects that were changed since it was asked last.
func (u *updates) touched() (names []string) {
	requests := u.server.Requests()
	for _, r := range requests[u.seen:] {
		method, path, _ := strings.Cut(r, " ")
		path, _, _ = strings.Cut(path, "?")
		parts := strings.Split(path, "/")
		if strings.HasSuffix(path, "/status") {
			continue // the controllers'
		}
		names = append(names, method+" "+strings.Join(parts[len(parts)-2:], "/"))
	}
	u.seen = len(requests)
	slices.Sort(names)
	return names
}

func (u *updates) deployment(name string) *appsv1.Deployment {
	u.t.Helper()
	d, err := u.outside.AppsV1().Deployments("shop").Get(u.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		u.t.Fatal(err)
	}
	return d
}

// TestUpdateAppliesWhatDiffers changes a running system step by step: only what differs is
// sent, with the image and the arguments that the system has.
func TestUpdateAppliesWhatDiffers(t *testing.T) {
	u := newUpdates(t)
	if err := u.found.Update(t.Context(), twoServices(func(_, back *topology.Service) { back.Replicas = 3 })); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PATCH configmaps/microsim-shop", "PATCH deployments/back"}, u.touched()); diff != "" {
		t.Errorf("scaling has changed %s", diff)
	}
	back := u.deployment("back")
	if c := back.Spec.Template.Spec.Containers[0]; *back.Spec.Replicas != 3 || c.Image != "agent:old" || !slices.Contains(c.Args, "--verbose") {
		t.Errorf("back is %d of %s %v", *back.Spec.Replicas, c.Image, c.Args)
	}
	if replicas, err := u.found.Replicas(t.Context()); err != nil || len(replicas) != 4 {
		t.Errorf("the replicas are %v, %v", replicas, err)
	}
	next := twoServices(func(web, back *topology.Service) {
		back.Replicas = 3
		web.Endpoints[0].Steps = nil
	})
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PATCH configmaps/microsim-shop", "PATCH configmaps/microsim-shop-spec-web"}, u.touched()); diff != "" {
		t.Errorf("taking a call away has changed %s", diff)
	}
	next = twoServices(func(web, back *topology.Service) {
		back.Replicas = 3
		web.Endpoints[0].Steps = nil
	})
	next.Services = append(next.Services[:1:1], topology.NewService("cart"))
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"DELETE configmaps/microsim-shop-spec-back", "DELETE deployments/back", "DELETE services/back",
		"PATCH configmaps/microsim-shop", "PATCH configmaps/microsim-shop-spec-cart", "PATCH configmaps/microsim-shop-spec-web",
		"PATCH deployments/cart", "PATCH services/cart",
	}
	if diff := cmp.Diff(want, u.touched()); diff != "" {
		t.Errorf("another service has changed %s", diff)
	}
	again, err := (&Cluster{u.found.Client}).Find(t.Context(), "shop")
	if err != nil || again.System().Service("cart") == nil || again.System().Service("back") != nil || again.seed != 7 || again.Replaces(u.found) {
		t.Errorf("others find %+v, %v", again, err)
	}
}

// TestUpdateRevertsWhatDoesNotBecomeReady changes a system to one whose pods do not start:
// the system is what it was.
func TestUpdateRevertsWhatDoesNotBecomeReady(t *testing.T) {
	u := newUpdates(t)
	before := u.deployment("back").Spec.Template.Annotations[manifest.SpecAnnotation]
	bad := twoServices(func(web, back *topology.Service) {
		back.Resources = &topology.Resources{CPURequest: neverReady}
	})
	bad.Services = append(bad.Services, topology.NewService("cart"))
	err := u.found.Update(t.Context(), bad)
	if err == nil || !strings.Contains(err.Error(), `changing system "shop" in namespace "shop"`) || strings.Contains(err.Error(), "not what it was") {
		t.Fatalf("the change ends with %v", err)
	}
	if now := u.deployment("back").Spec.Template.Annotations[manifest.SpecAnnotation]; now != before {
		t.Error("back is not what it was")
	}
	if _, err := u.outside.AppsV1().Deployments("shop").Get(t.Context(), "cart", metav1.GetOptions{}); err == nil {
		t.Error("cart is still there")
	}
	if u.found.System().Service("cart") != nil {
		t.Error("the system is said to have cart")
	}
}

// TestUpdateRefuses names what no running system can become, and changes nothing.
func TestUpdateRefuses(t *testing.T) {
	u := newUpdates(t)
	if err := u.found.Inject(t.Context(), "slow", fault.Fault{Type: fault.Latency, Probability: 1, Target: fault.Target{Service: "back"}, Args: fault.Args{Delay: dist.Fixed(time.Millisecond)}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	u.touched()
	other := twoServices(func(_, _ *topology.Service) {})
	other.Name = "other"
	moved := twoServices(func(_, _ *topology.Service) {})
	moved.Namespace = "elsewhere"
	without := twoServices(func(web, _ *topology.Service) { web.Endpoints[0].Steps = nil })
	without.Services = without.Services[:1]
	for want, next := range map[string]*topology.System{
		`of system "other"`:                          other,
		`cannot move from namespace "" to`:           moved,
		`fault "slow" acts on back, which the new d`: without,
	} {
		if err := u.found.Update(t.Context(), next); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if touched := u.touched(); len(touched) > 0 {
		t.Errorf("refusals have changed %v", touched)
	}
	if err := u.outside.CoreV1().ConfigMaps("shop").Delete(t.Context(), "microsim-shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var _ runner.Deployment = u.found
	none := (*NotFoundError)(nil)
	if _, err := (&Cluster{u.found.Client}).Find(t.Context(), "shop"); !errors.As(err, &none) {
		t.Errorf("a system without its description is found: %v", err)
	}
}

// TestUpdateChangesPodsInPlace changes a service whose pods follow: neither its Deployment nor
// its template changes, and each pod gets the description and the peers.
func TestUpdateChangesPodsInPlace(t *testing.T) {
	u := newUpdates(t)
	u.start("web", "web-1")
	u.start("web", "web-2")
	mark := u.deployment("web").Spec.Template.Annotations[manifest.SpecAnnotation]
	next := twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate = 0.5 })
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	want := []string{"PATCH configmaps/microsim-shop", "PATCH configmaps/microsim-shop-spec-web", "PUT service/v1", "PUT service/v1"}
	if diff := cmp.Diff(want, u.touched()); diff != "" {
		t.Errorf("the change has touched %s", diff)
	}
	for _, pod := range []string{"web-1", "web-2"} {
		if got := u.pods.of(pod); got.Service.Endpoints[0].ErrorRate != 0.5 || len(got.Peers) != 2 {
			t.Errorf("%s follows %+v", pod, got)
		}
	}
	// Scaling later leaves the mark with which the pods were rolled out.
	next = twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate, web.Replicas = 0.5, 3 })
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if now := u.deployment("web"); *now.Spec.Replicas != 3 || now.Spec.Template.Annotations[manifest.SpecAnnotation] != mark {
		t.Errorf("web is %d with the mark %s, want 3 with %s", *now.Spec.Replicas, now.Spec.Template.Annotations[manifest.SpecAnnotation], mark)
	}
	// One more service is known to all, and one less: the pods go on.
	u.touched()
	next = twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate, web.Replicas = 0.5, 3 })
	next.Services = append(next.Services, topology.NewService("cart"))
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := u.pods.of("web-1").Peers; got["cart"] == nil || slices.Contains(u.touched(), "PATCH deployments/web") {
		t.Errorf("web has the peers %v", got)
	}
	if err := u.found.Update(t.Context(), twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate, web.Replicas = 0.5, 3 })); err != nil {
		t.Fatal(err)
	}
	if got := u.pods.of("web-1").Peers; got["cart"] != nil || len(got) != 2 {
		t.Errorf("web has the peers %v, after cart is gone", got)
	}
}

// TestPodsThatCannotFollowAreReplaced changes a service in place and, when a pod refuses, back:
// the template is another one than that with which the pods began, so that a rollout follows.
func TestPodsThatCannotFollowAreReplaced(t *testing.T) {
	u := newUpdates(t)
	u.start("web", "web-1")
	u.start("web", "web-2")
	mark := func() string { return u.deployment("web").Spec.Template.Annotations[manifest.SpecAnnotation] }
	began := mark()
	change := func(rate unit.Share) {
		t.Helper()
		if err := u.found.Update(t.Context(), twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate = rate })); err != nil {
			t.Fatal(err)
		}
	}
	change(0.5)
	if mark() != began {
		t.Fatalf("a change in place has made the mark %s of %s", mark(), began)
	}
	u.pods.refuse("web-2")
	change(0)
	if mark() != began+"-again" {
		t.Errorf("the mark is %s after a pod has refused, want %s-again", mark(), began)
	}
	change(0.5)
	if now := mark(); strings.HasPrefix(now, began) || now == "" {
		t.Errorf("the mark is %s after another refusal", now)
	}
}

// TestStatusNamesPodsThatFollowAnotherDescription shows what another program has applied and
// told no pod.
func TestStatusNamesPodsThatFollowAnotherDescription(t *testing.T) {
	u := newUpdates(t)
	u.start("web", "web-1")
	next := twoServices(func(web, _ *topology.Service) { web.Endpoints[0].ErrorRate = 0.5 })
	if err := u.found.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	trouble := func() string {
		t.Helper()
		s, err := u.found.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Services[0].Trouble
	}
	const want = "pod web-1 does not follow the description"
	if got := trouble(); strings.Contains(got, want) {
		t.Errorf("after a change in place: %s", got)
	}
	var old control.Description
	old.Service = topology.NewService("web", topology.CallTo("back"))
	u.pods.mu.Lock()
	u.pods.follow["web-1"] = old
	u.pods.mu.Unlock()
	if got := trouble(); !strings.Contains(got, want) {
		t.Errorf("a pod follows another description, and the trouble is %q", got)
	}
	// Bringing the same file up again lets it follow.
	if _, err := u.started.Up(t.Context(), next, 7); err != nil {
		t.Fatal(err)
	}
	if got := u.pods.of("web-1").Service.Endpoints[0].ErrorRate; got != 0.5 {
		t.Errorf("after up the pod has the rate %v, want 0.5", got)
	}
}

// TestChangesPullAsTheSystemDoes: another program pulls with the Secret of the running system,
// and its runtimes on the nodes that they are for.
func TestChangesPullAsTheSystemDoes(t *testing.T) {
	c := apitest.New(t).Client(t, kubeapi.Config{})
	cart := topology.NewService("cart")
	cart.Runtime = "express"
	pod := corev1.PodSpec{
		ImagePullSecrets: manifest.PullSecrets("regcred"), NodeSelector: map[string]string{corev1.LabelArchStable: "arm64"},
		Containers: []corev1.Container{{Name: manifest.ContainerName, Image: "registry.example/express@sha256:1"}},
	}
	running := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "cart", Labels: manifest.ServiceLabels("shop", "cart")}}
	running.Spec.Template.Spec = pod
	if _, err := apitest.Outside(t, c).AppsV1().Deployments("shop").Create(t.Context(), running, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d := &Deployment{Instance: faults.NewInstance(c, &topology.System{Name: "shop", Services: []topology.Service{cart}}, "shop", "token")}
	changing, err := d.clientAsStarted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := changing.Config.PullSecret; got != (kubeapi.PullSecret{Name: "regcred", From: "shop"}) {
		t.Errorf("it pulls with %+v", got)
	}
	if got, err := changing.Config.RuntimeImage(t.Context(), "express"); err != nil || got != (manifest.RuntimeImage{Reference: "registry.example/express@sha256:1", Arch: "arm64"}) {
		t.Errorf("the image of the runtime is %+v, %v", got, err)
	}
}
