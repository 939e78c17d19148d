package service

import (
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// finePage reads the histogram of a series from the page of fine metrics.
func finePage(t *testing.T, s *Service, series string) *stats.Histogram {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", control.MetricsPath+"?"+control.FineQuery, nil))
	if strings.Contains(w.Body.String(), "_duration_seconds") {
		t.Error("the page of fine metrics has wide buckets, too")
	}
	for line := range strings.Lines(w.Body.String()) {
		rest, ok := strings.CutPrefix(line, series+" ")
		if !ok {
			continue
		}
		h := new(stats.Histogram)
		for i, field := range strings.Fields(rest) {
			if i == 0 {
				sum, err := strconv.ParseInt(field, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				h.AddSum(time.Duration(sum))
				continue
			}
			index, n, _ := strings.Cut(field, ":")
			at, err := strconv.Atoi(index)
			count, countErr := strconv.ParseInt(n, 10, 64)
			if err != nil || countErr != nil {
				t.Fatalf("bucket %q", field)
			}
			h.AddBucket(at, count)
		}
		return h
	}
	t.Fatalf("the page has no series %s:\n%s", series, w.Body.String())
	return nil
}

// Quantiles of what a service tells are within 1 % of those of the times it
// really took. The time of a bubble is exact.
func TestFineMetricsAreTrue(t *testing.T) {
	for name, sleep := range map[string]dist.Delay{
		"fixed":     dist.Fixed(240 * time.Millisecond),
		"spread":    dist.Jittered(100*time.Millisecond, 90*time.Millisecond),
		"long tail": {LogNormal: &dist.LogNormal{P50: unit.Duration(20 * time.Millisecond), P99: unit.Duration(time.Second)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{System: "x", Service: topology.NewService("a", topology.Step{Work: &topology.Work{Sleep: sleep}}), Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				random := rand.New(rand.NewPCG(1, 1))
				var took []time.Duration
				var sum time.Duration
				for range 2000 {
					r := httptest.NewRequest("GET", "/", nil)
					r.Header.Set(control.RequestIDHeader, strconv.Itoa(random.Int()))
					began := time.Now()
					s.Handler().ServeHTTP(httptest.NewRecorder(), r)
					took = append(took, time.Since(began))
					sum += time.Since(began)
				}
				h := finePage(t, s, `microsim_request_duration_fine{endpoint="/"}`)
				if h.Count() != int64(len(took)) || h.Sum() != sum {
					t.Errorf("%d requests, sum %v; want %d and %v", h.Count(), h.Sum(), len(took), sum)
				}
				slices.Sort(took)
				for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
					want := took[int(math.Ceil(q*float64(len(took))-1e-9))-1]
					low, high := h.Quantile(q)
					if got := stats.Middle(low, high); math.Abs(float64(got-want)) > 0.01*float64(want) {
						t.Errorf("quantile %v is %v, and is shown as %v", q, want, got)
					}
				}
			})
		})
	}
}

func BenchmarkMetricsPages(b *testing.B) {
	s, err := New(Config{System: "x", Service: topology.NewService("a", topology.CallTo("b"), topology.CallTo("c"), topology.CallTo("d"))})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10000 {
		s.metrics.Chain.Count(200, time.Duration(i)*time.Microsecond)
		s.metrics.Callee("b").Count("ok", time.Duration(i)*time.Microsecond)
	}
	for _, query := range []string{"", "?" + control.FineQuery} {
		b.Run("page"+query, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, httptest.NewRequest("GET", control.MetricsPath+query, nil))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "B/page")
		})
	}
}
