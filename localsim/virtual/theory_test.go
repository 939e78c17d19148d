package virtual

import (
	"context"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Files are played on a machine on which nothing takes time but what they say, and
// held to what queueing theory knows exactly of them: of 100 runs with fixed seeds, the
// 95 % interval of each must cover the exact value 90 to 99 times. model/des does the
// same with the bare kernel; here the clients, the step machine of the services, their
// workers, queues and processors take part. Every run checks its own books, too: Little's
// law, what was offered, and what the processors could do (checkBooks). Without
// MICROSIM_THEORY=full, which `make theory` sets, only the lowest load is tried. Formulas:
// Kleinrock, Queueing Systems I and II (1975, 1976).

// meanWork is the mean of all work here, in which rates are told.
const meanWork = unit.Duration(ms)

func exponentialWork(mean unit.Duration) dist.Delay {
	return dist.Delay{Exponential: &dist.Exponential{Mean: mean}}
}

// unevenWork is short nine times of ten; its squared coefficient of variation is 2.25.
func unevenWork() dist.Delay {
	d := dist.Delay{Empirical: make([]unit.Duration, 10)}
	for i := range d.Empirical {
		d.Empirical[i] = meanWork / 2
	}
	d.Empirical[9] = meanWork * 11 / 2
	return d
}

// A queueing is a system that theory knows.
type queueing struct {
	name     string
	services []topology.Service
	requests []load.Request
	phase    load.Phase
	// exact is the mean latency in units of meanWork or, if loss is set, the share of
	// requests that are turned away.
	exact float64
	loss  bool
	// cores are the processors of the machine; 0 means as many as are needed.
	cores float64
}

// station serves first come first served, with so much room to wait.
func station(name string, workers, room int, work dist.Delay) topology.Service {
	s := topology.NewService(name, topology.Step{Work: &topology.Work{Sleep: work}})
	s.Workers, s.Shed = workers, &topology.Shed{Queue: room}
	return s
}

// roomy is a queue that is never full here.
const roomy = 100_000

// arriving are random arrivals, so many in the time of one work.
func arriving(rate float64) load.Phase {
	return load.Phase{Rate: rate / meanWork.Std().Seconds(), Arrivals: load.Poisson}
}

func queueings(rho float64) []queueing {
	one := func(name string, workers, room int, work dist.Delay, exact float64) queueing {
		return queueing{name: name, services: []topology.Service{station("s", workers, room, work)}, phase: arriving(rho * float64(workers)), exact: exact}
	}
	// Pollaczek and Khinchine.
	waiting := func(c2 float64) float64 { return 1 + rho*(1+c2)/(2*(1-rho)) }
	exponential := exponentialWork(meanWork)
	lossy := one("M/M/2/3", 2, 1, exponential, lostOf3(2*rho))
	lossy.loss = true
	list := []queueing{
		one("M/M/1", 1, roomy, exponential, 1/(1-rho)),
		one("M/M/4", 4, roomy, exponential, 1+erlangC(4, 4*rho)/(4-4*rho)),
		one("M/D/1", 1, roomy, dist.Fixed(meanWork.Std()), waiting(0)),
		one("M/G/1", 1, roomy, unevenWork(), waiting(2.25)),
		lossy, repairman(rho), tandem(rho), jackson(rho),
	}
	return append(list, processors(rho)...)
}

// processors are queues for processors. Work that takes turns is served first come first
// served, as long as it takes no more than one. Turns do not change the mean of work
// without memory. Units share their processors evenly.
func processors(rho float64) []queueing {
	one := func(name string, limit, cores, exact float64, weights []float64, work ...topology.Work) queueing {
		s := topology.NewService("s")
		s.Endpoints = nil
		if limit > 0 {
			s.Resources = &topology.Resources{CPULimit: unit.Cores(limit)}
		}
		q := queueing{name: name, phase: arriving(rho * max(limit, cores)), exact: exact, cores: cores}
		for i := range work {
			path := fmt.Sprint("/", i)
			s.Endpoints = append(s.Endpoints, topology.NewEndpoint(path, topology.Step{Work: &work[i]}))
			q.requests = append(q.requests, load.Request{Name: path[1:], Service: "s", Endpoint: path, Weight: weights[i]})
		}
		q.services = []topology.Service{s}
		return q
	}
	exponential := topology.Work{CPU: exponentialWork(meanWork)}
	// Nine of ten take 0.6, and one 4.6 of the mean: the squared coefficient of variation
	// is 1.44.
	seldom := []float64{9, 1}
	short, long := topology.Work{CPU: dist.Fixed(meanWork.Std() * 6 / 10)}, topology.Work{CPU: dist.Fixed(meanWork.Std() * 46 / 10)}
	// Forty sizes are nearly without memory: the quantiles of the exponential distribution.
	alike, sizes, sum := make([]float64, 40), make([]topology.Work, 40), 0.0
	for i := range sizes {
		alike[i] = 1
		sizes[i].CPUUnits = -math.Log1p(-(float64(i) + 0.5) / 40)
		sum += sizes[i].CPUUnits / 40
	}
	for i := range sizes {
		sizes[i].CPUUnits /= sum
	}
	return []queueing{
		one("units, M/D/1-PS", 1, 0, 1/(1-rho), alike, topology.Work{CPUUnits: 1}),
		one("units, M/G/1-PS, uneven", 1, 0, 1/(1-rho), seldom, topology.Work{CPUUnits: 0.5}, topology.Work{CPUUnits: 5.5}),
		one("units, M/G/1-PS, forty sizes", 1, 0, 1/(1-rho), alike, sizes...),
		one("turns, M/M/1 of two threads", 1, 0, 1/(1-rho), alike, exponential),
		one("turns, M/M/4", 4, 0, 1+erlangC(4, 4*rho)/(4-4*rho), alike, exponential),
		one("turns, M/D/1", 0, 1, 1+rho/(2*(1-rho)), alike, topology.Work{CPU: dist.Fixed(meanWork.Std())}),
		one("turns, M/G/1", 0, 1, 1+rho*2.44/(2*(1-rho)), seldom, short, long),
	}
}

// erlangC is the probability that all of c servers are busy, for a load of a.
func erlangC(c int, a float64) float64 {
	b := 1.0 // Erlang B by recursion
	for i := 1; i <= c; i++ {
		b = a * b / (float64(i) + a*b)
	}
	rho := a / float64(c)
	return b / (1 - rho + rho*b)
}

// lostOf3 is the share that finds an M/M/2/3 full.
func lostOf3(a float64) float64 {
	full := a * a * a / 4
	return full / (1 + a + a*a/2 + full)
}

// front has no limits of its own, so it adds no time.
func front(calls ...string) topology.Endpoint {
	var steps []topology.Step
	for _, to := range calls {
		steps = append(steps, topology.CallTo(to))
	}
	return topology.NewEndpoint("/"+calls[len(calls)-1], steps...)
}

func tandem(rho float64) queueing {
	web := topology.NewService("web")
	web.Endpoints = []topology.Endpoint{front("a", "b")}
	return queueing{
		name:     "tandem",
		services: []topology.Service{web, station("a", 1, roomy, exponentialWork(meanWork)), station("b", 1, roomy, exponentialWork(meanWork*4/5))},
		requests: []load.Request{{Service: "web", Weight: 1}}, phase: arriving(rho),
		exact: 1/(1-rho) + 1/(1/0.8-rho),
	}
}

// jackson is a network of three stations. Of requests, three of five go from a to b, the
// others from a to c; a quarter of those goes back to a and to b afterwards. Routes that
// are fixed by class keep its form (Kelly, Reversibility and Stochastic Networks, 1979).
func jackson(rho float64) queueing {
	const toB, again = 0.6, 0.25
	web := topology.NewService("web")
	back := front("a", "c")
	for _, to := range []string{"a", "b"} {
		back.Steps = append(back.Steps, topology.CallTo(to))
	}
	back.Path = "/back"
	web.Endpoints = []topology.Endpoint{front("a", "b"), front("a", "c"), back}
	visits := [...]float64{1 + (1-toB)*again, toB + (1-toB)*again, 1 - toB}
	means := [...]unit.Duration{meanWork, meanWork * 5 / 4, meanWork * 3 / 2}
	rate := rho / visits[0] // then a has the load, and the others less
	q := queueing{name: "Jackson network", services: []topology.Service{web}, phase: arriving(rate)}
	for i, mean := range means {
		q.services = append(q.services, station(string(rune('a'+i)), 1, roomy, exponentialWork(mean)))
		load := rate * visits[i] * float64(mean) / float64(meanWork)
		q.exact += load / (1 - load) / rate
	}
	for path, share := range map[string]float64{"/b": toB, "/c": (1 - toB) * (1 - again), "/back": (1 - toB) * again} {
		q.requests = append(q.requests, load.Request{Name: path[1:], Service: "web", Endpoint: path, Weight: share})
	}
	return q
}

// repairman is a closed system of ten users who think and are then served, whose worker
// is as busy as rho says. Exact by mean value analysis (Reiser, Lavenberg 1980).
func repairman(rho float64) queueing {
	const users = 10
	response := func(think float64) (r, busy float64) {
		q := 0.0
		for n := 1; n <= users; n++ {
			r = 1 + q
			q = float64(n) * r / (r + think)
		}
		return r, users / (r + think)
	}
	low, high := 0.0, 1e4
	for range 200 {
		think := (low + high) / 2
		if _, busy := response(think); busy > rho {
			low = think
		} else {
			high = think
		}
	}
	think := time.Duration(low * float64(meanWork))
	exact, _ := response(float64(think) / float64(meanWork))
	return queueing{
		name: "machine repairman", services: []topology.Service{station("s", 1, roomy, exponentialWork(meanWork))},
		phase: load.Phase{Users: users, Think: exponentialWork(unit.Duration(think))}, exact: exact,
	}
}

// seen plays it, and returns the latency of each request in units of meanWork or, if loss
// is set, 1 for one that was turned away and 0 for others.
func (q *queueing) seen(t *testing.T, seed uint64, count int) []float64 {
	q.phase.Count = count
	e := experiment.Experiment{
		Name: "theory", Seed: seed, System: topology.System{Name: "theory", Services: q.services},
		Load: load.Profile{Requests: q.requests, MaxInFlight: roomy / 2, Timeout: unit.Duration(time.Hour), Phases: []load.Phase{q.phase}},
	}
	seen := make([]float64, 0, count)
	m := Machine{Cores: q.cores, Latency: -1, RequestCPU: -1, ConnectionCPU: -1, SleepLate: -1, CPUUnit: meanWork.Std()}
	if q.cores == 0 {
		m.Cores = 1000
	}
	note := func(o measure.Outcome) {
		switch {
		case q.loss && o.Class != outcome.OK:
			seen = append(seen, 1)
		case q.loss:
			seen = append(seen, 0)
		case o.Class == outcome.OK:
			seen = append(seen, float64(o.Latency)/float64(meanWork))
		default:
			t.Errorf("%s: a request ended as %s", q.name, o.Class)
		}
	}
	if _, err := Run(context.Background(), e, Options{Machine: m, Outcome: note}); err != nil {
		t.Error(err)
	}
	return seen
}

// batches cuts a run in 11, and returns the means of all but the first, which is the
// warm-up.
func batches(seen []float64) []float64 {
	const n = 10
	size := len(seen) / (n + 1)
	means := make([]float64, n)
	for b := range means {
		for _, v := range seen[(b+1)*size : (b+2)*size] {
			means[b] += v / float64(size)
		}
	}
	return means
}

func TestTheory(t *testing.T) {
	const seeds = 100
	counts := map[float64]int{0.3: 3_000}
	if os.Getenv("MICROSIM_THEORY") == "full" {
		counts = map[float64]int{0.3: 8_000, 0.7: 24_000, 0.9: 120_000}
	}
	for rho, count := range counts {
		for _, q := range queueings(rho) {
			t.Run(fmt.Sprintf("%s at %v", q.name, rho), func(t *testing.T) {
				t.Parallel()
				covered, mean := 0, 0.0
				for seed := range uint64(seeds) {
					m, interval := stats.MeanInterval(batches(q.seen(t, seed, count)), 0.95)
					if interval.Contains(q.exact) {
						covered++
					}
					mean += m / seeds
				}
				t.Logf("%d of %d intervals cover %.4f; the mean of all runs is %.4f", covered, seeds, q.exact, mean)
				if covered < 90 || covered > 99 || math.Abs(mean/q.exact-1) > 0.03 {
					t.Errorf("%d of %d intervals cover %.4f; the mean of all runs is %.4f", covered, seeds, q.exact, mean)
				}
			})
		}
	}
}
