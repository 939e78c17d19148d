package nodehelper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// A helperStage is an owner that wants one fault on one pod of node n1. Jobs get
// their pod when the test starts them.
type helperStage struct {
	t      *testing.T
	server *apitest.Server
	c      *kubeapi.Client
	wanted map[string][]order.Pod
	r      *Reconciler
}

func newHelperStage(t *testing.T, helper func(w http.ResponseWriter, r *http.Request)) *helperStage {
	t.Helper()
	s := &helperStage{t: t, server: apitest.New(t)}
	s.server.Proxy = func(w http.ResponseWriter, r *http.Request, _, _ string) { helper(w, r) }
	s.c = s.server.Client(t, kubeapi.Config{})
	s.create("namespaces", "", NewNamespace())
	s.create("nodes", "", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	pause := order.Fault{ID: "one", Fault: fault.Fault{Type: fault.Pause, Target: fault.Target{Service: "cart"}, Probability: 1}}
	s.wanted = map[string][]order.Pod{"n1": {{UID: "uid-1", Namespace: "shop", Name: "cart-1", Faults: []order.Fault{pause}}}}
	s.r = &Reconciler{
		Client: s.c, Owner: order.SystemOwner("shop", "shop"),
		Agent: func(context.Context) (Options, error) { return Options{Image: "agent:1"}, nil },
		Wanted: func(context.Context) (map[string][]order.Pod, error) {
			return s.wanted, nil
		},
	}
	return s
}

func (s *helperStage) create(resource, namespace string, o any) {
	s.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	request := apitest.Outside(s.t, s.c).CoreV1().RESTClient().Post().Resource(resource).Body(text)
	if namespace != "" {
		request = request.Namespace(namespace)
	}
	if err := request.Do(s.t.Context()).Error(); err != nil {
		s.t.Fatal(err)
	}
}

// startHelper does what the controller of Jobs and the kubelet do: the pod of the
// helper's Job is in the given state.
func (s *helperStage) startHelper(status corev1.PodStatus) {
	jobs := apitest.Outside(s.t, s.c).BatchV1().Jobs(Namespace)
	for s.t.Context().Err() == nil {
		job, err := jobs.Get(s.t.Context(), Name("n1"), metav1.GetOptions{})
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Labels: job.Spec.Template.Labels}, Spec: job.Spec.Template.Spec, Status: status}
		if _, err := apitest.Outside(s.t, s.c).CoreV1().Pods(Namespace).Create(s.t.Context(), p, metav1.CreateOptions{}); err != nil && s.t.Context().Err() == nil {
			s.t.Error(err)
		}
		return
	}
}

func runningHelper() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.9", ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}}
}

func acts(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `[{"owner":"shop/shop","podUID":"uid-1","faultID":"one","by":"freezer"}]`)
}

func TestReconcileMakesAHelperAndTellsIt(t *testing.T) {
	var told, slow atomic.Int32
	var method atomic.Value
	s := newHelperStage(t, func(w http.ResponseWriter, r *http.Request) {
		// A slow helper: its port is not open at first.
		if slow.Add(1) < 4 {
			apitest.Fail(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "connection refused")
			return
		}
		told.Add(1)
		method.Store(r.Method)
		if r.Method == http.MethodPut {
			acts(w)
		}
	})
	go s.startHelper(runningHelper())
	statuses, err := s.r.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(statuses) != 1 || statuses[0].By != "freezer" || told.Load() != 1 || method.Load() != http.MethodPut {
		t.Fatalf("statuses %+v after %d orders, want one that acts after one PUT", statuses, told.Load())
	}
	// Nothing has changed, so nobody is told.
	if _, err := s.r.Reconcile(t.Context()); err != nil || told.Load() != 1 {
		t.Errorf("%d orders after nothing has changed, %v", told.Load(), err)
	}
	// Orders without a fault are withdrawn, and the helper ends.
	s.wanted = nil
	if _, err := s.r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told.Load() != 2 || method.Load() != http.MethodDelete {
		t.Errorf("%d orders, the last a %v; want a DELETE", told.Load(), method.Load())
	}
	for _, name := range s.server.Names() {
		if strings.HasPrefix(name, "jobs/") || strings.HasPrefix(name, "configmaps/") {
			t.Errorf("%s is left", name)
		}
	}
}

