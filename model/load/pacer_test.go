package load

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func arrivals(p Phase, key dist.Key) (all []time.Duration) {
	for pacer := p.Pacer(key); len(all) < 1e6; {
		at, ok := pacer.Next()
		if !ok {
			break
		}
		all = append(all, at)
	}
	return all
}

func TestConstantArrivals(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		phase Phase
		want  []time.Duration
	}{
		{"even", Phase{Duration: second, Rate: 4}, []time.Duration{0, 250 * ms, 500 * ms, 750 * ms}},
		{"tenths", Phase{Duration: 10 * second, Rate: 0.3}, []time.Duration{0, 3333333333, 6666666667}},
		{"one", Phase{Duration: second, Rate: 0.5}, []time.Duration{0}},
		{"count", Phase{Rate: 2, Count: 2}, []time.Duration{0, 500 * ms}},
		{"count beyond the end", Phase{Duration: second, Rate: 2, Count: 9}, []time.Duration{0, 500 * ms}},
		{"up from 0", Phase{Duration: 2 * second, RateTo: ptr(2.0)}, []time.Duration{0, 1414213562}},
		{"down to 0", Phase{Duration: 2 * second, Rate: 2, RateTo: ptr(0.0)}, []time.Duration{0, 585786438}},
		{"sine", Phase{Duration: 3 * second, Rate: 1, Sine: &Sine{Amplitude: 1, Period: second}}, []time.Duration{0, time.Second, 2 * time.Second}},
	} {
		if got := arrivals(c.phase, 0); !near(got, c.want) {
			t.Errorf("%s: arrivals at %v, want %v", c.name, got, c.want)
		}
	}
}

func near(a, b []time.Duration) bool {
	return slices.EqualFunc(a, b, func(a, b time.Duration) bool { return (a - b).Abs() <= 1 })
}

// randomPhase has about a thousand arrivals.
func randomPhase(r *rand.Rand) Phase {
	p := Phase{Duration: unit.Duration(1+r.IntN(10)) * second, Rate: 200 * r.Float64()}
	least := p.Rate
	if r.IntN(2) == 0 {
		p.RateTo = ptr(200 * r.Float64())
		least = min(least, *p.RateTo)
	}
	if r.IntN(2) == 0 {
		p.Sine = &Sine{Amplitude: r.Float64() * least, Period: unit.Duration(0.1+3*r.Float64()) * second}
		p.Sine.Period = max(p.Sine.Period, second/10)
	}
	return p
}

