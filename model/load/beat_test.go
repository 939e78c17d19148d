package load

import (
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
)

func TestBeatTakesPartInItsArrivals(t *testing.T) {
	for _, test := range []struct {
		beat *Beat
		want []int
	}{
		{nil, []int{1, 1, 1, 1, 1, 1, 1}},
		{&Beat{}, []int{1, 1, 1, 1, 1, 1, 1}},
		{&Beat{Every: 3}, []int{1, 0, 0, 1, 0, 0, 1}},
		{&Beat{Every: 2, Burst: 5}, []int{5, 0, 5, 0, 5, 0, 5}},
		{&Beat{Every: 2, Burst: 5, Count: 2}, []int{5, 0, 5, 0, 0, 0, 0}},
		{&Beat{Count: 1}, []int{1, 0, 0, 0, 0, 0, 0}},
	} {
		var got []int
		for i := range test.want {
			got = append(got, test.beat.Copies(i))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v sends %v, want %v", test.beat, got, test.want)
		}
	}
}

func TestBeatsThatNoPhaseKeepsAreRefused(t *testing.T) {
	each := Phase{Rate: 1, Duration: 1e9, Each: true}
	for _, test := range []struct {
		beat  Beat
		phase Phase
		want  string
	}{
		{Beat{Every: 2}, each, ""},
		{Beat{Every: 2}, Phase{Rate: 1, Duration: 1e9}, "requests[0].beat: phase \"1\" does not send every request at each arrival"},
		{Beat{Every: 2}, Phase{Users: 1, Duration: 1e9, Each: true}, "does not send every request"},
		{Beat{Every: -1}, each, "beat.every: -1 is out of range"},
		{Beat{Burst: MaxBurst + 1}, each, "beat.burst"},
		{Beat{Burst: 200}, Phase{Rate: 1, Duration: 1e9, Each: true, Burst: 100}, "a burst of 200 in each of the 100"},
		{Beat{Count: -3}, each, "beat.count"},
	} {
		p := Profile{Requests: []Request{{Service: "web", Beat: &test.beat}}, Phases: []Phase{test.phase}}.WithDefaults()
		err := p.Validate().Err()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v gives %v, want %q", test, err, test.want)
		}
	}
}

// The requests of one arrival are decided apart: else chains of equal shape would
// all go deep, or none.
func TestChainsOfOneArrivalAreDecidedApart(t *testing.T) {
	each, drawn := Phase{Rate: 1, Each: true}, Phase{Rate: 1}
	alike := 0
	const n = 1000
	for i := range n {
		arrival := ArrivalKey(dist.Seed(1), i)
		if each.ChainKey(arrival, 0).Chance(0.5) == each.ChainKey(arrival, 1).Chance(0.5) {
			alike++
		}
		if drawn.ChainKey(arrival, 1) != arrival {
			t.Fatal("a request that is drawn has the key of its arrival")
		}
	}
	if alike < n/2-80 || alike > n/2+80 { // five standard deviations
		t.Errorf("%d of %d pairs are decided alike", alike, n)
	}
}
