//go:build e2e

package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// live is a system whose three pods of web show by their answers what they do: a call of
// bad fails with 502, unless it falls back. No answer hangs on how long something takes,
// such as a lookup of a name, which counts as a connection that was not made.
func live(change func(web *topology.Service)) *topology.System {
	bad := topology.NewService("bad")
	bad.Endpoints[0].Response.Status = 500
	web := topology.NewService("web", topology.CallTo("bad"))
	web.Replicas = 3
	web.Endpoints[0].Steps[0].Call.Probability = 0
	if change != nil {
		change(&web)
	}
	return &topology.System{Name: "live", Services: []topology.Service{web, bad}}
}

// TestClusterChangesInPlace changes a running system under traffic, which goes to each pod
// by itself. The pods go on, all of them follow, and no answer is lost.
func TestClusterChangesInPlace(t *testing.T) {
	c, err := cluster.New(newSandbox(t))
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Up(t.Context(), live(nil), 1)
	if err != nil {
		t.Fatal(err)
	}
	before := podsOf(t, c, "web")
	steps := func(change func([]topology.Step) []topology.Step) func(*topology.Service) {
		return func(web *topology.Service) { web.Endpoints[0].Steps = change(web.Endpoints[0].Steps) }
	}
	for _, tt := range []struct {
		name   string
		change func(web *topology.Service)
		status int
	}{
		{"a weight", func(web *topology.Service) { web.Endpoints[0].Steps[0].Call.Probability = 1 }, 502},
		{"a policy", func(web *topology.Service) {
			web.Endpoints[0].Steps[0].Call.Probability = 1
			web.Endpoints[0].Steps[0].Call.Call.Fallback = &policy.Fallback{Kind: policy.EmptyFallback}
		}, 200},
		{"no policy", func(web *topology.Service) { web.Endpoints[0].Steps[0].Call.Probability = 1 }, 502},
		{"the weight again", nil, 200},
		{"a call more", steps(func(s []topology.Step) []topology.Step { return append(s, topology.CallTo("bad")) }), 502},
		{"a call less", nil, 200},
		{"a rate of errors", func(web *topology.Service) { web.Endpoints[0].ErrorRate, web.Endpoints[0].ErrorStatus = 1, 503 }, 503},
		{"no rate of errors", nil, 200},
	} {
		next := live(tt.change)
		asked := time.Now()
		seen := watchPods(t, c, before, tt.status, asked)
		if err := d.Update(t.Context(), next); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		answered := time.Since(asked)
		t.Logf("%s: in force at every pod after %v; Update took %v", tt.name, seen(), answered)
		if now := podsOf(t, c, "web"); !slices.Equal(now, before) {
			t.Fatalf("%s: the pods were %v and are %v", tt.name, before, now)
		}
	}
	// A pod that starts later follows, too.
	next := live(func(web *topology.Service) { web.Endpoints[0].ErrorRate, web.Endpoints[0].ErrorStatus = 1, 503 })
	if err := d.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	next = live(func(web *topology.Service) {
		web.Replicas = 4
		web.Endpoints[0].ErrorRate, web.Endpoints[0].ErrorStatus = 1, 503
	})
	if err := d.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for _, pod := range podsOf(t, c, "web") {
		if got := ask(t.Context(), c, pod); got != 503 {
			t.Errorf("pod %s answers %d, want 503", pod, got)
		}
	}
	// The template is that of the first file, which replaces no pod.
	if _, err := c.Up(t.Context(), live(nil), 1); err != nil {
		t.Fatal(err)
	}
	for _, pod := range podsOf(t, c, "web") {
		if got := ask(t.Context(), c, pod); got != 200 {
			t.Errorf("after up with the first file, pod %s answers %d, want 200", pod, got)
		}
	}
	faultActs(t, c, d)
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// faultActs measures how long a fault that is added takes until a client sees it.
func faultActs(t *testing.T, c *cluster.Cluster, d *cluster.Deployment) {
	pods := podsOf(t, c, "web")
	f := fault.Fault{Type: fault.Error, Probability: 1, Target: fault.Target{Service: "web"}, Args: fault.Args{Status: 418}}
	asked := time.Now()
	seen := watchPods(t, c, pods, 418, asked)
	if err := d.Inject(t.Context(), "teapot", f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(asked)
	t.Logf("a fault: seen at every pod after %v; Inject took %v", seen(), answered)
	asked = time.Now()
	seen = watchPods(t, c, pods, 200, asked)
	if err := d.Clear(t.Context(), "teapot"); err != nil {
		t.Fatal(err)
	}
	answered = time.Since(asked)
	t.Logf("its end: seen at every pod after %v; Clear took %v", seen(), answered)
}

// podsOf are the names of the pods of a service, in order.
func podsOf(t *testing.T, c *cluster.Cluster, service string) (names []string) {
	t.Helper()
	list, err := c.Clientset.CoreV1().Pods("live").List(t.Context(), metav1.ListOptions{LabelSelector: manifest.ServiceLabel + "=" + service})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			names = append(names, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// ask returns the status of a pod's answer, or 0.
func ask(ctx context.Context, c *cluster.Cluster, pod string) int {
	to, err := c.PodURL("live", pod, manifest.HTTPPort, "/")
	if err != nil {
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return 0
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// watchPods asks each pod again and again until it answers with a status, and returns when
// the last one did. Until then, each answer is the old one.
func watchPods(t *testing.T, c *cluster.Cluster, pods []string, status int, asked time.Time) (last func() time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	old := make([]int, len(pods))
	for i, pod := range pods {
		old[i] = ask(ctx, c, pod)
	}
	var wait sync.WaitGroup
	took := make([]time.Duration, len(pods))
	problems := make([]error, len(pods))
	for i, pod := range pods {
		wait.Go(func() {
			for {
				switch got := ask(ctx, c, pod); got {
				case status:
					took[i] = time.Since(asked)
					return
				case old[i]:
				default:
					problems[i] = fmt.Errorf("pod %s answers %d between %d and %d", pod, got, old[i], status)
					return
				}
			}
		})
	}
	return func() time.Duration {
		wait.Wait()
		cancel()
		for _, err := range problems {
			if err != nil {
				t.Error(err)
			}
		}
		return slices.Max(took)
	}
}