func TestArrivalsAscendAndCountTheIntegral(t *testing.T) {
	check := func(seed uint64) bool {
		p := randomPhase(rand.New(rand.NewPCG(seed, 1)))
		all := arrivals(p, 0)
		c := newCurve(&p)
		total := c.integral(p.Duration.Std())
		for i, at := range all {
			if math.Abs(c.integral(at)-float64(i)) > 1e-5 {
				t.Logf("arrival %d at %v, where the integral is %v", i, at, c.integral(at))
				return false
			}
		}
		return slices.IsSorted(all) && math.Abs(float64(len(all))-total) <= 1 && float64(len(all)) >= total-1e-6
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

// The number of Poisson arrivals lies within 5 standard deviations of the
// integral, and gaps on the rescaled clock have the mean and variance of 1.
func TestPoissonArrivals(t *testing.T) {
	check := func(seed uint64) bool {
		p := randomPhase(rand.New(rand.NewPCG(seed, 2)))
		p.Arrivals = Poisson
		all := arrivals(p, dist.Seed(seed))
		c := newCurve(&p)
		total := c.integral(p.Duration.Std())
		if !slices.IsSorted(all) || math.Abs(float64(len(all))-total) > 5*math.Sqrt(total)+1 {
			t.Logf("%d arrivals where %v are due", len(all), total)
			return false
		}
		return true
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
	p := Phase{Duration: 100 * second, Rate: 100, RateTo: ptr(300.0), Arrivals: Poisson}
	all, c := arrivals(p, dist.Seed(3)), newCurve(&p)
	var last, sum, squares float64
	for _, at := range all {
		gap := c.integral(at) - last
		last, sum, squares = c.integral(at), sum+gap, squares+gap*gap
	}
	n := float64(len(all))
	if mean, second := sum/n, squares/n; math.Abs(mean-1) > 5/math.Sqrt(n) || math.Abs(second-2) > 5*math.Sqrt(20/n) {
		t.Errorf("gaps have mean %v and mean square %v, want 1 and 2", mean, second)
	}
}

func TestPoissonGoesByKey(t *testing.T) {
	p := Phase{Duration: second, Rate: 50, Arrivals: Poisson}
	if !slices.Equal(arrivals(p, PhaseKey(1, 0)), arrivals(p, PhaseKey(1, 0))) {
		t.Error("equal keys give other arrivals")
	}
	if slices.Equal(arrivals(p, PhaseKey(1, 0)), arrivals(p, PhaseKey(2, 0))) {
		t.Error("seeds make no difference")
	}
}

func TestRescaleTakesBackWhatIsNotDue(t *testing.T) {
	p := Phase{Duration: 10 * second, Rate: 1}
	pacer := p.Pacer(0)
	pacer.Next() // 0
	pacer.Next() // 1 s
	pacer.Rescale(500*time.Millisecond, 5)
	var got []time.Duration
	for range 3 {
		at, _ := pacer.Next()
		got = append(got, at)
	}
	if want := []time.Duration{600e6, 800e6, 1000e6}; !near(got, want) {
		t.Errorf("after the change, arrivals come at %v, want %v", got, want)
	}
	pacer.Rescale(1000*time.Millisecond, 0)
	if at, ok := pacer.Next(); ok {
		t.Errorf("at rate 0 there is an arrival at %v", at)
	}
	pacer.Rescale(5*time.Second, 1)
	if at, ok := pacer.Next(); !ok || at != 6*time.Second {
		t.Errorf("after the pause, the first arrival is at %v, want 6s", at)
	}
}

func TestUsersChangeExactlyWhereNextChangeSays(t *testing.T) {
	check := func(from, to uint8, length uint16) bool {
		p := Phase{Duration: unit.Duration(length)*1000 + 1000, Users: int(from), UsersTo: ptr(int(to))}
		at, changes := time.Duration(0), 0
		for {
			next, ok := p.NextChange(at)
			if !ok {
				break
			}
			if next <= at || p.UsersAt(next) == p.UsersAt(next-1) {
				t.Logf("%d to %d in %v: no change at %v after %v", from, to, p.Duration, next, at)
				return false
			}
			at, changes = next, changes+1
		}
		return changes <= int(max(from, to)-min(from, to)) && p.UsersAt(0) == int(from) && p.UsersAt(p.Duration.Std()) == int(to)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestBeats(t *testing.T) {
	for _, c := range []struct{ first, every, now, want time.Duration }{
		{0, 10, 0, 0}, {0, 10, 1, 10}, {0, 10, 10, 10}, {3, 10, 0, 3}, {3, 10, 14, 23}, {3, 10, 13, 13}, {0, 10, 95, 100},
	} {
		if got := NextBeat(c.first, c.every, c.now); got != c.want {
			t.Errorf("NextBeat(%d, %d, %d) = %d, want %d", c.first, c.every, c.now, got, c.want)
		}
	}
	p := Phase{Every: second, Each: true}
	if p.FirstBeat(0, 4) != 0 || p.FirstBeat(5, 4) != 250*time.Millisecond {
		t.Error("users of different requests do not begin apart")
	}
}

func TestMixIsTrueToItsWeights(t *testing.T) {
	requests := []Request{{Weight: 1}, {Weight: 7}, {Weight: 2}}
	mix, counts := NewMix(requests), make([]float64, 3)
	const n = 100000
	for i := range n {
		counts[mix.Pick(ArrivalKey(PhaseKey(1, 0), i))]++
	}
	for i, r := range requests {
		share := r.Weight / 10
		if bound := 4.5 * math.Sqrt(n*share*(1-share)); math.Abs(counts[i]-n*share) > bound {
			t.Errorf("request %d was picked %v times in %d, want %v within %v", i, counts[i], n, n*share, bound)
		}
	}
}

func TestRequestIDsAreUUIDsAndDiffer(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for i := range 1000 {
		for n := range 3 {
			id := RequestID(CopyKey(ArrivalKey(PhaseKey(1, 0), i), 0, n))
			if !form.MatchString(id) {
				t.Fatalf("%q is no UUID of version 4", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 3000 {
		t.Errorf("3000 requests have %d ids", len(seen))
	}
	if a, b := RequestID(PhaseKey(1, 0)), RequestID(PhaseKey(1, 0)); a != b {
		t.Errorf("one key has the ids %q and %q", a, b)
	}
}
