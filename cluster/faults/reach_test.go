package faults

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/control"
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
