package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// generic reads a page by the library and returns what figures has of it.
func generic(page []byte) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return nil, err
	}
	got := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			label := map[string]string{}
			for _, l := range m.Label {
				label[l.GetName()] = l.GetValue()
			}
			switch name {
			case "microsim_requests_total":
				got["code "+label["code"]] += m.GetCounter().GetValue()
			case "microsim_requests_degraded_total", "microsim_calls_degraded_total":
				got["degraded "+label["callee"]] += m.GetCounter().GetValue()
			case "microsim_calls_total":
				got["call "+label["callee"]+" "+label["outcome"]] += m.GetCounter().GetValue()
			case "microsim_request_duration_seconds", "microsim_call_duration_seconds":
				h := m.GetHistogram()
				key := "hist " + label["callee"]
				got[key+" sum"] += h.GetSampleSum()
				got[key+" count"] += float64(h.GetSampleCount())
				for _, b := range h.Bucket {
					if b.GetUpperBound() < 1e300 {
						got[fmt.Sprintf("%s %v", key, b.GetUpperBound())] += float64(b.GetCumulativeCount())
					}
				}
			case "microsim_inflight_requests", "microsim_queue_length", "microsim_held_memory_bytes":
				got[name] += m.GetGauge().GetValue()
			}
		}
	}
	return got, nil
}

func (f *figures) flat() map[string]float64 {
	got := map[string]float64{"microsim_inflight_requests": f.inFlight, "microsim_queue_length": f.queue, "microsim_held_memory_bytes": f.held, "degraded ": f.degraded}
	for code, n := range f.codes {
		got["code "+code] = n
	}
	histogram := func(callee string, h *classic) {
		key := "hist " + callee
		got[key+" sum"], got[key+" count"] = h.sum, h.count
		for i, bound := range h.bounds {
			got[fmt.Sprintf("%s %v", key, bound)] = h.below[i]
		}
	}
	histogram("", &f.duration.classic)
	for callee, c := range f.calls {
		for outcome, n := range c.outcomes {
			got["call "+callee+" "+outcome] = n
		}
		got["degraded "+callee] = c.degraded
		histogram(callee, &c.duration.classic)
	}
	return got
}

func TestParseAgreesWithTheLibrary(t *testing.T) {
	f := newFigures()
	for _, n := range []int{0, 7, 123456} {
		text := page("cart", n, "db", "cache")
		want, err := generic(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.parse(text); err != nil {
			t.Fatal(err)
		}
		if got := f.flat(); !maps.Equal(got, want) {
			t.Errorf("after %d requests: %v, want %v", n, got, want)
		}
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"# x\nmicrosim_queue_length x\n":                             `line 2: "microsim_queue_length x": invalid number "x"`,
		"microsim_queue_length":                                      "has no value",
		"microsim_requests_total{code=\"2":                           "closing quote",
		"microsim_requests_total{code=2} 1":                          "not quoted",
		"microsim_requests_total{code} 1":                            "has no value",
		"microsim_request_duration_seconds_bucket{le=\"x\"} 1":       "invalid bucket bound",
		"microsim_queue_length{a=\"b\\":                              "closing quote",
		"microsim_calls_total{callee=\"" + strings.Repeat("x", 9999): "closing quote",
	} {
		err := newFigures().parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(page("cart", 12, "db"))
	f.Add([]byte("microsim_requests_total{code=\"a\\\"\\n\\\\\",} 1e3 123\nprocess_cpu_seconds_total 1.5\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		figures := newFigures()
		if figures.parse(text) != nil {
			return
		}
		again := newFigures()
		_ = again.parse(text)
		_ = again.parse(text)
		if len(again.codes) != len(figures.codes) {
			t.Error("a second scrape differs from the first")
		}
	})
}

// service is a replica whose counters a test sets.
type service struct {
	*httptest.Server
	requests atomic.Int64
	down     atomic.Bool
	hang     atomic.Bool
	// fine says that it knows fine histograms.
	fine atomic.Bool
}

func newService(t *testing.T, name string, callees ...string) *service {
	s := &service{}
	released := make(chan struct{})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.hang.Load():
			select {
			case <-r.Context().Done():
			case <-released:
			}
		case s.down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case s.fine.Load() && r.URL.RawQuery == control.FineQuery:
			_, _ = w.Write(finePage(name, int(s.requests.Load()), callees...))
		default:
			_, _ = w.Write(page(name, int(s.requests.Load()), callees...))
		}
	}))
	t.Cleanup(func() { close(released); s.Close() })
	return s
}

// world is a list of replicas, and of the samples taken of them.
type world struct {
	mu       sync.Mutex
	replicas []runner.Replica
	err      error
	samples  []measure.Sample
}

func (w *world) list(context.Context) ([]runner.Replica, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.replicas), w.err
}

func (w *world) observe(s measure.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, s)
}

