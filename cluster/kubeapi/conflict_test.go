package kubeapi

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
)

// conflicting returns a change of a ConfigMap that the API server refuses as often
// as given, and the times at which it was tried.
func conflicting(refusals int) (change func(context.Context) error, tries *[]time.Time) {
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "record", Namespace: "shop"}})
	tries = &[]time.Time{}
	client.PrependReactor("update", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		*tries = append(*tries, time.Now())
		if len(*tries) > refusals {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(corev1.Resource("configmaps"), "record", errors.New("it has been modified"))
	})
	configs := client.CoreV1().ConfigMaps("shop")
	return func(ctx context.Context) error {
		config, err := configs.Get(ctx, "record", metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = configs.Update(ctx, config, metav1.UpdateOptions{})
		return err
	}, tries
}

func TestRetryConflictsPausesNoLongerThanTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change, tries := conflicting(20)
		if err := RetryConflicts(t.Context(), "the record", change); err != nil {
			t.Fatal(err)
		}
		if len(*tries) != 21 {
			t.Fatalf("%d tries, want 21", len(*tries))
		}
		for i := 1; i < len(*tries); i++ {
			// The jitter adds a fifth at most.
			least := min(10*time.Millisecond<<(i-1), 2*time.Second)
			if pause := (*tries)[i].Sub((*tries)[i-1]); pause < least || pause > least+least/5 {
				t.Errorf("pause %d is %v, want %v to %v", i, pause, least, least+least/5)
			}
		}
	})
}

func TestRetryConflictsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change, _ := conflicting(1e6)
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupted := errors.New("interrupted")
		time.AfterFunc(15*time.Second, func() { cancel(interrupted) })
		started := time.Now()
		err := RetryConflicts(ctx, "the ConfigMap shop/record", change)
		if took := time.Since(started); took != 15*time.Second {
			t.Errorf("it took %v, want 15 s", took)
		}
		if !errors.Is(err, interrupted) || !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "the ConfigMap shop/record") {
			t.Errorf("got %v, want the interruption, the conflict and the name of the object", err)
		}
	})
}

func TestRetryConflictsGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change, _ := conflicting(1e6)
		started := time.Now()
		err := RetryConflicts(t.Context(), "the ConfigMap shop/record", change)
		if took := time.Since(started); took != conflictTimeout {
			t.Errorf("it took %v, want %v", took, conflictTimeout)
		}
		if err == nil || !strings.Contains(err.Error(), "changing the ConfigMap shop/record: others changed it again and again for 1m0s; try again") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRetryConflictsReturnsOtherErrors(t *testing.T) {
	tries := 0
	broken := errors.New("broken")
	err := RetryConflicts(t.Context(), "the record", func(context.Context) error {
		if tries++; tries == 1 {
			return apierrors.NewAlreadyExists(corev1.Resource("configmaps"), "record")
		}
		return broken
	})
	if err != broken || tries != 2 { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v after %d tries, want the error itself after 2", err, tries)
	}
}

// The end may come during a request, whose own error does not name the object.
func TestTheObjectIsNamedWhenTheEndComesDuringARequest(t *testing.T) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := RetryConflicts(ctx, `configmap "record"`, func(ctx context.Context) error {
		cancel(why)
		return ctx.Err()
	})
	if !errors.Is(err, why) || !strings.Contains(err.Error(), `changing configmap "record"`) {
		t.Errorf("the error is %v", err)
	}
}
