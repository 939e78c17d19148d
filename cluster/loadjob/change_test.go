package loadjob

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// A change is made when all pods have it, and its sender is told if one has not.
func TestChangesReachAllPods(t *testing.T) {
	var mu sync.Mutex
	got, broken := map[string]control.LoadFactors{}, ""
	server := apitest.New(t)
	server.Proxy = func(w http.ResponseWriter, r *http.Request, pod, path string) {
		mu.Lock()
		defer mu.Unlock()
		if pod == broken {
			http.Error(w, "the pod is ending", http.StatusGone)
			return
		}
		var f control.LoadFactors
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil || path != control.LoadControlPath {
			t.Errorf("%s is asked at %s: %v", pod, path, err)
		}
		got[pod] = f
	}
	changes := make(chan Change)
	r := &runningLoad{c: server.Client(t, kubeapi.Config{}), namespace: "shop", token: "secret", count: 2, changes: changes}
	for i := range r.count {
		r.pods = append(r.pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("gen-%d", i), Namespace: "shop"}})
	}
	ctx, end := context.WithCancel(t.Context())
	var passing sync.WaitGroup
	passing.Go(func() { r.passOn(ctx) })
	defer func() { end(); passing.Wait() }()
	made := make(chan error)
	change := func(rate float64) error {
		changes <- Change{Factors: control.LoadFactors{Rate: rate, Burst: 1, Users: 1}, Made: func(err error) { made <- err }}
		return <-made
	}
	if err := change(3); err != nil {
		t.Fatal(err)
	}
	three := control.LoadFactors{Rate: 3, Burst: 1, Users: 1}
	if diff := cmp.Diff(map[string]control.LoadFactors{"gen-0": three, "gen-1": three}, got); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	broken = "gen-1"
	mu.Unlock()
	if err := change(4); err == nil || !strings.Contains(err.Error(), "has not reached all of its pods") || !strings.Contains(err.Error(), "the pod is ending") {
		t.Errorf("a change that a pod has not got ends with %v", err)
	}
	// Without anybody who waits, it is progress.
	changes <- Change{Factors: control.LoadFactors{Rate: 5, Burst: 1, Users: 1}}
	if err := change(4); err == nil {
		t.Error("the pod has got a change")
	}
	if told := server.Progress(); strings.Count(told, "has not reached all of its pods") != 1 {
		t.Errorf("told was\n%s", told)
	}
}
