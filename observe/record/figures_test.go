package record

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func TestFigureTable(t *testing.T) {
	low, high := 90.5, 110.0
	c := &result.Comparison{Variants: []result.VariantSummary{{
		Name: "-slow", Rate: &result.Figure{Mean: 100, Low: &low, High: &high, Values: []float64{98, 102}}, P99: &result.Figure{Mean: 0.0251, Values: []float64{0.0251}},
		Outcomes:  map[outcome.Class]*result.Figure{outcome.OK: {Mean: 1, Values: []float64{1, 1}}},
		Processes: []result.ProcessSummary{{Service: "api", Runtime: "express", PeakMemory: &result.Figure{Mean: 64 << 20, Values: []float64{64 << 20}}}},
	}}}
	const want = `variant,service,runtime,figure,unit,mean,low,high,runs
'-slow,,,rate,per second,100,90.5,110,2
'-slow,,,p99,seconds,0.0251,,,1
'-slow,,,ok,share,1,,,2
'-slow,api,express,peak_memory,bytes,67108864,,,1
`
	if got := string(figureTable(c)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
