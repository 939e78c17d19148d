package problem

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"latency", "error", "net-delay", "cart", "card"}
	for word, want := range map[string]string{
		"latncy": "latency", "Latency": "latency", "erorr": "error", "net_delay": "net-delay", "delay": "", "crat": "cart",
		"zzz": "", "z": "", "cards": "card", strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, not %q", word, got, want)
		}
	}
	if got := DidYouMean("latncy", known, "other"); got != `did you mean "latency"?` {
		t.Error(got)
	}
	if got := DidYouMean("zzz", known, "other"); got != "other" {
		t.Error(got)
	}
}
