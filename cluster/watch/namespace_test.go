package watch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// TestWhatHoldsANamespaceUpIsTold: an aggregated API that does not answer keeps every
// namespace from going.
func TestWhatHoldsANamespaceUpIsTold(t *testing.T) {
	t.Parallel()
	condition := func(kind corev1.NamespaceConditionType, status corev1.ConditionStatus, message string) corev1.NamespaceCondition {
		return corev1.NamespaceCondition{Type: kind, Status: status, Message: message}
	}
	tooLate := errors.New("it was not gone after 1s")
	for name, tt := range map[string]struct {
		conditions []corev1.NamespaceCondition
		want       string
	}{
		"an API": {[]corev1.NamespaceCondition{
			condition(corev1.NamespaceContentRemaining, corev1.ConditionFalse, "All content successfully removed"),
			condition(corev1.NamespaceDeletionDiscoveryFailure, corev1.ConditionTrue, "Discovery failed for some groups, 1 failing: metrics.k8s.io/v1beta1: stale"),
		}, "1 failing: metrics.k8s.io/v1beta1: stale; nothing of it may be left"},
		"finalizers": {[]corev1.NamespaceCondition{
			condition(corev1.NamespaceContentRemaining, corev1.ConditionTrue, "Some resources are remaining: configmaps. has 1 resource instances"),
			condition(corev1.NamespaceFinalizersRemaining, corev1.ConditionTrue, "Some content in the namespace has finalizers remaining: example.org/x in 1 resource instances"),
		}, "has finalizers remaining: example.org/x"},
		"nothing yet": {nil, "it was not gone after 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := apitest.New(t).Client(t, kubeapi.Config{})
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Conditions: tt.conditions}}
			if _, err := apitest.Outside(t, c).CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, tooLate)
			defer cancel()
			err := watch.AwaitNamespaceGone(ctx, c, "shop")
			if !errors.Is(err, tooLate) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
