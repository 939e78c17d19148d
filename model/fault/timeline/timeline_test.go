package timeline

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

// randomFaults draws a list of faults with few distinct times, so that many of
// them begin and end at one moment.
func randomFaults(random *rand.Rand) []fault.Fault {
	span := func(most int) unit.Duration { return unit.Duration(random.IntN(most+1)) * second }
	faults := make([]fault.Fault, random.IntN(8))
	for i := range faults {
		f := fault.Fault{Name: fmt.Sprintf("f%d", i), Type: fault.Latency, Target: fault.Target{Service: "cart"}, Start: span(12), Duration: span(4)}
		if random.IntN(3) == 0 {
			f.Type, f.Target = fault.Kill, fault.Target{}
			f.Rounds = &fault.Rounds{Count: 1 + random.IntN(6), Interval: second + span(3), Victims: []string{"web", "cart", fault.Nobody}[:1+random.IntN(3)]}
		}
		faults[i] = f
	}
	return faults
}

// eachTimeline calls check for the timelines of many random lists of faults.
func eachTimeline(t *testing.T, check func(t *testing.T, faults []fault.Fault, length time.Duration, changes []Change)) {
	t.Helper()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		faults, length := randomFaults(random), time.Duration(random.IntN(16))*time.Second
		changes := Plan(faults, length, dist.Seed(seed))
		check(t, faults, length, changes)
		if t.Failed() {
			t.Fatalf("seed %d, length %v, faults %+v: %+v", seed, length, faults, changes)
		}
	}
}

func TestTimelineIsInOrder(t *testing.T) {
	eachTimeline(t, func(t *testing.T, _ []fault.Fault, length time.Duration, changes []Change) {
		for i, c := range changes {
			if c.At < 0 || c.At > length {
				t.Errorf("change %d is at %v, outside of the run", i, c.At)
			}
			if i == 0 {
				continue
			}
			before := changes[i-1]
			switch {
			case before.At != c.At:
				if before.At > c.At {
					t.Errorf("change %d is before the one it follows", i)
				}
			case before.Clear != c.Clear:
				if c.Clear {
					t.Errorf("change %d clears after an apply of the same moment", i)
				}
			case cmp.Or(cmp.Compare(before.Fault, c.Fault), cmp.Compare(before.Round, c.Round)) >= 0:
				t.Errorf("change %d does not follow the order of the list and of the rounds", i)
			}
		}
	})
}

// Every window that begins during the run is there once, from its apply to its
// clear, and no other.
func TestTimelineHasEveryWindowOnce(t *testing.T) {
	type window struct {
		fault, round     int
		applied, cleared time.Duration
	}
	eachTimeline(t, func(t *testing.T, faults []fault.Fault, length time.Duration, changes []Change) {
		var want []window
		for i, f := range faults {
			rounds := fault.Rounds{Count: 1}
			if f.Rounds != nil {
				rounds = *f.Rounds
			}
			at := f.Start.Std()
			for round := range rounds.Count {
				if at < length {
					end := length
					if d := f.Duration.Std(); d != 0 && at+d < length {
						end = at + d
					}
					want = append(want, window{i, round, at, end})
				}
				at += rounds.Interval.Std()
			}
		}
		var got []window
		acting := map[[2]int]Change{}
		for i, c := range changes {
			id := [2]int{c.Fault, c.Round}
			applied, acts := acting[id]
			switch {
			case !c.Clear && acts:
				t.Errorf("change %d applies what acts already", i)
			case !c.Clear:
				acting[id] = c
			case !acts:
				t.Errorf("change %d clears what does not act", i)
			case applied.Victim != c.Victim:
				t.Errorf("change %d clears victim %q, and %q was hit", i, c.Victim, applied.Victim)
			default:
				got = append(got, window{c.Fault, c.Round, applied.At, c.At})
				delete(acting, id)
			}
		}
		if len(acting) > 0 {
			t.Errorf("these are never cleared: %v", acting)
		}
		slices.SortFunc(got, func(a, b window) int {
			return cmp.Or(cmp.Compare(a.fault, b.fault), cmp.Compare(a.round, b.round))
		})
		if !slices.Equal(got, want) {
			t.Errorf("the windows are %v, want %v", got, want)
		}
	})
}