func TestReconcileGivesALostHelperItsOrdersAgain(t *testing.T) {
	var told atomic.Int32
	s := newHelperStage(t, func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		acts(w)
	})
	go s.startHelper(runningHelper())
	if _, err := s.r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Somebody deletes the helper; its pod and its orders go with it.
	if err := apitest.Outside(s.t, s.c).BatchV1().Jobs(Namespace).Delete(t.Context(), Name("n1"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := apitest.Outside(s.t, s.c).CoreV1().Pods(Namespace).Delete(t.Context(), Name("n1")+"-pod", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := apitest.Outside(s.t, s.c).CoreV1().ConfigMaps(Namespace).Delete(t.Context(), Name("n1"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	go s.startHelper(runningHelper())
	if _, err := s.r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told.Load() != 2 {
		t.Errorf("%d orders, want one for each helper", told.Load())
	}
}

func TestReconcileSaysWhyAHelperRefuses(t *testing.T) {
	var told atomic.Int32
	s := newHelperStage(t, func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		http.Error(w, "the kernel has no freezer", http.StatusBadRequest)
	})
	go s.startHelper(runningHelper())
	_, err := s.r.Reconcile(t.Context())
	if err == nil || !strings.Contains(err.Error(), `node "n1"`) || !strings.Contains(err.Error(), "the kernel has no freezer") {
		t.Errorf("got %v, want the node and the reason", err)
	}
	if told.Load() != 1 {
		t.Errorf("%d tries of an order that was refused, want 1", told.Load())
	}
}

func TestReconcileSaysWhyAHelperDoesNotStart(t *testing.T) {
	s := newHelperStage(t, func(http.ResponseWriter, *http.Request) {})
	go s.startHelper(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Image: "agent:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "InvalidImageName"}},
	}}})
	_, err := s.r.Reconcile(t.Context())
	if err == nil || !strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), "is not an image") {
		t.Errorf("got %v, want the diagnosis of its pod", err)
	}
}

func TestReconcileSaysThatTheNamespaceDoesNotAdmitHelpers(t *testing.T) {
	for message, want := range map[string]string{
		`violates PodSecurity "baseline:latest"`: "pod-security.kubernetes.io/enforce=privileged",
		`exceeded quota: none`:                   `larger quota in the namespace "microsim-system"`,
	} {
		t.Run(want, func(t *testing.T) {
			s := newHelperStage(t, func(http.ResponseWriter, *http.Request) {})
			s.server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if !apitest.Is(r, http.MethodPost, "pods") {
					return false
				}
				apitest.Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, `pods "helper" is forbidden: `+message)
				return true
			}
			_, err := s.r.Reconcile(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "with -n") {
				t.Errorf("got %v, want %q, and no advice to leave a namespace that is fixed", err, want)
			}
			for _, name := range s.server.Names() {
				if strings.HasPrefix(name, "secrets/") || strings.HasPrefix(name, "jobs/") {
					t.Errorf("%s is left of a helper that was refused", name)
				}
			}
		})
	}
}

// A quota may admit the helper that was asked about, and not the one that is made
// after another: the Job is there then, and gets no pod.
func TestReconcileSaysThatTheQuotaIsUsedUpMeanwhile(t *testing.T) {
	s := newHelperStage(t, func(http.ResponseWriter, *http.Request) {})
	var asked atomic.Int32
	s.server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !apitest.Is(r, http.MethodPost, "pods") || asked.Add(1) == 1 {
			return false
		}
		apitest.Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, `pods "helper" is forbidden: exceeded quota: one, used: pods=1, limited: pods=1`)
		return true
	}
	began := time.Now()
	_, err := s.r.Reconcile(t.Context())
	if err == nil || !strings.Contains(err.Error(), "larger quota") {
		t.Errorf("got %v, want the quota", err)
	}
	if took := time.Since(began); took >= 30*time.Second {
		t.Errorf("it was said after %v, as the wait was over", took)
	}
}

// TestAHelperPullsItsImageWithACopy: Secrets of other namespaces are of no use to its pod, and
// the copy goes with its Job.
func TestAHelperPullsItsImageWithACopy(t *testing.T) {
	s := newHelperStage(t, func(w http.ResponseWriter, _ *http.Request) { acts(w) })
	o := Options{Image: "agent:1", PullSecret: kubeapi.PullSecret{Name: "regcred", From: "shop"}}
	s.r.Agent = func(context.Context) (Options, error) { return o, nil }
	if _, err := s.r.Reconcile(t.Context()); err == nil || !strings.Contains(err.Error(), "kubectl create secret docker-registry regcred -n shop") {
		t.Fatalf("without the Secret: %v", err)
	}
	secrets := apitest.Outside(t, s.c).CoreV1().Secrets(Namespace)
	if left, err := secrets.List(t.Context(), metav1.ListOptions{}); err != nil || len(left.Items) > 0 {
		t.Errorf("left are %+v, %v", left, err)
	}
	s.create("secrets", "shop", &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "regcred"}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte("{}")},
	})
	go s.startHelper(runningHelper())
	if _, err := s.r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, err := apitest.Outside(t, s.c).BatchV1().Jobs(Namespace).Get(t.Context(), Name("n1"), metav1.GetOptions{})
	if err != nil || len(job.Spec.Template.Spec.ImagePullSecrets) != 1 {
		t.Fatalf("the Job is %+v, %v", job, err)
	}
	got, err := secrets.Get(t.Context(), job.Spec.Template.Spec.ImagePullSecrets[0].Name, metav1.GetOptions{})
	if err != nil || got.Type != corev1.SecretTypeDockerConfigJson || string(got.Data[corev1.DockerConfigJsonKey]) != "{}" || len(got.OwnerReferences) != 1 || got.OwnerReferences[0].Name != job.Name {
		t.Errorf("the copy is %+v, %v", got, err)
	}
}
