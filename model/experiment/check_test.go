package experiment

import (
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"strings"
	"testing"
)

func TestParseCheck(t *testing.T) {
	for _, test := range []struct {
		expr string
		want Condition
	}{
		{"p99 < 300ms", Condition{Metric: P99, Op: "<", Bound: 0.3, Dimension: Seconds}},
		{"P50<=2min", Condition{Metric: P50, Op: "<=", Bound: 120, Dimension: Seconds}},
		{" max  < 1.5s ", Condition{Metric: Max, Op: "<", Bound: 1.5, Dimension: Seconds}},
		{"errors < 1%", Condition{Metric: Errors, Op: "<", Bound: 0.01, Dimension: Share}},
		{"errors == 0", Condition{Metric: Errors, Op: "==", Bound: 0, Dimension: Count}},
		{"rate >= 50", Condition{Metric: Rate, Op: ">=", Bound: 50, Dimension: PerSecond}},
		{"rate > 12.5 /s", Condition{Metric: Rate, Op: ">", Bound: 12.5, Dimension: PerSecond}},
		{"availability > 99.9%", Condition{Metric: Availability, Op: ">", Bound: 0.99900000000000011, Dimension: Share}},
		{"offered >= 100/s", Condition{Metric: Offered, Op: ">=", Bound: 100, Dimension: PerSecond}},
		{"degraded < 5%", Condition{Metric: Degraded, Op: "<", Bound: 0.05, Dimension: Share}},
		{"degraded == 0", Condition{Metric: Degraded, Op: "==", Dimension: Count}},
		{"timeouts == 0", Condition{Metric: "timeouts", Class: outcome.Timeout, Op: "==", Dimension: Count}},
		{"timeout != 3", Condition{Metric: "timeout", Class: outcome.Timeout, Op: "!=", Bound: 3, Dimension: Count}},
		{"connection_errors < 5%", Condition{Metric: "connection_errors", Class: outcome.ConnectionError, Op: "<", Bound: 0.05, Dimension: Share}},
		{"rejected > 10", Condition{Metric: "rejected", Class: outcome.Rejected, Op: ">", Bound: 10, Dimension: Count}},
		{"requests >= 100", Condition{Metric: Requests, Op: ">=", Bound: 100, Dimension: Count}},
		{"lag < 100", Condition{Metric: Lag, Op: "<", Bound: 100, Dimension: Count}},
		{"lag <= 1500ms", Condition{Metric: Lag, Op: "<=", Bound: 1.5, Dimension: Seconds}},
		{"lag == 0", Condition{Metric: Lag, Op: "==", Dimension: Count}},
		{"recovery < 5s", Condition{Metric: RecoveryTime, Op: "<", Bound: 5, Dimension: Seconds}},
	} {
		got, err := ParseCheck(test.expr)
		got.Bound = float64(float32(got.Bound))
		test.want.Bound = float64(float32(test.want.Bound))
		if err != nil || got != test.want {
			t.Errorf("%q: %+v, %v; want %+v", test.expr, got, err, test.want)
		}
	}
}

func TestParseCheckSaysWhatToWrite(t *testing.T) {
	for expr, want := range map[string]string{
		"":                     "compares nothing",
		"p99":                  "compares nothing",
		"p99 = 3ms":            "write <, <=, >, >=, == or !=",
		"p99 ! 3ms":            "write <, <=, >, >=, == or !=",
		"p98 < 3ms":            `no figure "p98"`,
		"< 3ms":                `no figure ""`,
		"p99 <":                "no bound",
		"p99 < 300":            `invalid duration "300"`,
		"p99 < 3%":             "invalid duration",
		"p99 < -3ms":           "is negative",
		"errors < x":           `"x" is not a bound`,
		"errors < NaN%":        "is not a bound",
		"errors < 0.01":        "not a whole number",
		"errors < 101%":        "more than all",
		"errors < -1":          "negative",
		"availability > 0.999": "write percents",
		"rate > fast":          "is not a bound",
		"requests > 5%":        "is not a bound",
		"lag < 5%":             "write messages such as 100",
		"lag < 1.5":            "not a whole number",
		"lag < -2":             "negative",
		"lag < -2s":            "negative",
		"lag < NaN":            "is not a bound",
		"p99 < 1ms < 2ms":      "invalid duration",
	} {
		_, err := ParseCheck(expr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q in it", expr, err, want)
		}
	}
}

func FuzzParseCheck(f *testing.F) {
	for _, s := range []string{"p99 < 300ms", "errors<1%", "rate >= 50/s", "timeouts == 0", "<", "%", "p99 <= 9e999h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := ParseCheck(expr)
		if err != nil {
			return
		}
		if !(c.Bound >= 0) || c.Dimension == "" || c.Op == "" {
			t.Errorf("%q was read as %+v", expr, c)
		}
		if c.Op == "<" && c.Holds(c.Bound) || c.Op == ">=" && !c.Holds(c.Bound) {
			t.Errorf("%q: the bound itself is judged wrongly", expr)
		}
	})
}

func TestFormatSeconds(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0s", 412e-6: "412µs", 3.2149e-3: "3.21ms", 0.0321: "32.1ms", 0.3004: "300ms", 1.5: "1.5s", 12.34: "12.3s", 75.2: "1m15.2s", 500e-9: "500ns", 125: "2m5s",
	} {
		if got := FormatSeconds(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

// The mean of counts has no digits that only the way of adding made.
func TestMeansOfCountsAreShort(t *testing.T) {
	c := Condition{Metric: Lag, Dimension: Count}
	for value, want := range map[float64]string{0: "0", 16: "16", 3.2000000000000006: "3.2", 34.35000000000001: "34.35", 1e7: "10000000"} {
		if got := c.Format(value); got != want {
			t.Errorf("%v is %q, want %q", value, got, want)
		}
	}
}
