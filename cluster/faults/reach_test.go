package faults

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestReachedPodsAreThoseOfTheSystem reaches a system from this machine: its replicas
// answer at their URLs, another pod of the namespace does not.
func TestReachedPodsAreThoseOfTheSystem(t *testing.T) {
	s := newAPIStage(t)
	stranger := s.replica(9)
	stranger.Name, stranger.UID, stranger.Labels = "bank-1", "uid-bank-1", map[string]string{"app": "bank"}
	s.create(stranger)
	end, err := s.inst.Reach()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	replicas, err := s.inst.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	get := func(url string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if len(replicas) != 2 {
		t.Fatalf("the replicas are %v", replicas)
	}
	for _, r := range replicas {
		for _, url := range []string{r.URL + "/", r.ControlURL + control.MetricsPath} {
			if status := get(url); status != http.StatusOK {
				t.Errorf("%s of the system answers %d", url, status)
			}
			if status := get(strings.Replace(url, "back-", "bank-", 1)); status != http.StatusNotFound {
				t.Errorf("%s of another answers %d", url, status)
			}
		}
	}
}

// TestASystemMayShrinkWhileItIsLookedAt has services come and go meanwhile.
func TestASystemMayShrinkWhileItIsLookedAt(t *testing.T) {
	s := newAPIStage(t)
	small := s.inst.System()
	all := &topology.System{Name: small.Name, Services: append(slices.Clone(small.Services), topology.NewService("web"), topology.NewService("cart"))}
	ended := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				s.inst.SetSystem(small)
				s.inst.SetSystem(all)
			}
		}
	})
	defer changing.Wait()
	defer close(ended)
	v, err := s.inst.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		s.inst.replicasIn(v)
	}
}
