package collect

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

func TestFineBucketsAreRead(t *testing.T) {
	var h stats.Histogram
	h.Add(240*time.Millisecond, 7)
	h.Add(3*time.Second, 2)
	text := string(h.AppendText([]byte(`microsim_request_duration_fine{endpoint="/"} `))) + "\n" +
		`microsim_request_duration_fine{endpoint="chain"} 5 5:1` + "\n" + string(h.AppendText([]byte(`microsim_call_duration_fine{callee="db"} `)))
	f := newFigures()
	for range 2 { // the figures are used again
		// Durations of fine buckets are not counted in the classic ones, too.
		if err := f.parse([]byte(text + "\n" + `microsim_request_duration_seconds_bucket{le="+Inf"} 10`)); err != nil {
			t.Fatal(err)
		}
	}
	d := &f.duration
	if low, high := d.Quantile(0.99); d.Count() != 10 || d.Sum() != h.Sum()+5 || stats.Bucket(low) != stats.Bucket(3*time.Second) || stats.Bucket(high) != stats.Bucket(low) {
		t.Errorf("%d requests, sum %v, p99 from %v to %v", d.Count(), d.Sum(), low, high)
	}
	if db := f.calls["db"].duration; db.Count() != 9 || db.Sum() != h.Sum() {
		t.Errorf("%d calls, sum %v", db.Count(), db.Sum())
	}
	for _, wrong := range []string{"x", "1 2", "1 2:", "1 :2", "1 -1:2", "1 3712:1", "1 2:NaN", "1 2:1e30", "1e300"} {
		if err := newFigures().parse([]byte(`microsim_request_duration_fine{endpoint="/"} ` + wrong)); err == nil || !strings.Contains(err.Error(), "invalid") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// Of a service that tells Prometheus's buckets only, no more is known.
func TestClassicBucketsAreBounds(t *testing.T) {
	f := newFigures()
	page := ""
	for _, endpoint := range []string{"/", "chain"} {
		page += fmt.Sprintf(`microsim_request_duration_seconds_bucket{endpoint="%[1]s",le="0.25"} 1
microsim_request_duration_seconds_bucket{endpoint="%[1]s",le="0.5"} 9
microsim_request_duration_seconds_bucket{endpoint="%[1]s",le="+Inf"} 10
microsim_request_duration_seconds_sum{endpoint="%[1]s"} 4.5
`, endpoint)
	}
	if err := f.parse([]byte(page)); err != nil {
		t.Fatal(err)
	}
	for q, want := range map[float64][2]time.Duration{0.05: {0, 250e6}, 0.5: {250e6 + 1, 500e6}, 0.99: {500e6 + 1, math.MaxInt64}} {
		if low, high := f.duration.Quantile(q); low != want[0] || high != want[1] {
			t.Errorf("quantile %v lies from %v to %v, want %v", q, low, high, want)
		}
	}
	if f.duration.Count() != 20 || f.duration.Sum() != 9*time.Second {
		t.Errorf("%d requests, sum %v", f.duration.Count(), f.duration.Sum())
	}
}

// A round that a replica does not answer is made up for by the next: its counts
// are of the time since it last answered.
func TestCountsAfterMissedRounds(t *testing.T) {
	a := newService(t, "cart")
	w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL, State: runner.Ready}}}
	s := New(Options{Interval: time.Hour, Timeout: 300 * time.Millisecond})
	s.client, s.replicas, s.observe = newClient(nil), w.list, w.observe
	before := time.Now()
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, down := range []bool{false, true, true, false} {
		a.down.Store(down)
		a.requests.Add(10)
		time.Sleep(50 * time.Millisecond) // the time that is counted
		if err := s.next(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	var counted time.Duration
	for i, want := range []struct {
		requests  int64
		intervals time.Duration
	}{{30, 1}, {0, 0}, {0, 0}, {90, 3}} {
		got := &w.samples[i]
		counted += got.Counted
		if got.Requests != want.requests || got.Counted < want.intervals*50*time.Millisecond || want.intervals == 0 && got.Counted != 0 {
			t.Errorf("sample %d: %d requests in %v", i, got.Requests, got.Counted)
		}
		if rate := float64(got.Requests) / got.Counted.Seconds(); got.Up > 0 && math.Abs(got.Rate-rate) > 1e-6*rate || got.Up == 0 && got.Rate != 0 {
			t.Errorf("sample %d: rate %v, want %v", i, got.Rate, rate)
		}
	}
	// From the first scrape to the last.
	if least, most := w.samples[3].At.Sub(began), time.Since(before); counted < least || counted > most {
		t.Errorf("%v are counted, want %v to %v", counted, least, most)
	}
}

// A replica that is known to be down does nothing, and that is known.
func TestTimeOfReplicasThatAreDownCounts(t *testing.T) {
	a := newService(t, "cart")
	w := &world{replicas: []runner.Replica{{Service: "cart", Index: 1, URL: a.URL, State: runner.Ready}}}
	s := New(Options{Interval: time.Hour})
	s.client, s.replicas, s.observe = newClient(nil), w.list, w.observe
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.replicas[0].State = runner.Down
	time.Sleep(20 * time.Millisecond) // the time that is counted
	if err := s.next(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := w.samples[0]; got.Up != 0 || got.Counted < 20*time.Millisecond || got.Requests != 0 {
		t.Errorf("got %+v", got)
	}
}

// One sample is of the interval, however long the looks take.
func TestOneSample(t *testing.T) {
	const interval, rate = time.Second, 500
	began := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "microsim_requests_total{code=\"200\"} %d\n", int(time.Since(began).Seconds()*rate))
	}))
	defer server.Close()
	var asked atomic.Int64
	list := func(context.Context) ([]runner.Replica, error) {
		asked.Add(1)
		return []runner.Replica{{Service: "a", URL: server.URL, State: runner.Ready}}, nil
	}
	samples, err := Sample(t.Context(), Options{Interval: interval}, list)
	if err != nil || len(samples) != 1 || asked.Load() != 2 {
		t.Fatalf("%+v, %v, asked %d times", samples, err, asked.Load())
	}
	if got := samples[0]; got.Rate < 0.9*rate || got.Rate > 1.1*rate || got.Elapsed < interval {
		t.Errorf("rate %v over %v", got.Rate, got.Elapsed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sample(ended, Options{}, list); err == nil {
		t.Error("a sample was taken after the end")
	}
	var none []measure.Sample
	if samples, err = Sample(t.Context(), Options{Interval: time.Millisecond}, func(context.Context) ([]runner.Replica, error) { return nil, nil }); err != nil || len(samples) != len(none) {
		t.Errorf("%+v, %v", samples, err)
	}
}
