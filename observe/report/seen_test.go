package report

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A service that could not be asked, as after the token of its run had expired, has figures of
// a part of the time, beside those of clients of all of it.
func TestFiguresOfAPartOfTheTime(t *testing.T) {
	for name, tt := range map[string]struct {
		stats result.ServiceStats
		want  string
	}{
		"all of it":       {result.ServiceStats{Requests: 4000, Rate: 100, Seconds: 40.1}, ""},
		"the first third": {result.ServiceStats{Requests: 1400, Rate: 100, Seconds: 40.1}, ", 14.0s seen"},
		"a late scrape":   {result.ServiceStats{Requests: 150, Rate: 100, Seconds: 3}, ""},
		"idle":            {result.ServiceStats{Seconds: 40}, ""},
	} {
		if got := seen(&tt.stats); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
