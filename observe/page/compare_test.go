package page

import (
	"math"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

func TestVariantsHaveStudentsIntervals(t *testing.T) {
	p := lab(2, 4)
	all := compare(p.Runs)
	if len(all) != 4 || all[2].Key != "part:during" || len(all[2].Rows) != 2 {
		t.Fatalf("the comparisons are %+v", all)
	}
	row := all[2].Rows[0]
	var values []float64
	for _, run := range p.Runs[:4] {
		c := run.Result.Segments[2].Clients
		values = append(values, float64(c.Errors)/float64(c.Requests))
	}
	mean, interval := stats.MeanInterval(values, 0.95)
	got := row.Figures["share"]
	if row.Variant != "none" || row.Runs != 4 || row.Checks != 8 || row.Passed != 4 {
		t.Errorf("the row is %+v", row)
	}
	for name, pair := range map[string][2]float64{"mean": {float64(got.Mean), mean}, "low": {float64(got.Low), max(interval.Low, 0)}, "high": {float64(got.High), min(interval.High, 1)}} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("%s is %g, not %g", name, pair[0], pair[1])
		}
	}
	if n := row.Figures["timeout"]; n.Mean != num(float64(sum(p.Runs[:4], outcome.Timeout))/4) || len(all[1].Rows[0].Figures) != 7 {
		t.Errorf("the timeouts are %+v, and before the faults there are the figures %v", n, all[1].Rows[0].Figures)
	}
	if len(got.Values) != 4 {
		t.Errorf("the values are %v", got.Values)
	}
}

// sum counts the outcomes of a class during the faults.
func sum(runs []Run, class outcome.Class) (n int64) {
	for _, run := range runs {
		n += run.Result.Segments[2].Clients.Outcomes[class]
	}
	return n
}

func TestOneRunHasNoInterval(t *testing.T) {
	f := newFigure([]float64{0.3}, experiment.Share)
	low, _ := f.Low.MarshalJSON()
	high, _ := f.High.MarshalJSON()
	if f.Mean != 0.3 || string(low) != "null" || string(high) != "null" {
		t.Errorf("the figure is %+v", f)
	}
	if f := newFigure([]float64{0, 0.5}, experiment.Share); f.Low != 0 || f.High > 1 {
		t.Errorf("a share is said to be as low as %g", float64(f.Low))
	}
}

func TestVariantThatEndedEarly(t *testing.T) {
	p := lab(2, 2)
	p.Runs[1].Result.Timeline = p.Runs[1].Result.Timeline[:10]
	p.Runs[1].Result.Incomplete = true
	p.Runs[1].Result.Segments = p.Runs[1].Result.Segments[:2]
	rows := compare(p.Runs)[2].Rows
	if rows[0].Incomplete != 1 || len(rows[0].Figures["p99"].Values) != 1 || len(rows[1].Figures["p99"].Values) != 2 {
		t.Errorf("the rows are %+v", rows)
	}
	o := newOverlays(p.Runs, maxCurve)
	if len(o) != 2 || len(o[0].T) != 60 || o[0].Curves["good"].Low[30] != o[0].Curves["good"].High[30] || len(o[0].Curves["p99"].Mean) != 60 {
		t.Errorf("the curves are %+v", o[0])
	}
}

func TestHistogramKeepsEveryRequest(t *testing.T) {
	h := hdrhistogram.New(1, 3_600_000_000, 3)
	for _, us := range []int64{1, 9, 1000, 1000, 25_000, 25_100, 2_000_000} {
		if err := h.RecordValue(us); err != nil {
			t.Fatal(err)
		}
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newHistogram("x", &result.LoadStats{Histogram: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for i, n := range got.Counts {
		total += n
		low := math.Pow(10, float64(got.First+i)/float64(got.PerDecade))
		if n == 2 && !(low <= 0.001 && 0.001 < low*math.Pow(10, 0.05)) && !(low <= 0.0251 && 0.025 < low*math.Pow(10, 0.05)) {
			t.Errorf("two requests are drawn at %g s", low)
		}
	}
	if total != 7 || got.Counts[0] == 0 || got.Counts[len(got.Counts)-1] == 0 {
		t.Errorf("the bins are %v", got.Counts)
	}
	if h, err := newHistogram("x", &result.LoadStats{}); h != nil || err != nil {
		t.Errorf("no histogram is read as %v, %v", h, err)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.1 + 0.2: "0.3", 1.0 / 3: "0.3333", 123456789: "123456789", 98765.4: "98765", 1e-9: "0.000000001", -2.5: "-2.5", math.Inf(1): "null", math.Inf(-1): "null",
	} {
		if got, err := num(v).MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("%g is written as %s, not %s: %v", v, got, want, err)
		}
	}
}
