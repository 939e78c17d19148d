//go:build lab

package run

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// labResult is what the lab's bounds are about, of one variant.
type labResult struct {
	*result.Result
	// pages are what home served in the load's full windows after the first.
	pages float64
	// timeouts, refused and open are what home met at the recommendations, by
	// window.
	timeouts, refused, open []int64
	// late counts timeouts of services that answer at once: there the machine
	// was too busy to keep up with the speed.
	late int64
}

// playVariant runs one variant in this process.
func playVariant(lab experiment.Experiment, name string) (labResult, error) {
	v, _ := lab.Variant(name)
	e, problems := lab.Apply(v)
	if err := problems.Err(); err != nil {
		return labResult{}, err
	}
	e.Checks = nil
	l := local.Flags{Isolation: string(localsim.InProcess)}
	deployer, err := l.DeployerIn("", io.Discard)
	if err != nil {
		return labResult{}, err
	}
	r, err := runner.Run(context.Background(), e, runner.Deps{
		Deployer: deployer, Loader: &loadgen.Generator{}, Collector: collect.New(collect.Options{Interval: 100 * time.Millisecond}),
	}, nil)
	if err != nil {
		return labResult{}, err
	}
	result := labResult{Result: r}
	for i, w := range r.Windows {
		for _, s := range w.Services {
			if s.Service == "home" && (i == 1 || i == 2) {
				result.pages += float64(s.Requests) / 2
			}
		}
		for _, edge := range w.Edges {
			if edge.Callee != "recommendations" {
				result.late += edge.Outcomes[outcome.Timeout] + edge.Outcomes[outcome.BreakerOpen]
			}
			if edge.Caller == "home" && edge.Callee == "recommendations" {
				result.timeouts = append(result.timeouts, edge.Outcomes[outcome.Timeout])
				result.refused = append(result.refused, edge.Outcomes[outcome.ConnectionError])
				result.open = append(result.open, edge.Outcomes[outcome.BreakerOpen])
			}
		}
	}
	return result, nil
}

func (r *labResult) String() string {
	return fmt.Sprintf("%.1f pages a window, tail %.1f s, timeouts %v, connection errors %v, breaker open %v",
		r.pages, r.Tail.Length, r.timeouts, r.refused, r.open)
}

// TestOutageLabTenTimesAsFast plays the nine scenarios with all times a tenth as
// long and holds them to the published results. In a slow scenario, waiting workers
// limit the service, not this machine. So its bounds are narrow, and six of them
// are played at once. The speed of this machine limits the three fast scenarios, so
// they are played one by one, and must only be far better than the slow ones.
func TestOutageLabTenTimesAsFast(t *testing.T) {
	lab, err := readOutageLab()
	if err != nil {
		t.Fatal(err)
	}
	lab = experiment.Scale(lab, 0.1)
	results := playLab(t, lab)
	for _, bound := range []struct {
		variant        string
		low, high      float64 // pages a window
		shortest, most float64 // seconds of the tail
	}{
		// Published per 10 s are 10.7 (with 8 workers held for 7.5 s), 16, 40, and
		// 115 to 136; here within a quarter.
		{"3-slow", 8, 13.4, 0, 2.5},
		{"4-breakers", 8, 13.4, 0, 2.5},
		{"5-timeouts", 86, 170, 10, 18},
		{"6-long-timeouts", 12, 20, 0, 2.5},
		{"7-retries", 8, 13.4, 0, 2.5},
		{"8-timeouts-retries", 28, 50, 10, 18},
		{"1-outage", 190, 700, 0, 1},
		{"2-outage-breakers", 190, 700, 0, 1},
		{"9-timeouts-breakers", 190, 700, 0, 2.5},
	} {
		r := results[bound.variant]
		if r.pages < bound.low || r.pages > bound.high {
			t.Errorf("%s: %.1f pages a window, want %v to %v", bound.variant, r.pages, bound.low, bound.high)
		}
		if !r.Tail.Idle || r.Tail.Length < bound.shortest || r.Tail.Length > bound.most {
			t.Errorf("%s: tail %+v, want %v to %v s", bound.variant, *r.Tail, bound.shortest, bound.most)
		}
	}
	// Eight workers see four failures each before the fifth opens their breaker.
	for _, name := range []string{"2-outage-breakers", "9-timeouts-breakers"} {
		r := results[name]
		if raw := sum(r.timeouts) + sum(r.refused); raw < 24 || raw > 48 || r.timeouts[2]+r.refused[2] > 0 || r.open[2] == 0 {
			t.Errorf("%s: %d failures before the breakers opened, want about 32 and then none: %s", name, raw, &r)
		}
	}
	if r := results["5-timeouts"]; r.refused[0] > r.timeouts[0] || r.refused[2] <= r.timeouts[2] {
		t.Errorf("when the queue is full, connection errors outnumber timeouts: %s", &r)
	}
}

func sum(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// playLab plays the slow scenarios at once and the fast ones after them.
func playLab(t *testing.T, lab experiment.Experiment) map[string]labResult {
	results := map[string]labResult{}
	var mu sync.Mutex
	play := func(name string) {
		r, err := playVariant(lab, name)
		for again := 0; again < 3 && err == nil && r.late > 8; again++ {
			t.Logf("%s: once more, as %d calls of idle services timed out on this machine: %s", name, r.late, &r)
			r, err = playVariant(lab, name)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		t.Logf("%s: %s", name, &r)
		results[name] = r
	}
	var slow sync.WaitGroup
	var fast []string
	for _, v := range lab.Variants {
		if strings.Contains("1-outage 2-outage-breakers 9-timeouts-breakers", v.Name) {
			fast = append(fast, v.Name)
			continue
		}
		slow.Go(func() { play(v.Name) })
	}
	slow.Wait()
	for _, name := range fast {
		play(name)
	}
	if t.Failed() {
		t.FailNow()
	}
	return results
}
