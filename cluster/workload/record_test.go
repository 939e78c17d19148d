package workload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func newWorkloads(client *fake.Clientset) *Workloads {
	c := &kubeapi.Client{Clientset: client, Config: kubeapi.Config{Progress: func(string) {}}}
	return &Workloads{c: c, namespace: "shop", selection: Selection{Namespace: "shop", Selector: "app=cart", MaxPods: 2}}
}

func (x *Workloads) add(ctx context.Context, id string) error {
	return x.record(ctx, func(all []recordedFault) ([]recordedFault, error) {
		return append(all, recordedFault{faults.Injection{ID: id, Fault: fault.Fault{Type: fault.Pause}, Since: time.Now()}, x.selection}), nil
	})
}

func (x *Workloads) clear(ctx context.Context) error {
	return x.record(ctx, func([]recordedFault) ([]recordedFault, error) { return nil, nil })
}

// refuse answers the first writes of ConfigMaps with a conflict.
func refuse(client *fake.Clientset, verb string, times int) {
	client.PrependReactor(verb, "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		if times--; times < 0 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(corev1.Resource("configmaps"), "record", errors.New("it has been modified"))
	})
}

func recordedIDs(t *testing.T, x *Workloads) string {
	t.Helper()
	all, err := x.recorded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	return strings.Join(ids, " ")
}

func TestRecordIsWrittenAfterConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		x := newWorkloads(client)
		for _, verb := range []string{"create", "update", "delete"} {
			refuse(client, verb, 3)
		}
		for _, id := range []string{"one", "two"} {
			if err := x.add(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if got := recordedIDs(t, x); got != "one two" {
			t.Errorf("the record has %q, want both faults", got)
		}
		if err := x.clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := client.CoreV1().ConfigMaps(nodehelper.Namespace).Get(t.Context(), nodehelper.RecordName("shop"), metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("a record without faults is still there: %v", err)
		}
	})
}

func TestRecordIsGivenUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		x := newWorkloads(client)
		refuse(client, "create", 1e6)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		started := time.Now()
		err := x.add(ctx, "one")
		if took := time.Since(started); took != 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), nodehelper.RecordName("shop")) {
			t.Errorf("got %v, want the deadline and the name of the record", err)
		}
	})
}
