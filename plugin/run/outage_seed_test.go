package run

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// A stopwatch is a transport that notes, by the request's id, what became of
// each call of the recommendations.
type stopwatch struct {
	http.RoundTripper
	mu    sync.Mutex
	calls map[string]timed
}

type timed struct {
	status int
	took   time.Duration
}

func (s *stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	response, err := s.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == "/recommendations" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls[r.Header.Get("X-Request-Id")] = timed{response.StatusCode, time.Since(start)}
	}
	return response, err
}

// TestSameSeedSameFaults plays a slow scenario, in which some answers fail, too,
// twice at once, and compares what the faults did to the requests of the same
// number. Failures are the same for each. Delays, of 1 to 2 s in steps of 200 ms,
// are the same but for what this machine adds, which is compared by the median:
// it would be 400 ms if each run drew its own.
func TestSameSeedSameFaults(t *testing.T) {
	lab, err := readOutageLab()
	if err != nil {
		t.Fatal(err)
	}
	lab = experiment.Scale(lab, 0.2)
	var runs sync.WaitGroup
	seen := make([]map[string]timed, 3)
	for i, seed := range []uint64{1, 1, 2} {
		runs.Go(func() {
			var err error
			if seen[i], err = slowCalls(lab, seed); err != nil {
				t.Errorf("run %d: %v", i, err)
			}
		})
	}
	runs.Wait()
	var apart []time.Duration
	statuses := map[int]int{}
	for id, call := range seen[0] {
		again, ok := seen[1][id]
		if !ok {
			continue // the end of one of the runs cut it off
		}
		if call.status != again.status {
			t.Errorf("request %s was answered %d, and with the same seed %d", id, call.status, again.status)
		}
		statuses[call.status]++
		apart = append(apart, (call.took - again.took).Abs())
	}
	if len(apart) < 16 || len(statuses) < 2 {
		t.Fatalf("%d requests were seen in both runs, with statuses %v", len(apart), statuses)
	}
	slices.Sort(apart)
	if median := apart[len(apart)/2]; median > 150*time.Millisecond {
		t.Errorf("with the same seed half of the delays differ by %s or more: %s", median, apart)
	}
	for id := range seen[2] {
		if _, ok := seen[0][id]; ok {
			t.Errorf("request %s is there with another seed, too", id)
		}
	}
}

// slowCalls plays the scenario and returns what became of each call.
func slowCalls(lab experiment.Experiment, seed uint64) (map[string]timed, error) {
	v, _ := lab.Variant("3-slow")
	e, problems := lab.Apply(v)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	e.Seed, e.Checks = seed, nil
	failing := fault.Fault{Type: fault.Error, Target: fault.Target{Service: "recommendations"}, Probability: 0.4}
	e.Faults = append(slices.Clone(e.Faults), failing.WithDefaults())
	watch := &stopwatch{RoundTripper: &http.Transport{DisableKeepAlives: true}, calls: map[string]timed{}}
	deployer, err := localsim.New(localsim.Config{NewServer: func(s localsim.Spec) (supervise.Server, error) {
		return service.New(service.Config{System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, Token: s.Token, Transport: watch})
	}})
	if err != nil {
		return nil, err
	}
	_, err = runner.Run(context.Background(), e, runner.Deps{Deployer: deployer, Loader: &loadgen.Generator{}}, nil)
	return watch.calls, err
}
