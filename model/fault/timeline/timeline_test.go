package timeline

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

// A change is a step with what its window is.
type change struct {
	At           time.Duration
	Fault, Round int
	Victim       string
	Clear        bool
}

func changesOf(faults []fault.Fault, length time.Duration, seed uint64) []change {
	plan, err := New(faults, Options{Length: length, Seed: seed})
	if err != nil {
		panic(err)
	}
	var changes []change
	for _, s := range plan.Steps {
		w := &plan.Windows[s.Window]
		changes = append(changes, change{s.At, w.Index, w.Round, w.Victim, s.Clear})
	}
	return changes
}

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
func eachTimeline(t *testing.T, check func(t *testing.T, faults []fault.Fault, length time.Duration, changes []change)) {
	t.Helper()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		faults, length := randomFaults(random), time.Duration(random.IntN(16))*time.Second
		changes := changesOf(faults, length, seed)
		check(t, faults, length, changes)
		if t.Failed() {
			t.Fatalf("seed %d, length %v, faults %+v: %+v", seed, length, faults, changes)
		}
	}
}

func TestTimelineIsInOrder(t *testing.T) {
	eachTimeline(t, func(t *testing.T, _ []fault.Fault, length time.Duration, changes []change) {
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
	eachTimeline(t, func(t *testing.T, faults []fault.Fault, length time.Duration, changes []change) {
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
		acting := map[[2]int]change{}
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
	victims := func(faults []fault.Fault, changes []change) map[string]string {
		of := map[string]string{}
		for _, c := range changes {
			of[fmt.Sprint(faults[c.Fault].Name, " round ", c.Round)] = c.Victim
		}
		return of
	}
	var seed uint64
	var same, drawn int
	eachTimeline(t, func(t *testing.T, faults []fault.Fault, length time.Duration, changes []change) {
		for i, c := range changes {
			f := &faults[c.Fault]
			if f.Rounds == nil && c.Victim != "" || f.Rounds != nil && !slices.Contains(f.Rounds.Victims, c.Victim) {
				t.Errorf("change %d hits %q, which is not a victim of its fault", i, c.Victim)
			}
		}
		key, other := seed, seed+1
		seed++
		if again := changesOf(faults, length, key); !slices.Equal(again, changes) {
			t.Errorf("the same seed gives another timeline: %+v", again)
		}
		of := victims(faults, changes)
		turned := slices.Clone(faults)
		slices.Reverse(turned)
		for id, victim := range victims(turned, changesOf(turned, length, key)) {
			if of[id] != victim {
				t.Errorf("%s hits %q, and %q with the list in another order", id, of[id], victim)
			}
		}
		for i, c := range changesOf(faults, length, other) {
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

func TestVictimsAreDrawnEvenly(t *testing.T) {
	f := []fault.Fault{{Type: fault.Kill, Rounds: &fault.Rounds{Count: 3000, Interval: second, Victims: []string{"x", "y", fault.Nobody}}}}
	count := map[string]int{}
	for _, c := range changesOf(f, 24*time.Hour, 9) {
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

func numbered(w *Window) string { return fmt.Sprintf("%s-%d-r%d", w.Fault.Type, w.Index, w.Round) }

// Every window is applied once and cleared once after it, in the order of time
// and sequence, with an id of its own, and what does not fit is missed.
func TestEveryApplyHasOneClear(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		faults, length := randomFaults(random), time.Duration(random.IntN(16))*time.Second
		options := Options{Length: length, Seed: seed, Name: numbered, Remember: time.Duration(random.IntN(2)) * time.Minute}
		plan, err := New(faults, options)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := New(faults, options); !reflect.DeepEqual(again, plan) {
			t.Fatalf("seed %d: the same seed gives another plan", seed)
		}
		applied, cleared, ids := make([]int, len(plan.Windows)), make([]int, len(plan.Windows)), map[string]bool{}
		for i, s := range plan.Steps {
			w := &plan.Windows[s.Window]
			switch {
			case i > 0 && plan.Steps[i-1].At > s.At:
				t.Errorf("seed %d: step %d is before the one it follows", seed, i)
			case !s.Clear && (applied[s.Window] > 0 || s.At != w.From):
				t.Errorf("seed %d: step %d does not begin %+v", seed, i, w)
			case s.Clear && (applied[s.Window] != 1 || s.At != w.To):
				t.Errorf("seed %d: step %d does not end %+v", seed, i, w)
			}
			if s.Clear {
				cleared[s.Window]++
			} else {
				applied[s.Window]++
			}
		}
		for i := range plan.Windows {
			w := &plan.Windows[i]
			if applied[i] != 1 || cleared[i] != 1 || ids[w.ID] {
				t.Errorf("seed %d: window %+v is applied %d times and cleared %d times, its id seen before: %v", seed, w, applied[i], cleared[i], ids[w.ID])
			}
			ids[w.ID] = true
			switch {
			case w.Forgotten != (options.Remember > 0 && w.Fault.Type == fault.Kill):
				t.Errorf("seed %d: window %+v is forgotten: %v", seed, w, w.Forgotten)
			case !w.Forgotten && w.Deadline != w.To+Grace, w.Forgotten && w.Deadline != w.From+options.Remember:
				t.Errorf("seed %d: window %+v has a wrong deadline", seed, w)
			}
		}
		for i := range plan.Missed {
			if w := &plan.Missed[i]; w.From < length || ids[w.ID] {
				t.Errorf("seed %d: window %+v is missed", seed, w)
			}
		}
	}
}

func TestTwoFaultsOfOneNameAreRefused(t *testing.T) {
	two := []fault.Fault{{Name: "a", Type: fault.Error, Duration: second}, {Name: "a", Type: fault.Hang, Start: 2 * second, Duration: second}}
	for _, length := range []time.Duration{Length(two), time.Second} {
		_, err := New(two, Options{Length: length, Name: func(w *Window) string { return w.Fault.Name }})
		if err == nil || !strings.Contains(err.Error(), `called "a"`) {
			t.Errorf("length %v: got %v", length, err)
		}
	}
}

func TestLengthHoldsEveryWindow(t *testing.T) {
	for seed := range uint64(300) {
		faults := randomFaults(rand.New(rand.NewPCG(seed, 3)))
		plan, err := New(faults, Options{Length: Length(faults), Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		for i := range plan.Windows {
			if w := &plan.Windows[i]; w.Fault.Duration > 0 && w.To-w.From != w.Fault.Duration.Std() {
				t.Errorf("seed %d: window %+v is cut", seed, w)
			}
		}
		if len(plan.Missed) > 0 {
			t.Errorf("seed %d: these are missed: %+v", seed, plan.Missed)
		}
	}
}

// The plan of any valid fault has windows that begin before they end, however
// late that is.
func TestLatestFaultsDoNotOverflow(t *testing.T) {
	rounds := &fault.Rounds{Count: fault.MaxRounds, Interval: unit.Duration((fault.MaxEnd - time.Hour) / fault.MaxRounds), Victims: []string{"web"}}
	faults := []fault.Fault{
		{Name: "late", Type: fault.Error, Target: fault.Target{Service: "web"}, Probability: 1, Start: unit.Duration(fault.MaxEnd - time.Hour), Duration: unit.Duration(time.Hour)},
		{Name: "often", Type: fault.Kill, Probability: 1, Duration: unit.Duration(time.Hour), Rounds: rounds},
	}
	for i := range faults {
		if err := faults[i].Validate().Err(); err != nil {
			t.Fatal(err)
		}
	}
	length := Length(faults)
	plan, err := New(faults, Options{Length: length})
	if err != nil || len(plan.Missed) > 0 || len(plan.Windows) != 1+fault.MaxRounds {
		t.Fatalf("%v: %d windows, %d missed", err, len(plan.Windows), len(plan.Missed))
	}
	for _, w := range plan.Windows {
		if w.From < 0 || w.To < w.From || w.Deadline < w.To || w.To > length {
			t.Fatalf("window %+v of a timeline of %v", w, length)
		}
	}
}
