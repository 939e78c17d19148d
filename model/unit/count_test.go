package unit

import "testing"

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 systems", 1: "1 system", 2: "2 systems", 1000: "1000 systems", -1: "-1 systems"} {
		if got := Count(n, "system"); got != want {
			t.Errorf("Count(%d) is %q, want %q", n, got, want)
		}
	}
}
