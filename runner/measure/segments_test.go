package measure

import (
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"math"
	"testing"
	"time"
)

func TestAvailability(t *testing.T) {
	zero := time.Unix(0, 0)
	at := func(s float64) time.Time {
		if s == 0 {
			return time.Time{}
		}
		return zero.Add(time.Duration(s * 1e9))
	}
	fall := func(replica int, down, ready float64) result.Recovery {
		return result.Recovery{Service: "cart", Replica: replica, DownAt: at(down), ReadyAt: at(ready)}
	}
	for name, test := range map[string]struct {
		falls    []result.Recovery
		replicas int
		from, to float64
		want     float64
	}{
		"never down":    {nil, 1, 10, 20, 1},
		"another":       {[]result.Recovery{{Service: "web", DownAt: at(11)}}, 1, 10, 20, 1},
		"one of one":    {[]result.Recovery{fall(1, 12, 14)}, 1, 10, 20, 0.8},
		"one of two":    {[]result.Recovery{fall(1, 12, 14)}, 2, 10, 20, 1},
		"both a while":  {[]result.Recovery{fall(1, 12, 15), fall(2, 14, 18)}, 2, 10, 20, 0.9},
		"for good":      {[]result.Recovery{fall(1, 15, 0)}, 1, 10, 20, 0.5},
		"from before":   {[]result.Recovery{fall(1, 5, 11)}, 1, 10, 20, 0.9},
		"until after":   {[]result.Recovery{fall(1, 18, 30)}, 1, 10, 20, 0.8},
		"outside":       {[]result.Recovery{fall(1, 1, 2), fall(1, 30, 31)}, 1, 10, 20, 1},
		"all the while": {[]result.Recovery{fall(1, 1, 40)}, 1, 10, 20, 0},
	} {
		if got := availability(test.falls, "cart", test.replicas, at(test.from), at(test.to)); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
