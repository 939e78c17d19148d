package faults

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func latency(id string) Injection {
	return Injection{ID: id, Fault: fault.Fault{Type: fault.Latency, Target: fault.Target{Service: "back"}}, Since: time.Now()}
}

// add records a fault.
func (s *stage) add(ctx context.Context, id string) error {
	return s.d.record(ctx, func(all []Injection) ([]Injection, error) { return added(s.d.Client, all, latency(id)) })
}

// overtake calls before ahead of each write of the record with one of the verbs
// and refuses the write, as often as given.
func (s *stage) overtake(times int, err error, before func(), verbs ...string) {
	for _, verb := range verbs {
		s.client.PrependReactor(verb, "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
			if times--; times < 0 {
				return false, nil, nil
			}
			before()
			return true, nil, err
		})
	}
}

// store writes a record as another program does.
func (s *stage) store(ids ...string) {
	s.t.Helper()
	var all []Injection
	for _, id := range ids {
		all = append(all, latency(id))
	}
	text, err := json.Marshal(all)
	if err != nil {
		s.t.Fatal(err)
	}
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: manifest.FaultsName("shop"), Namespace: "shop"}, Data: map[string]string{manifest.FaultsKey: string(text)},
	}
	resource := corev1.SchemeGroupVersion.WithResource("configmaps")
	if err = s.client.Tracker().Update(resource, config, "shop"); apierrors.IsNotFound(err) {
		err = s.client.Tracker().Create(resource, config, "shop")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// expectRecord checks the ids of the recorded faults.
func (s *stage) expectRecord(want ...string) {
	s.t.Helper()
	all, _, err := s.d.recorded(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, in := range all {
		got = append(got, in.ID)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		s.t.Errorf("the record has %q, want %q", got, want)
	}
}

var errModified = apierrors.NewConflict(corev1.Resource("configmaps"), "record", errors.New("it has been modified"))

func TestARecordKeepsWhatOthersAddedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		// Another program creates the record first, then changes it.
		s.overtake(1, apierrors.NewAlreadyExists(corev1.Resource("configmaps"), "record"), func() { s.store("other") }, "create")
		s.overtake(3, errModified, func() {
			s.store("other", "third")
			time.Sleep(time.Second) // ours is younger
		}, "update")
		if err := s.add(t.Context(), "mine"); err != nil {
			t.Fatal(err)
		}
		s.expectRecord("other", "third", "mine")
	})
}

func TestARecordRefusesAnIDThatOthersTookMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.store()
		s.overtake(1, errModified, func() { s.store("mine") }, "update")
		if err := s.add(t.Context(), "mine"); err == nil || !strings.Contains(err.Error(), `there is a fault with the id "mine" already`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestARecordIsGivenUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.store()
		s.overtake(1e6, errModified, func() {}, "update")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		started := time.Now()
		err := s.add(ctx, "mine")
		if took := time.Since(started); took != 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the ConfigMap shop/"+manifest.FaultsName("shop")) {
			t.Errorf("got %v, want the deadline and the name of the record", err)
		}
	})
}

func TestExpiredFaultsAreNotRecordedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		old := latency("old")
		old.Deadline = time.Now().Add(time.Minute)
		if err := s.d.record(t.Context(), func(all []Injection) ([]Injection, error) { return added(s.d.Client, all, old) }); err != nil {
			t.Fatal(err)
		}
		s.expectRecord("old")
		time.Sleep(time.Minute)
		s.expectRecord()
		if err := s.add(t.Context(), "old"); err != nil {
			t.Errorf("an expired fault is in the way of another with its id: %v", err)
		}
		s.expectRecord("old")
	})
}
