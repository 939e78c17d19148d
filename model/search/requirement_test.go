package search

import (
	"math"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func TestRequirementsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"p99 < 300ms":            "p99 < 300ms",
		"errors<=1%":             "errors<=1%",
		"availability >= 99.9%":  "availability >= 99.9%",
		"ok > 99%":               "ok > 99%",
		"cart: p99 < 50ms":       "cart: p99 < 50ms",
		"web->cart: errors < 1%": "web->cart: errors < 1%",
		"web -> cart:p50 < 1ms":  "web->cart: p50 < 1ms",
		"timeouts <= 0%":         "timeouts <= 0%",
	} {
		r, err := ParseRequirement(text)
		if err != nil || r.Text() != want {
			t.Errorf("%q: got %q, %v, want %q", text, r.Text(), err, want)
		}
	}
}

// Each mistake is answered with what to write.
func TestWrongRequirementsAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"p99":                  "write a figure, a comparison and a bound",
		"p98 < 1s":             `did you mean "p9`,
		"p99 < 300":            "invalid duration",
		"p99 > 300ms":          "write p99 < 300ms",
		"p99 == 300ms":         "write p99 < 300ms",
		"p99 < 0":              "nothing is below 0: write p99 <= 0",
		"errors < 5":           "write a share, such as errors < 0.1%",
		"errors > 1%":          "write errors < 1%",
		"errors < 0%":          "write errors <= 0%",
		"availability < 99%":   "write availability > 99%",
		"availability > 100%":  "write availability >= 100%",
		"goodput > 100/s":      "bound what the load does to a request",
		"rate < 5":             "bound what the load does to a request",
		"tail < 5s":            "bound a latency or errors",
		"cart/2: p99 < 1s":     "neither a service",
		": p99 < 1s":           "neither a service",
		"web->: p99 < 1s":      "neither a service",
		"eror < 1%":            `did you mean "errors"`,
		"requests: p99 << 1ms": "invalid duration",
	} {
		if _, err := ParseRequirement(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func mustRequire(t *testing.T, text string) Requirement {
	t.Helper()
	r, err := ParseRequirement(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// No verdict says more than the runs do.
func TestVerdictsNeedTheWholeInterval(t *testing.T) {
	seconds := func(values ...float64) (list []reading) {
		for _, v := range values {
			list = append(list, reading{low: v, high: v})
		}
		return list
	}
	for name, tt := range map[string]struct {
		require  string
		readings []reading
		want     Verdict
	}{
		"clearly below":           {"p99 < 300ms", seconds(0.1, 0.11, 0.09, 0.1), Holds},
		"clearly above":           {"p99 < 300ms", seconds(1, 1.1, 0.9, 1), Breaks},
		"below on average":        {"p99 < 300ms", seconds(0.1, 0.5, 0.2, 0.3), Unclear},
		"equal is not below":      {"p99 < 300ms", seconds(0.3, 0.3), Breaks},
		"equal is at most":        {"p99 <= 300ms", seconds(0.3, 0.3), Holds},
		"one run":                 {"p99 < 300ms", seconds(0.1), Unclear},
		"no data":                 {"p99 < 300ms", []reading{{missing: "no data"}}, Unclear},
		"no runs":                 {"p99 < 300ms", nil, Unclear},
		"at least so long":        {"p99 < 300ms", []reading{{low: 0.1, high: math.Inf(1)}, {low: 0.1, high: math.Inf(1)}}, Unclear},
		"at least too long":       {"p99 < 300ms", []reading{{low: 1, high: math.Inf(1)}, {low: 1, high: math.Inf(1)}}, Breaks},
		"between, below":          {"p99 < 300ms", []reading{{low: 0.1, high: 0.2}, {low: 0.1, high: 0.2}}, Holds},
		"between, on both sides":  {"p99 < 300ms", []reading{{low: 0.1, high: 0.4}, {low: 0.1, high: 0.4}}, Unclear},
		"none of a few":           {"errors < 1%", []reading{{n: 50}, {n: 50}}, Unclear},
		"none of many":            {"errors < 1%", []reading{{n: 5000}, {n: 5000}}, Holds},
		"none is not shown":       {"errors <= 0%", []reading{{n: 5000}, {n: 5000}}, Unclear},
		"some of many":            {"errors <= 0%", []reading{{n: 5000, low: 0.01, high: 0.01}, {n: 5000, low: 0.01, high: 0.01}}, Breaks},
		"many, but runs disagree": {"errors < 10%", []reading{{n: 1e6}, {n: 1e6, low: 0.15, high: 0.15}}, Unclear},
		"good ones":               {"availability > 99%", []reading{{n: 1e5, low: 0.999, high: 0.999}, {n: 1e5, low: 0.999, high: 0.999}}, Holds},
	} {
		if f := mustRequire(t, tt.require).figure(tt.readings, 0.95); f.Verdict != tt.want {
			t.Errorf("%s: got %s, want %s (%+v)", name, f.Verdict, tt.want, f)
		}
	}
}

func TestOneBrokenRequirementBreaksAll(t *testing.T) {
	run := &result.Result{Segments: []result.Segment{{Name: Measured, Clients: result.ClientStats{
		Requests: 100000, Errors: 50000, Latency: &result.Latency{P99: 0.1},
	}}}}
	both := []Requirement{mustRequire(t, "p99 < 300ms"), mustRequire(t, "errors < 1%")}
	if v, f := judge(both, []*result.Result{run, run, run}, Measured, 0.95); v != Breaks || f[0].Verdict != Holds || f[1].Verdict != Breaks {
		t.Errorf("got %s with %+v", v, f)
	}
	if v, _ := judge(both, []*result.Result{run, run}, "another phase", 0.95); v != Unclear {
		t.Errorf("without data: %s", v)
	}
}
