package report

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/search"
)

// A report names only loads that were tried, even if none of them got a verdict.
func TestLimitThatWasNotShownToHold(t *testing.T) {
	broken := 18.5
	for name, tt := range map[string]struct {
		answer     search.Answer
		want, lack string
	}{
		"too few requests": {
			search.Answer{Breaks: &broken, Least: 0.125, Most: 512, Points: []search.Point{{Load: 0.25, Verdict: search.Unclear}, {Load: 16, Verdict: search.Unclear}, {Load: 18.5, Verdict: search.Breaks}}},
			"0.25/s is the lowest that was tried", "18.5/s is the lowest",
		},
		"all break": {
			search.Answer{Breaks: &broken, Least: 18.46, Most: 512, Points: []search.Point{{Load: 18.5, Verdict: search.Breaks}}},
			"18.5/s is the lowest that was tried", "--seeds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			if err := Limit(&text, &search.Limit{Unit: "requests/s", Answer: tt.answer}, Style{}); err != nil {
				t.Fatal(err)
			}
			if got := text.String(); !strings.Contains(got, tt.want) || strings.Contains(got, tt.lack) {
				t.Errorf("want %q and not %q in\n%s", tt.want, tt.lack, got)
			}
			if tt.answer.Points[0].Verdict == search.Unclear && !strings.Contains(text.String(), "more --seeds") {
				t.Errorf("no next step in\n%s", text.String())
			}
		})
	}
}
