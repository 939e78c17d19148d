package remote

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

func unpack(t *testing.T, packed []byte) (all []measure.Outcome) {
	t.Helper()
	if err := EachOutcome(packed, func(o measure.Outcome) { all = append(all, o) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPackedOutcomesComeBack(t *testing.T) {
	want := []measure.Outcome{
		{Class: outcome.OK},
		{Phase: 2, Request: 1, Intended: 3 * time.Second, Late: time.Microsecond, Latency: 20 * time.Millisecond, Class: outcome.HTTPError, Status: 503, Bytes: 1 << 20},
		{Intended: -1, Latency: math.MaxInt64, Class: outcome.Dropped, Bytes: math.MaxInt64},
	}
	for _, class := range outcome.Classes() {
		want = append(want, measure.Outcome{Class: class})
	}
	var packed []byte
	for i := range want {
		packed = AppendOutcome(packed, &want[i])
	}
	if diff := cmp.Diff(want, unpack(t, packed)); diff != "" {
		t.Errorf("what was packed (-) comes back as (+):\n%s", diff)
	}
}

func FuzzEachOutcome(f *testing.F) {
	f.Add(AppendOutcome(nil, &measure.Outcome{Class: outcome.Timeout, Status: 200}))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, packed []byte) {
		var again []byte
		n := 0
		if EachOutcome(packed, func(o measure.Outcome) { again, n = AppendOutcome(again, &o), n+1 }) != nil {
			return
		}
		if got := len(unpack(t, again)); got != n {
			t.Errorf("%d outcomes were packed again as %d", n, got)
		}
	})
}

func BenchmarkAppendOutcome(b *testing.B) {
	o := measure.Outcome{Request: 1, Intended: 3 * time.Second, Late: time.Microsecond, Latency: 2 * time.Millisecond, Class: outcome.OK, Status: 200, Bytes: 1000}
	var packed []byte
	for b.Loop() {
		packed = AppendOutcome(packed[:0], &o)
	}
	b.ReportMetric(float64(len(packed)), "B/outcome")
}