// watch scrapes at start, calls during, scrapes at stop, and returns the one
// sample of each service that lies between.
func watch(t *testing.T, w *world, during func()) map[string]measure.Sample {
	t.Helper()
	s := New(Options{Interval: time.Hour, Timeout: 300 * time.Millisecond})
	if err := s.Start(context.Background(), w.list, w.observe); err != nil {
		t.Fatal(err)
	}
	during()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error("the second stop:", err)
	}
	samples := map[string]measure.Sample{}
	for _, sample := range w.samples {
		if _, twice := samples[sample.Service]; twice {
			t.Errorf("more than one sample of %q", sample.Service)
		}
		samples[sample.Service] = sample
	}
	return samples
}

func TestReplicasAreSummed(t *testing.T) {
	a, b := newService(t, "cart", "db"), newService(t, "cart", "db")
	a.requests.Store(1000)
	w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL}, {Service: "cart", Index: 2, URL: b.URL}}}
	got := watch(t, w, func() {
		a.requests.Add(100)
		b.requests.Add(50)
	})["cart"]
	// A page counts each request at three endpoints.
	if got.Requests != 450 || got.Errors != 0 || got.Codes["200"] != 450 || got.Up != 2 || got.Replicas != 2 || got.QueueLength != 4 || got.MemoryBytes != 2<<20 {
		t.Errorf("sample %+v", got)
	}
	if low, high := got.Latency.Quantile(0.05); got.Latency.Count() != 450 || low != 0 || high != 200*time.Microsecond || got.Latency.Sum().Round(10*time.Millisecond) != 1800*time.Millisecond {
		t.Errorf("%d latencies, the least from %v to %v, sum %v", got.Latency.Count(), low, high, got.Latency.Sum())
	}
	if want := (map[outcome.Class]int64{outcome.OK: 150}); len(got.Calls) != 1 || got.Calls[0].Callee != "db" || !reflect.DeepEqual(got.Calls[0].Calls, want) {
		t.Errorf("calls %+v", got.Calls)
	}
}

// Degraded answers are told beside histograms of either kind.
func TestDegradedAnswersAreCounted(t *testing.T) {
	for _, fine := range []bool{false, true} {
		a, b := newService(t, "cart", "db"), newService(t, "cart", "db")
		a.fine.Store(fine)
		b.fine.Store(fine)
		a.requests.Store(1000)
		w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL}, {Service: "cart", Index: 2, URL: b.URL}}}
		got := watch(t, w, func() {
			a.requests.Add(100)
			b.requests.Add(50)
		})["cart"]
		// A page counts each request at three endpoints.
		if got.Requests != 450 || got.Degraded != 45 || len(got.Calls) != 1 || got.Calls[0].Degraded != 30 {
			t.Errorf("fine %v: %d of %d requests are degraded, calls %+v", fine, got.Degraded, got.Requests, got.Calls)
		}
		if good := got.Rate * 405 / 450; math.Abs(got.Goodput()-good) > 1e-9*good {
			t.Errorf("fine %v: goodput %v, want %v", fine, got.Goodput(), good)
		}
	}
}

func TestDownIsNotIdle(t *testing.T) {
	well, down, hung, gone := newService(t, "a"), newService(t, "b"), newService(t, "c"), newService(t, "d")
	w := &world{replicas: []runner.Replica{{Service: "a", URL: well.URL}, {Service: "b", URL: down.URL}, {Service: "c", URL: hung.URL}, {Service: "d", URL: gone.URL}}}
	got := watch(t, w, func() {
		down.down.Store(true)
		hung.hang.Store(true)
		w.mu.Lock()
		w.replicas = w.replicas[:3]
		w.mu.Unlock()
	})
	for name, want := range map[string][2]int{"a": {1, 1}, "b": {0, 1}, "c": {0, 1}, "d": {0, 0}} {
		if s, ok := got[name]; !ok || s.Up != want[0] || s.Replicas != want[1] {
			t.Errorf("%s: up %d of %d, want %v", name, s.Up, s.Replicas, want)
		}
	}
}

func TestRestartedReplicaCountsFromZero(t *testing.T) {
	for name, restarts := range map[string]int{"unnoticed": 0, "noticed": 1} {
		a := newService(t, "cart")
		a.requests.Store(1000)
		w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL}}}
		got := watch(t, w, func() {
			a.requests.Store(10)
			w.mu.Lock()
			w.replicas[0].Restarts = restarts
			w.mu.Unlock()
		})["cart"]
		if got.Requests != 30 {
			t.Errorf("%s: %d requests, want 30", name, got.Requests)
		}
	}
}

