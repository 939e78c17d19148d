package virtual

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestTimersOfTheKernel has what tcpdump saw between the packets of one connection
// to a full accept queue (Linux 6.18, 250 Hz): the third of its first packets came
// at 1.024 s, and so on. All are on the grid of the timer's wheel.
func TestTimersOfTheKernel(t *testing.T) {
	for _, tt := range []struct{ now, wait, want time.Duration }{
		{0, 200 * ms, 200 * ms},
		{1 * ms, 200 * ms, 204 * ms},
		{0, time.Second, 1024 * ms},
		{1024 * ms, time.Second, 2048 * ms},
		{2048 * ms, time.Second, 3072 * ms},
		{5120 * ms, 2 * time.Second, 7136 * ms},
		{7168 * ms, 4 * time.Second, 11264 * ms},
	} {
		if got := fires(tt.now, tt.wait); got != tt.want {
			t.Errorf("a timer of %v set at %v fires at %v, want %v", tt.wait, tt.now, got, tt.want)
		}
	}
}

// bounded is a service with few workers and a short accept queue.
func bounded(workers, backlog int, work time.Duration, profile load.Profile) experiment.Experiment {
	queue := topology.NewService("queue", sleeps(work))
	queue.Workers, queue.Backlog = workers, backlog
	return experiment.Experiment{Name: "bounded", Seed: 11, System: topology.System{Name: "bounded", Services: []topology.Service{queue}}, Load: profile}
}

// TestHalfOpenConnectionsWait sends ten requests at once to one worker and a queue
// of two. Three are let in; the first packets of seven are sent again together
// after a second, when three find room and four believe to have; of those, three
// are let in when they send their request again, and the last one with the next.
func TestHalfOpenConnectionsWait(t *testing.T) {
	r := run(t, bounded(1, 1, 10*ms, load.Profile{Phases: []load.Phase{{Rate: 1, Burst: 10, Count: 1}}}))
	c := r.Segments[0].Clients
	if c.Requests != 10 || c.Errors != 0 {
		t.Fatalf("%d of %d requests failed, want none of 10", c.Errors, c.Requests)
	}
	for share, want := range map[string][3]float64{
		"p50": {c.Latency.P50, 1.034, 1.05},
		"max": {c.Latency.Max, 1.848, 1.90},
	} {
		if want[0] < want[1]*0.99 || want[0] > want[2]*1.01 {
			t.Errorf("%s is %v s, want %v to %v", share, want[0], want[1], want[2])
		}
	}
}

// TestOverloadedAcceptQueue has the figures of eight real runs (Linux 6.18): of
// 260 requests a second to 4 workers that serve 200, 30 to 40 % failed, most
// because their connection was half open until their client's patience ended, and
// the service answered 95 to 118 a second, since workers waited for requests.
func TestOverloadedAcceptQueue(t *testing.T) {
	served, failed := 0.0, 0.0
	const seeds = 10
	for seed := range uint64(seeds) {
		e := bounded(4, 64, 20*ms, load.Profile{Phases: []load.Phase{{Rate: 260, Arrivals: load.Poisson, Duration: 20 * second}}})
		e.Seed = seed + 1
		r := run(t, e)
		c := r.Segments[0].Clients
		failed += float64(c.Errors) / float64(c.Requests) / seeds
		served += r.Segments[0].Services[0].Rate / seeds
	}
	if failed < 0.31 || failed > 0.43 || served < 87 || served > 112 {
		t.Errorf("%.1f %% failed and %.0f were served a second; real runs: 30 to 40 %% and 95 to 118", 100*failed, served)
	}
}
