package detached

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// faked is a Cluster that has the objects, in memory.
func faked(objects ...runtime.Object) (*kubeapi.Client, *fake.Clientset) {
	client := fake.NewClientset(objects...)
	return &kubeapi.Client{Clientset: client, Config: kubeapi.Config{Progress: func(string) {}}}, client
}

func metaOf(name, role string) metav1.ObjectMeta {
	return manifest.ExperimentMeta("down", "shop", "lab", name, role)
}

// described is what an experiment is known by.
func described() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metaOf(manifest.ExperimentName("down"), manifest.ExperimentRole)}
}

func jobWith(conditions ...batchv1.JobCondition) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metaOf(manifest.ExperimentName("down"), manifest.ExperimentRole), Status: batchv1.JobStatus{Conditions: conditions}}
}

func podWith(status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metaOf("pod", manifest.ExperimentRole), Status: status}
}

func index(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metaOf(manifest.ResultsName("down"), manifest.ResultsRole), Data: map[string]string{indexKey: text}}
}

func TestPhases(t *testing.T) {
	began := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	running := corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}}}}
	killed := corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: began}}}}}
	failed := batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Message: "Job has reached the specified backoff limit"}
	asked := batchv1.JobCondition{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Message: "Job has reached the specified backoff limit"}
	podLeaving := func(left time.Duration) *corev1.Pod {
		pod := podWith(running)
		pod.DeletionTimestamp, pod.Finalizers = &metav1.Time{Time: time.Now().Add(left)}, []string{"batch.kubernetes.io/job-tracking"}
		return pod
	}
	for name, tt := range map[string]struct {
		objects []runtime.Object
		want    Phase
		why     string
	}{
		"no pod yet": {[]runtime.Object{described(), jobWith()}, Starting, ""},
		"pending":    {[]runtime.Object{described(), jobWith(), podWith(corev1.PodStatus{Phase: corev1.PodPending})}, Starting, ""},
		"no image": {[]runtime.Object{described(), jobWith(), podWith(corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
			{Image: "x", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}}},
		}})}, Starting, "no such image"},
		"running":                  {[]runtime.Object{described(), jobWith(), podWith(running)}, Running, ""},
		"out of memory":            {[]runtime.Object{described(), jobWith(failed), podWith(killed)}, Died, "OOMKilled"},
		"evicted":                  {[]runtime.Object{described(), jobWith(failed), podWith(corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"})}, Died, "Evicted low on memory"},
		"pod gone":                 {[]runtime.Object{described(), jobWith(failed)}, Died, "deleted, or its node is lost"},
		"job gone, pod ends":       {[]runtime.Object{described(), podLeaving(time.Minute)}, Running, "stores what it has seen"},
		"job gone, pod lost":       {[]runtime.Object{described(), podLeaving(-time.Minute)}, Died, "Job has been deleted"},
		"drained":                  {[]runtime.Object{described(), jobWith(asked), podLeaving(time.Minute)}, Running, "asked to end"},
		"too long":                 {[]runtime.Object{described(), jobWith(asked), podWith(running)}, Running, "asked to end"},
		"drained from a lost node": {[]runtime.Object{described(), jobWith(failed), podLeaving(-time.Minute)}, Died, "backoff limit"},
		"job gone":                 {[]runtime.Object{described()}, Died, "Job has been deleted"},
		"passed":                   {[]runtime.Object{described(), jobWith(), podWith(running), index(`{"verdict":"passed"}`)}, Passed, ""},
		"failed":                   {[]runtime.Object{described(), jobWith(failed), podWith(killed), index(`{"verdict":"failed","code":10,"error":"1 of 2 checks"}`)}, Failed, "1 of 2 checks"},
		"interrupted":              {[]runtime.Object{described(), jobWith(failed), index(`{"verdict":"error","code":1,"error":"terminated"}`)}, Ended, "terminated"},
		"results alone":            {[]runtime.Object{index(`{"verdict":"passed"}`)}, Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := faked(tt.objects...)
			x, err := Find(t.Context(), c, "down")
			if err != nil {
				t.Fatal(err)
			}
			if x.Phase != tt.want || !strings.Contains(x.Why, tt.why) || tt.why == "" && x.Why != "" {
				t.Errorf("got %s %q, want %s %q", x.Phase, x.Why, tt.want, tt.why)
			}
			if x.Namespace != "lab" || x.System != "shop" {
				t.Errorf("it is in namespace %q, on system %q", x.Namespace, x.System)
			}
		})
	}
}

