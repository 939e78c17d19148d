package loadgen

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// arrivals lists when a share's arrivals are due, by number, and when the last
// one that it waits for is.
func arrivals(s Share, p *load.Phase) (own map[int]time.Duration, last time.Duration) {
	own = map[int]time.Duration{}
	pacer := p.Pacer(load.PhaseKey(3, 0))
	for {
		number, at, ok := s.next(pacer, p)
		if !ok {
			return own, last
		}
		last = at
		if s.has(number) {
			own[number] = at
		}
	}
}

func TestSharesTogetherHaveAllArrivals(t *testing.T) {
	phases := map[string]load.Phase{
		"constant":          {Rate: 50, Duration: 3 * second},
		"poisson":           {Rate: 40, Duration: 3 * second, Arrivals: load.Poisson},
		"ramp":              {Rate: 1, RateTo: ptr(90.0), Duration: 3 * second},
		"sine":              {Rate: 30, Sine: &load.Sine{Amplitude: 20, Period: second}, Duration: 3 * second},
		"count":             {Rate: 20, Count: 37},
		"fewer than shares": {Rate: 20, Count: 2},
		"poisson count":     {Rate: 20, Count: 40, Arrivals: load.Poisson},
		"none":              {Rate: 0.1, Duration: second, Arrivals: load.Poisson},
	}
	for name, p := range phases {
		whole, end := arrivals(Share{}, &p)
		for of := 1; of <= 7; of++ {
			union := map[int]time.Duration{}
			n := 0
			for i := range of {
				own, last := arrivals(Share{i, of}, &p)
				n += len(own)
				maps.Copy(union, own)
				if p.Count > 0 && last != end {
					t.Errorf("%s: share %d of %d ends its phase after %v, the whole after %v", name, i, of, last, end)
				}
			}
			if !maps.Equal(union, whole) || n != len(whole) {
				t.Errorf("%s: %d shares have %d arrivals, of %d, differing from the %d of the whole", name, of, n, len(union), len(whole))
			}
		}
	}
}

func TestSharesTogetherHaveAllUsers(t *testing.T) {
	for of := 1; of <= 7; of++ {
		for n := range 20 {
			p := &load.Phase{Users: n, Count: 31}
			seen := map[int]bool{}
			bound, count := 0, 0
			for i := range of {
				s := Share{i, of}
				for k := range s.first(n) {
					number := s.number(k)
					if !s.has(number) || number >= n || seen[number] {
						t.Errorf("of %d users, user %d is the %d. of share %d of %d", n, number, k, i, of)
					}
					seen[number] = true
				}
				bound += s.bound(100)
				if c := s.count(p); c > 0 && n > 0 && s.first(n) == 0 {
					t.Errorf("share %d of %d has no user of %d, and %d requests", i, of, n, c)
				}
				count += s.count(p)
			}
			if len(seen) != n || bound != 100 || count != 31 {
				t.Errorf("%d shares have %d users of %d, a bound of %d of 100, %d requests of 31", of, len(seen), n, bound, count)
			}
		}
	}
}

// sent runs a share against a server and returns the requests that came.
func sent(t *testing.T, s Share, phases ...load.Phase) map[string]int {
	t.Helper()
	var mu sync.Mutex
	requests := map[string]int{}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests[r.URL.Path+" "+r.Header.Get("X-Request-ID")]++
	})
	profile := load.Profile{Requests: []load.Request{{URL: url + "/often", Weight: 3}, {URL: url + "/seldom", Weight: 1}}, Phases: phases}
	g := &Generator{Share: s}
	if _, err := g.Load(t.Context(), profile, runner.LoadTarget{Seed: 5}, nil); err != nil {
		t.Fatal(err)
	}
	return requests
}

func TestSharesSendWhatTheWholeSends(t *testing.T) {
	phases := []load.Phase{
		{Rate: 2000, Count: 101},
		{Rate: 1000, Burst: 2, Arrivals: load.Poisson, Count: 50},
		// One request each, for the next would be due in a minute.
		{Users: 7, Every: 60 * second, Count: 7},
	}
	whole := sent(t, Share{}, phases...)
	union := map[string]int{}
	for i := range 3 {
		for request, n := range sent(t, Share{i, 3}, phases...) {
			union[request] += n
		}
	}
	if len(whole) != 101+2*50+7 {
		t.Errorf("the whole sends %d different requests", len(whole))
	}
	if !maps.Equal(whole, union) {
		t.Errorf("the whole sends %d requests, three shares together %d others", len(whole), len(union))
	}
}

func TestSharesThatCannotBeAreRefused(t *testing.T) {
	closed := []load.Phase{{Users: 2, Count: 10}, {Rate: 1, Duration: second}}
	for want, g := range map[string]*Generator{
		"no share 3 of 3":  {Share: Share{3, 3}},
		"no share -1 of 2": {Share: Share{-1, 2}},
		"ends by a count":  {Share: Share{0, 2}},
	} {
		_, err := g.Load(t.Context(), load.Profile{Requests: []load.Request{{URL: "http://127.0.0.1:1/"}}, Phases: closed}, runner.LoadTarget{}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("share %+v: %v, want an error with %q", g.Share, err, want)
		}
	}
}

func TestPacersTakeBackWhatWasAskedForAhead(t *testing.T) {
	for _, p := range []load.Phase{{Rate: 10, Duration: 20 * second}, {Rate: 10, Duration: 20 * second, Arrivals: load.Poisson}} {
		var lists []string
		for _, of := range []int{1, 5} {
			var all []string
			for i := range of {
				s, pacer := Share{i, of}, p.Pacer(load.PhaseKey(1, 0))
				const change = 4321 * time.Millisecond
				changed := false
				for {
					number, at, ok := s.next(pacer, &p)
					if !changed && (!ok || at > change) {
						pacer.Rescale(change, 2.5)
						changed = true
						continue
					}
					if !ok {
						break
					}
					if s.has(number) {
						all = append(all, fmt.Sprintf("%04d %v", number, at.Round(time.Microsecond)))
					}
				}
			}
			slices.Sort(all)
			lists = append(lists, strings.Join(all, "\n"))
		}
		if lists[0] != lists[1] {
			t.Errorf("with a change, the whole has the arrivals\n%s\nfive shares\n%s", lists[0], lists[1])
		}
	}
}
