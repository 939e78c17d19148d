package plugin

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// A stopwatch is a transport that notes how long each request took, in whole
// steps, by its id.
type stopwatch struct {
	http.RoundTripper
	step time.Duration
	mu   sync.Mutex
	took map[string]time.Duration
}

func (s *stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	response, err := s.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == "/recommendations" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.took[r.Header.Get("X-Request-Id")] = time.Since(start).Truncate(s.step)
	}
	return response, err
}

// TestSameSeedSameDelays plays a slow scenario twice at once and compares what
// the fault did to the requests of the same number. The delays are whole steps
// of 200 ms, so that what this machine adds does not show.
func TestSameSeedSameDelays(t *testing.T) {
	if testing.Short() {
		t.Skip("6 seconds of real time")
	}
	lab, err := readOutageLab()
	if err != nil {
		t.Fatal(err)
	}
	lab = experiment.Scale(lab, 0.2)
	var runs sync.WaitGroup
	seen := make([]map[string]time.Duration, 3)
	for i, seed := range []uint64{1, 1, 2} {
		runs.Go(func() {
			if seen[i], err = delays(lab, seed); err != nil {
				t.Errorf("run %d: %v", i, err)
			}
		})
	}
	runs.Wait()
	both, different := 0, 0
	for id, took := range seen[0] {
		again, ok := seen[1][id]
		if !ok {
			continue // the end of one of the runs cut it off
		}
		if both++; took != again {
			t.Errorf("request %s was held up for %s, and with the same seed for %s", id, took, again)
		}
		if took != time.Second {
			different++
		}
	}
	if both < 16 || different == 0 {
		t.Errorf("%d requests were seen in both runs, %d with a delay over the least", both, different)
	}
	for id := range seen[2] {
		if _, ok := seen[0][id]; ok {
			t.Errorf("request %s is there with another seed, too", id)
		}
	}
}

// delays plays the scenario and returns how long each request took.
func delays(lab experiment.Experiment, seed uint64) (map[string]time.Duration, error) {
	v, _ := lab.Variant("3-slow")
	e, problems := lab.Apply(v)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	e.Seed, e.Checks = seed, nil
	watch := &stopwatch{RoundTripper: &http.Transport{DisableKeepAlives: true}, step: 200 * time.Millisecond, took: map[string]time.Duration{}}
	deployer, err := localsim.New(localsim.Config{NewServer: func(s localsim.Spec) (localsim.Server, error) {
		return service.New(service.Config{System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, Token: s.Token, Transport: watch})
	}})
	if err != nil {
		return nil, err
	}
	_, err = experiment.Run(context.Background(), e, experiment.Deps{Deployer: deployer, Loader: &loadgen.Generator{}}, nil)
	return watch.took, err
}
