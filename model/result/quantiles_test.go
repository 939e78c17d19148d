package result

import (
	"math"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

const ms = time.Millisecond

// judged holds a check of a service against its latencies.
func judged(t *testing.T, expr string, h *stats.Histogram) CheckResult {
	t.Helper()
	n := h.Count()
	r := Result{Segments: []Segment{{Kind: WholeRun, Services: []ServiceStats{{Service: "a", Requests: n, Latency: NewQuantiles(h)}}}}}
	r.Judge([]experiment.Check{{Expr: expr, Service: "a"}})
	return r.Checks[0]
}

func TestVerdictIsAsHardAsItsFigure(t *testing.T) {
	fine, coarse, endless := new(stats.Histogram), new(stats.Histogram), new(stats.Histogram)
	fine.Add(240*ms, 100)
	coarse.AddRange(250*ms+1, 500*ms, 100)
	endless.AddRange(25*time.Second+1, math.MaxInt64, 100)
	for _, test := range []struct {
		expr           string
		of             *stats.Histogram
		pass, notKnown bool
		why            string
	}{
		{"p50 < 260ms", fine, true, false, "p50 240ms"},
		{"p50 > 238ms", fine, true, false, "p50 240ms"},
		{"p50 < 238ms", fine, false, false, "p50 240ms"},
		// The bucket of 240 ms reaches from 239.1 to 241.2 ms.
		{"p50 <= 240ms", fine, false, true, "not known: p50 is between 239ms and 241ms"},
		{"p50 == 240ms", fine, false, true, "not known: p50 is between 239ms and 241ms"},
		{"p50 != 240ms", fine, false, true, "not known: p50 is between 239ms and 241ms"},
		{"p50 != 300ms", fine, true, false, "p50 240ms"},
		{"p99 <= 500ms", coarse, true, false, "p99 between 250ms and 500ms"},
		{"p99 > 250ms", coarse, true, false, "p99 between 250ms and 500ms"},
		{"p99 < 250ms", coarse, false, false, "p99 between 250ms and 500ms"},
		{"p99 < 300ms", coarse, false, true, "not known: p99 is between 250ms and 500ms"},
		{"p99 >= 300ms", coarse, false, true, "not known: p99 is between 250ms and 500ms"},
		{"p99 < 20s", endless, false, false, "p99 at least 25s"},
		{"p99 < 30s", endless, false, true, "not known: p99 is at least 25s"},
		{"p99 > 20s", endless, true, false, "p99 at least 25s"},
		{"mean < 1ms", fine, false, false, "mean 240ms"},
		{"max < 1s", fine, false, false, ""},
	} {
		got := judged(t, test.expr, test.of)
		if got.Pass != test.pass || got.NotKnown != test.notKnown || test.why != "" && got.Why != test.why {
			t.Errorf("%s: pass %v, not known %v, %q", test.expr, got.Pass, got.NotKnown, got.Why)
		}
		if wide := test.of != fine; wide != (got.Between != nil) || wide && got.Value != nil {
			t.Errorf("%s: value %v, between %v", test.expr, got.Value, got.Between)
		}
	}
}

// Extremes of clients are exact, and no quantile lies outside of them.
func TestExtremesNarrowQuantiles(t *testing.T) {
	var h stats.Histogram
	h.Add(100*ms, 50)
	r := Result{Segments: []Segment{{Clients: ClientStats{Requests: 50, Latency: NewLatency(&h, 100*ms, 100*ms)}}}}
	r.Judge([]experiment.Check{{Expr: "p99 <= 100ms"}, {Expr: "p50 == 100ms"}, {Expr: "max < 100ms"}})
	for i, want := range []bool{true, true, false} {
		if c := r.Checks[i]; c.Pass != want || c.NotKnown {
			t.Errorf("%s: %+v", c.Expr, c)
		}
	}
}

func TestSummaryOfNothing(t *testing.T) {
	if q := NewQuantiles(new(stats.Histogram)); q != nil {
		t.Errorf("got %+v", q)
	}
}

// A histogram keeps its quantiles on the way through a load report.
func TestEncodedHistogramKeepsBuckets(t *testing.T) {
	var h, again stats.Histogram
	for i := stats.Bucket(66 * time.Microsecond); i < stats.Bucket(20*time.Hour); i += 7 {
		h.AddBucket(i, int64(i))
	}
	text, err := encodeHistogram(&h)
	if err != nil {
		t.Fatal(err)
	}
	n, err := decodeHistogram(text, &again)
	if err != nil || n != h.Count() {
		t.Fatalf("%d latencies of %d, %v", n, h.Count(), err)
	}
	want := map[int]int64{}
	for i, n := range h.Fine() {
		want[i] = n
	}
	for i, n := range again.Fine() {
		if want[i] != n {
			low, _ := stats.BucketBounds(i)
			t.Fatalf("bucket %d from %v has %d, want %d", i, low, n, want[i])
		}
	}
}
