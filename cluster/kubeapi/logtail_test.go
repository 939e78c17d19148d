package kubeapi

import (
	"strings"
	"testing"
)

func TestLastWordsSayWhatTheyMean(t *testing.T) {
	for tail, want := range map[string]string{
		"":            "",
		"out of luck": "; its last words were:\nout of luck",
		"exec /microsim-agent: exec format error": "is for another architecture than that of the node",
	} {
		if got := LastWords(tail); !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "architecture") != strings.Contains(tail, "format") {
			t.Errorf("%q: %q, want %q", tail, got, want)
		}
	}
}
