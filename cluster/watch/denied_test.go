package watch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

func may(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// TestMissingRightsEndAWait: an informer that may not list tries for ever, and the wait
// would be for the whole ReadyTimeout, without a word of why.
func TestMissingRightsEndAWait(t *testing.T) {
	t.Parallel()
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{ReadyTimeout: time.Minute})
	create(t, c, starting())
	server.Allow(map[string][]rbacv1.PolicyRule{"shop": {may("apps", "deployments", "list", "watch")}})
	started := time.Now()
	err := watch.AwaitReady(t.Context(), c, shop, "shop")
	if err == nil || !strings.Contains(err.Error(), `cannot list resource "pods"`) || !strings.Contains(err.Error(), "kubectl create role microsim-pods-list") {
		t.Errorf("got %v, want the right that is missing", err)
	}
	if took := time.Since(started); took > 40*time.Second {
		t.Errorf("it ended after %v", took)
	}
}

// TestWhoMayNotWatchIsTold: without the right to watch, an informer lists again and again,
// so what follows pods is late.
func TestWhoMayNotWatchIsTold(t *testing.T) {
	t.Parallel()
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	server.Allow(map[string][]rbacv1.PolicyRule{"shop": {may("", "pods", "list")}})
	for range 2 {
		w := watch.Begin(t.Context())
		w.Tell = c.Once
		pods := watch.Follow(w, watch.PodsOf(c.Clientset, "shop", ""), &corev1.Pod{})
		err := w.Until(t.Context(), watch.Condition{Holds: func(context.Context) (bool, error) { return len(pods()) == 0, nil }})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if told := server.Progress(); strings.Count(told, `cannot watch resource "pods"`) != 1 || !strings.Contains(told, "up to a minute late") || !strings.Contains(told, "microsim-pods-watch") {
		t.Errorf("it is told %q, want once which right is missing", told)
	}
}
