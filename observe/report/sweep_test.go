package report

import (
	"fmt"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// An interval that reaches further up than down is not told as one of equal halves,
// which might reach below zero.
func TestHalvesOfIntervalsAreEqual(t *testing.T) {
	ms := func(v float64) string { return fmt.Sprintf("%.3gms", v*1e3) }
	for _, tt := range []struct {
		mean, low, high float64
		want            string
	}{
		{0.2, 0.19, 0.21, "200ms±10ms"},
		{0.0717, 0.0355, 0.1448, "71.7ms (35.5ms-145ms)"},
		{0.0717, 0.0001, 9, "71.7ms (too few seeds)"},
		{0.01, 0, 0.05, "10ms (0ms-50ms)"},
		{0.00898, 0.00898, 0.00898, "8.98ms"}, // seeds that agree do not make it exact
	} {
		if got := plusMinus(&result.Figure{Mean: tt.mean, Low: &tt.low, High: &tt.high}, ms).text; got != tt.want {
			t.Errorf("%v from %v to %v is told as %q, want %q", tt.mean, tt.low, tt.high, got, tt.want)
		}
	}
}