// TestPodsAreToldApart: if a pod is evicted, drained or deleted by others, the pods behind it
// become the replicas before theirs. What they had counted is not counted again, and not set
// off against the counts of another.
func TestPodsAreToldApart(t *testing.T) {
	for name, counted := range map[string][2]int64{"fewer": {1000, 900}, "more": {1000, 1100}} {
		a, b, c := newService(t, "cart"), newService(t, "cart"), newService(t, "cart")
		a.requests.Store(counted[0])
		b.requests.Store(counted[1])
		w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL, Pod: "a", Restarts: 2}, {Service: "cart", Index: 2, URL: b.URL, Pod: "b"}}}
		got := watch(t, w, func() {
			b.requests.Add(20)
			c.requests.Add(3)
			w.mu.Lock()
			w.replicas = []runner.Replica{{Service: "cart", Index: 1, URL: b.URL, Pod: "b", Restarts: 2}, {Service: "cart", Index: 2, URL: c.URL, Pod: "c", Since: time.Now()}}
			w.mu.Unlock()
		})["cart"]
		if want := int64(3 * (20 + 3)); got.Requests != want || got.Up != 2 || got.Replicas != 2 {
			t.Errorf("%s: %d requests, up %d of %d; want %d", name, got.Requests, got.Up, got.Replicas, want)
		}
	}
}

// TestLateReplicas: one that appears counts from zero; one that ran unreachable
// from before does not put its past into one second.
func TestLateReplicas(t *testing.T) {
	old, fresh := newService(t, "old"), newService(t, "fresh")
	old.requests.Store(1000)
	old.down.Store(true)
	fresh.requests.Store(5)
	w := &world{replicas: []runner.Replica{{Service: "old", URL: old.URL}}}
	got := watch(t, w, func() {
		old.down.Store(false)
		w.mu.Lock()
		w.replicas = append(w.replicas, runner.Replica{Service: "fresh", URL: fresh.URL, Since: time.Now()})
		w.mu.Unlock()
	})
	if got["old"].Requests != 0 || got["old"].Up != 1 || got["fresh"].Requests != 15 {
		t.Errorf("old %+v, fresh %+v", got["old"], got["fresh"])
	}
}

func TestStartReportsWhatIsWrong(t *testing.T) {
	boom := errors.New("boom")
	s := New(Options{})
	if err := s.Start(context.Background(), (&world{err: boom}).list, nil); !errors.Is(err, boom) {
		t.Error(err)
	}
	w := &world{}
	if err := s.Start(context.Background(), w.list, w.observe); err != nil {
		t.Error("after a start that went wrong:", err)
	}
	if err := s.Start(context.Background(), w.list, w.observe); err == nil {
		t.Error("a second start was taken")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestEndOfContextEndsTheWatching(t *testing.T) {
	a := newService(t, "cart")
	w := &world{replicas: []runner.Replica{{Service: "cart", URL: a.URL}}}
	ctx, cancel := context.WithCancel(context.Background())
	s := New(Options{Interval: time.Hour})
	if err := s.Start(ctx, w.list, w.observe); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-s.done
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func BenchmarkParse(b *testing.B) {
	text := page("cart", 12345, "db", "cache", "auth")
	f := newFigures()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := f.parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRound scrapes 1000 services once, over real sockets.
// BenchmarkRound scrapes 1000 services, each with fine histograms of a long tail.
func BenchmarkRound(b *testing.B) {
	text := finePage("cart", 12345, "db", "cache", "auth")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }))
	defer server.Close()
	w := &world{}
	for i := range 1000 {
		w.replicas = append(w.replicas, runner.Replica{Service: fmt.Sprintf("s%d", i), Index: 1, URL: server.URL})
	}
	s := New(Options{Interval: time.Hour, Timeout: time.Minute})
	if err := s.Start(context.Background(), w.list, func(measure.Sample) {}); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	b.ReportAllocs()
	b.ReportMetric(float64(len(text)), "B/page")
	for b.Loop() {
		if err := s.round(context.Background()); err != nil {
			b.Fatal(err)
		}
		for _, name := range s.order {
			s.sample(name, time.Now(), time.Second)
		}
		s.settle()
	}
}

// The lag of a page is that of the group furthest behind, in messages and in seconds each.
func TestLagsOfGroups(t *testing.T) {
	f := newFigures()
	if err := f.parse([]byte("microsim_store_lag_messages{group=\"a\",service=\"q\"} 7\nmicrosim_store_lag_messages{group=\"b\",service=\"q\"} 3\n" +
		"microsim_store_lag_seconds{group=\"a\",service=\"q\"} 0.5\nmicrosim_store_lag_seconds{group=\"b\",service=\"q\"} 2\n")); err != nil {
		t.Fatal(err)
	}
	if !f.hasLag || f.lag != 7 || f.lagSeconds != 2 {
		t.Errorf("%v messages, %v s, known %v", f.lag, f.lagSeconds, f.hasLag)
	}
	if err := f.parse(nil); err != nil || f.hasLag || f.lag != 0 || f.lagSeconds != 0 {
		t.Errorf("after a page without: %v messages, %v s, known %v, %v", f.lag, f.lagSeconds, f.hasLag, err)
	}
}
