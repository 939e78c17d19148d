//go:build truth

package truth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// exactly is how far a quantile may be from the true order statistic.
const exactly = 0.01

// A wire is a network in memory, for a bubble of synctest: its time stands
// still while a real socket is waited for.
type wire map[string]*doorway

func (w wire) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	select {
	case w[host].arrived <- there:
		return here, nil
	case <-w[host].closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve answers for a host until the end of the test.
func (w wire) serve(t *testing.T, host string, handler http.Handler) {
	w[host] = &doorway{arrived: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	go server.Serve(w[host])
	t.Cleanup(func() { server.Close() })
}

// A doorway is where a host of a wire accepts connections.
type doorway struct {
	arrived chan net.Conn
	closed  chan struct{}
}

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case conn := <-d.arrived:
		return conn, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Close() error { close(d.closed); return nil }

func (d *doorway) Addr() net.Addr { return &net.UnixAddr{} }

// A stopwatch notes the durations of requests, one by one.
type stopwatch struct {
	transport http.RoundTripper

	mu   sync.Mutex
	took []time.Duration
}

func (s *stopwatch) add(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, took)
}

// handler times what another handler does, but not its metrics.
func (s *stopwatch) handler(of http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		of.ServeHTTP(w, r)
		if !strings.HasPrefix(r.URL.Path, "/metrics") {
			s.add(time.Since(began))
		}
	})
}

// RoundTrip times calls until their answer has been read.
func (s *stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := s.transport.RoundTrip(r)
	if err != nil {
		s.add(time.Since(began))
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	s.add(time.Since(began))
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, err
}

// quantile is the order statistic of the durations.
func (s *stopwatch) quantile(q float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.took)
	return s.took[int(math.Ceil(q*float64(len(s.took))-1e-9))-1].Seconds()
}

// figures are the quantiles of something, beside those of its stopwatch.
func (s *stopwatch) figures(name string, shown *result.Quantiles) (figures []figure) {
	for m, q := range map[experiment.Metric]float64{experiment.P50: 0.5, experiment.P90: 0.9, experiment.P99: 0.99, experiment.P999: 0.999} {
		v, _ := shown.Of(m)
		figures = append(figures, figure{name: name + " " + string(m), truth: s.quantile(q), shown: v, within: exactly})
	}
	slices.SortFunc(figures, func(a, b figure) int { return strings.Compare(a.name, b.name) })
	return figures
}

// Two replicas of a service that another calls are loaded and scraped each
// second, while stopwatches stand beside them. The time of a bubble is exact, so
// that a busy machine changes nothing.
func TestQuantilesOfServicesAndEdges(t *testing.T) {
	const ms = unit.Duration(time.Millisecond)
	sleeping := func(d dist.Delay) topology.Service {
		return topology.NewService("back", topology.Step{Work: &topology.Work{Sleep: d}})
	}
	saturated := sleeping(dist.Fixed(50 * time.Millisecond))
	saturated.Workers, saturated.Shed = 3, &topology.Shed{Queue: 60}
	for name, back := range map[string]topology.Service{
		"fixed":     sleeping(dist.Fixed(240 * time.Millisecond)),
		"bimodal":   sleeping(dist.Delay{Empirical: []unit.Duration{60 * ms, 60 * ms, 60 * ms, 500 * ms}}),
		"lognormal": sleeping(dist.Delay{LogNormal: &dist.LogNormal{P50: 80 * ms, P99: 900 * ms}}),
		"saturated": saturated,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { quantilesBesideStopwatches(t, back) })
		})
	}
}

func quantilesBesideStopwatches(t *testing.T, back topology.Service) {
	network := wire{}
	transport := &http.Transport{DialContext: network.dial, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	served, called := &stopwatch{}, &stopwatch{transport: transport}
	front := topology.NewService("front", topology.CallTo("back"))
	var replicas []runner.Replica
	peers := map[string][]string{}
	start := func(cfg service.Config, wrap func(http.Handler) http.Handler) {
		cfg.Peers, cfg.Seed = peers, 7
		s, err := service.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		host := fmt.Sprintf("%s-%d", cfg.Service.Name, cfg.Replica)
		network.serve(t, host, wrap(s.Handler()))
		peers[cfg.Service.Name] = append(peers[cfg.Service.Name], "http://"+host)
		replicas = append(replicas, runner.Replica{Service: cfg.Service.Name, Index: cfg.Replica, URL: "http://" + host, State: runner.Ready})
	}
	for i := range 2 {
		start(service.Config{Service: back, Replica: i + 1}, served.handler)
	}
	start(service.Config{Service: front, Replica: 1, Transport: called}, func(h http.Handler) http.Handler { return h })

	schedule := measure.NewSchedule(load.Profile{Phases: []load.Phase{{}}})
	seen := measure.NewServices(schedule)
	began := time.Now()
	scraper := collect.New(collect.Options{Dial: network.dial})
	list := func(context.Context) ([]runner.Replica, error) { return replicas, nil }
	if err := scraper.Start(t.Context(), list, func(s measure.Sample) { seen.Observe(s.At.Sub(began), &s) }); err != nil {
		t.Fatal(err)
	}
	send(t, transport, peers["front"][0], 20, size(50, 500))
	if err := scraper.Stop(); err != nil {
		t.Fatal(err)
	}
	cut := &measure.Segmenter{
		System: &topology.System{Services: []topology.Service{back, front}}, Schedule: schedule, Clients: measure.NewClients(schedule), Services: seen,
	}
	whole := cut.Segments(time.Since(began))[0]
	compare(t, append(served.figures("service", whole.Services[0].Latency), called.figures("edge", whole.Edges[0].Latency)...)...)
}

// send sends requests, so many in a row by each of some clients at once.
func send(t *testing.T, transport http.RoundTripper, url string, clients, each int) {
	t.Helper()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-Request-ID", fmt.Sprintf("%d-%d", c, i))
				response, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Error(err)
				}
				response.Body.Close()
			}
		})
	}
	all.Wait()
}

// A service that always sleeps as long is answered after that time and a little
// more, which overhead allows for. The load report and the segments of a result
// are of the same requests, and have the same percentiles.
func TestFixedService(t *testing.T) {
	const overhead = 0.01
	r := run(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: fixed
system: {services: [{name: a, work: {sleep: 240ms}}]}
load: {rate: 50, duration: `+size("2s", "10s")+`, requests: [a]}
`)
	clients, report, a := r.Segments[0].Clients.Latency, r.Load.Total.Latency, serviceOf(t, r, "a").Latency
	compare(t,
		figure{name: "service p50", truth: 0.240, shown: a.P50, within: exactly, plus: overhead},
		figure{name: "clients p50", truth: 0.240, shown: clients.P50, within: exactly, plus: overhead},
		figure{name: "load report p50", truth: clients.P50, shown: report.P50},
		figure{name: "load report p99", truth: clients.P99, shown: report.P99},
		figure{name: "load report p999", truth: clients.P999, shown: report.P999},
		figure{name: "load report mean", truth: clients.Mean, shown: report.Mean, within: 1e-9},
	)
}