// Victims come from the list of their fault, and only the seed and the fault's
// own name and round decide on them.
func TestVictimsDependOnSeedAndFaultAlone(t *testing.T) {
	victims := func(faults []fault.Fault, changes []Change) map[string]string {
		of := map[string]string{}
		for _, c := range changes {
			of[fmt.Sprint(faults[c.Fault].Name, " round ", c.Round)] = c.Victim
		}
		return of
	}
	var seed uint64
	var same, drawn int
	eachTimeline(t, func(t *testing.T, faults []fault.Fault, length time.Duration, changes []Change) {
		for i, c := range changes {
			f := &faults[c.Fault]
			if f.Rounds == nil && c.Victim != "" || f.Rounds != nil && !slices.Contains(f.Rounds.Victims, c.Victim) {
				t.Errorf("change %d hits %q, which is not a victim of its fault", i, c.Victim)
			}
		}
		key, other := dist.Seed(seed), dist.Seed(seed+1)
		seed++
		if again := Plan(faults, length, key); !slices.Equal(again, changes) {
			t.Errorf("the same seed gives another timeline: %+v", again)
		}
		of := victims(faults, changes)
		turned := slices.Clone(faults)
		slices.Reverse(turned)
		for id, victim := range victims(turned, Plan(turned, length, key)) {
			if of[id] != victim {
				t.Errorf("%s hits %q, and %q with the list in another order", id, of[id], victim)
			}
		}
		for i, c := range Plan(faults, length, other) {
			if c.Victim == "" || len(faults[c.Fault].Rounds.Victims) == 1 {
				continue
			}
			drawn++
			if c.Victim == changes[i].Victim {
				same++
			}
		}
	})
	if drawn == 0 || same > drawn*2/3 {
		t.Errorf("%d of %d victims are the same with another seed", same, drawn)
	}
}

func TestTimelineIsOrderedAndPaired(t *testing.T) {
	faults := []fault.Fault{
		{Type: fault.Latency, Name: "a", Start: 5 * second, Duration: 10 * second},
		{Type: fault.Error, Name: "b", Start: 15 * second},
		{Type: fault.Error, Name: "late", Start: 60 * second},
		{Type: fault.Kill, Name: "rounds", Rounds: &fault.Rounds{Count: 3, Interval: 10 * second, Victims: []string{"x", "y", fault.Nobody}}},
	}
	changes := Plan(faults, time.Minute, dist.Seed(3))
	open := map[string]bool{}
	var last time.Duration
	for _, c := range changes {
		id := fmt.Sprint(c.Fault, c.Round)
		if c.At < last || open[id] != c.Clear || c.Fault == 2 {
			t.Fatalf("change %+v is out of place", c)
		}
		open[id], last = !c.Clear, c.At
	}
	for id, still := range open {
		if still {
			t.Errorf("fault %s is never cleared", id)
		}
	}
	if again := Plan(faults, time.Minute, dist.Seed(3)); !slices.Equal(changes, again) {
		t.Error("the same seed gives another timeline")
	}
	at15 := slices.IndexFunc(changes, func(c Change) bool { return c.At == 15*time.Second })
	if !changes[at15].Clear {
		t.Error("at one time, clears come before applies")
	}
}

func TestVictimsAreDrawnEvenly(t *testing.T) {
	f := []fault.Fault{{Type: fault.Kill, Rounds: &fault.Rounds{Count: 3000, Interval: second, Victims: []string{"x", "y", fault.Nobody}}}}
	count := map[string]int{}
	for _, c := range Plan(f, 24*time.Hour, dist.Seed(9)) {
		if !c.Clear {
			count[c.Victim]++
		}
	}
	for victim, n := range count {
		if n < 880 || n > 1120 { // 4.6 standard deviations of a binomial of 3000 and 1/3
			t.Errorf("%s was drawn %d times in 3000", victim, n)
		}
	}
}