// Without experiments, no right to see Jobs is needed.
func TestJobsAreNotAskedForWithoutExperiments(t *testing.T) {
	c, client := faked()
	client.PrependReactor("list", "jobs", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, "", errors.New("no rights"))
	})
	if all, err := List(t.Context(), c); err != nil || len(all) > 0 {
		t.Errorf("got %v, %v", all, err)
	}
	_, err := Find(t.Context(), c, "down")
	if missing := (*NotFoundError)(nil); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

func TestExperimentsOfTwoNamespacesAreToldApart(t *testing.T) {
	other := described()
	other.Namespace = "other"
	c, _ := faked(described(), other)
	for name, find := range map[string]func() error{
		"by name":   func() error { _, err := Find(t.Context(), c, "down"); return err },
		"by system": func() error { _, err := ListOn(t.Context(), c, "shop"); return err },
	} {
		if err := find(); err == nil || !strings.Contains(err.Error(), "lab, other") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Config.Namespace = "other"
	if x, err := Find(t.Context(), c, "down"); err != nil || x.Namespace != "other" {
		t.Errorf("with a namespace: %v, %v", x, err)
	}
}

func TestExperimentsDoNotClash(t *testing.T) {
	c, _ := faked(described(), index(`{"verdict":"passed"}`))
	for name, tt := range map[string]struct {
		experiment, System string
		refused            bool
	}{
		"same name":         {"down", "another", true},
		"same system, over": {"another", "shop", false},
		"another":           {"another", "another", false},
	} {
		e := &experiment.Experiment{Name: tt.experiment, System: topology.System{Name: tt.System}}
		if err := refuseClash(t.Context(), c, e, "lab"); (err != nil) != tt.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	running, _ := faked(described(), jobWith())
	if err := refuseClash(t.Context(), running, &experiment.Experiment{Name: "another", System: topology.System{Name: "shop"}}, "lab"); err == nil {
		t.Error("a second experiment on a system that is in use was taken")
	}
}

// TestTwoStartsOfOneNameDoNotUndoEachOther: the one that came later found its objects to be
// others', failed, and deleted those of the first.
func TestTwoStartsOfOneNameDoNotUndoEachOther(t *testing.T) {
	server := apitest.New(t)
	var first atomic.Bool
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/configmaps") || first.Swap(true) {
			return false
		}
		apitest.Fail(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, `configmaps "microsim-down-experiment" already exists`)
		return true
	}
	c := server.Client(t, kubeapi.Config{Image: "agent:1", ReadyTimeout: time.Minute, ServiceSpec: func(*topology.System, *topology.Service, uint64, manifest.Peers) ([]byte, error) {
		return []byte("{}"), nil
	}})
	e := &experiment.Experiment{Name: "down", System: topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web")}}}
	_, err := Start(t.Context(), c, e, Launch{Document: []byte("x"), Image: "runner:1", Args: func(string) []string { return nil }, AtMost: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "another program has just started an experiment of this name") {
		t.Fatalf("got %v", err)
	}
	for _, r := range server.Requests() {
		if strings.HasPrefix(r, http.MethodDelete) || strings.Contains(r, "/jobs") || strings.Contains(r, "/roles") {
			t.Errorf("the start that came later has sent %s", r)
		}
	}
}

// archive is larger than one piece.
func resultsArchive() []byte {
	data := make([]byte, 0, 2*maxPiece+100)
	for sum := sha256.Sum256(nil); len(data) < 2*maxPiece+100; sum = sha256.Sum256(sum[:]) {
		data = append(data, sum[:]...)
	}
	return data
}

func TestResultsAreFetchedAsTheyWereKept(t *testing.T) {
	c, _ := faked()
	x := &Experiment{Name: "down", Namespace: "lab", System: "shop"}
	kept := Results{Verdict: Failed, Code: 10, Error: "1 of 2 checks did not hold", Omitted: []string{"timeline.csv"}}
	if err := KeepResults(t.Context(), c, x, kept, resultsArchive()); err != nil {
		t.Fatal(err)
	}
	found, err := Find(t.Context(), c, "down")
	if err != nil {
		t.Fatal(err)
	}
	if found.Phase != Failed || found.Results.Pieces != 3 || found.Results.Size != len(resultsArchive()) || found.Results.Omitted[0] != "timeline.csv" {
		t.Errorf("the index says %+v", found.Results)
	}
	data, err := FetchResults(t.Context(), c, found)
	if err != nil || digest(data) != digest(resultsArchive()) {
		t.Errorf("fetched were %d bytes of %d, %v", len(data), len(resultsArchive()), err)
	}
}

// TestLostResultsAreNoVerdict: a run passed, but nothing of it could be packed.
func TestLostResultsAreNoVerdict(t *testing.T) {
	c, _ := faked()
	kept := Results{Verdict: Passed}
	kept.Lost(1, errors.New("packing: too large"))
	if err := KeepResults(t.Context(), c, &Experiment{Name: "down", Namespace: "lab", System: "shop"}, kept, nil); err != nil {
		t.Fatal(err)
	}
	if x, err := Find(t.Context(), c, "down"); err != nil || x.Phase != Ended || x.Why != "packing: too large" || x.Results.Code != 1 {
		t.Errorf("got %+v, %v", x, err)
	}
}

func TestDamagedResultsAreNotShown(t *testing.T) {
	for name, damage := range map[string]func(context.Context, *fake.Clientset) error{
		"changed": func(ctx context.Context, client *fake.Clientset) error {
			config, err := client.CoreV1().ConfigMaps("lab").Get(ctx, manifest.PieceName("down", 2), metav1.GetOptions{})
			if err == nil {
				config.BinaryData[pieceKey][7]++
				_, err = client.CoreV1().ConfigMaps("lab").Update(ctx, config, metav1.UpdateOptions{})
			}
			return err
		},
		"missing": func(ctx context.Context, client *fake.Clientset) error {
			return client.CoreV1().ConfigMaps("lab").Delete(ctx, manifest.PieceName("down", 3), metav1.DeleteOptions{})
		},
	} {
		c, client := faked()
		x := &Experiment{Name: "down", Namespace: "lab", System: "shop"}
		if err := KeepResults(t.Context(), c, x, Results{Verdict: Passed}, resultsArchive()); err != nil {
			t.Fatal(err)
		}
		found, err := Find(t.Context(), c, "down")
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if _, err := FetchResults(t.Context(), c, found); err == nil {
			t.Errorf("%s: they were taken for whole", name)
		}
	}
}

func TestIndexesThatCannotBeAreTold(t *testing.T) {
	for _, text := range []string{``, `{"pieces":-1}`, `{"size":99999999999}`, `{"pieces":100000}`, `[]`} {
		c, _ := faked(described(), index(text))
		x, err := Find(t.Context(), c, "down")
		if err != nil || x.Phase != Ended || !strings.Contains(x.Why, "microsim-down-results") || x.Results != nil {
			t.Errorf("%s: %+v, %v", text, x, err)
		}
	}
	c, _ := faked()
	if err := KeepResults(t.Context(), c, &Experiment{Name: "down", Namespace: "lab"}, Results{}, make([]byte, MaxResults+1)); err == nil {
		t.Error("results beyond the bound were kept")
	}
}
