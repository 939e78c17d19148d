package measure

import (
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

func TestAlikeComparesAnswersOfTheSameRequests(t *testing.T) {
	ok := func(at time.Duration, request int) Outcome {
		return Outcome{Intended: at, Request: request, Status: 200, Class: outcome.OK}
	}
	failed := func(at time.Duration, request int) Outcome {
		return Outcome{Intended: at, Request: request, Status: 502, Class: outcome.HTTPError}
	}
	degraded := ok(4, 0)
	degraded.Degraded = true
	failedDegraded := failed(5, 0)
	failedDegraded.Degraded = true
	for name, c := range map[string]struct {
		a, b       []Outcome
		both, same int
	}{
		"nothing":                        {nil, nil, 0, 0},
		"the same, in another order":     {[]Outcome{ok(1, 0), failed(1, 1)}, []Outcome{failed(1, 1), ok(1, 0)}, 2, 2},
		"another status":                 {[]Outcome{ok(1, 0)}, []Outcome{failed(1, 0)}, 1, 0},
		"a burst in another order":       {[]Outcome{ok(1, 0), failed(1, 0)}, []Outcome{failed(1, 0), ok(1, 0)}, 2, 2},
		"a burst not answered in one":    {[]Outcome{ok(1, 0), ok(1, 0)}, []Outcome{ok(1, 0)}, 0, 0},
		"no answer in one":               {[]Outcome{ok(1, 0)}, []Outcome{{Intended: 1, Class: outcome.Timeout}}, 0, 0},
		"degraded in one":                {[]Outcome{degraded}, []Outcome{ok(4, 0)}, 1, 0},
		"errors with parts that are not": {[]Outcome{failedDegraded}, []Outcome{failed(5, 0)}, 1, 1},
	} {
		var a, b Answers
		for _, o := range c.a {
			a.Observe(o)
		}
		for _, o := range c.b {
			b.Observe(o)
		}
		if both, same := a.Alike(&b); both != c.both || same != c.same {
			t.Errorf("%s: %d of %d alike, want %d of %d", name, same, both, c.same, c.both)
		}
	}
}
