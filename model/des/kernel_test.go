package des

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// planned is a list that does what a kernel is to do, slowly.
type planned struct {
	at    time.Duration
	n     int
	timer Timer
}

// TestKernelKeepsOrder compares random schedules, with lanes, cancelled events,
// bounded and unbounded waits, with a sorted list.
func TestKernelKeepsOrder(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		k := New[int]()
		lanes := []Lane{k.Lane(0), k.Lane(7), k.Lane(100)}
		ordered := k.Lane(0)
		delays := []time.Duration{0, 7, 100}
		var want []planned
		for n := range 3000 {
			switch random.IntN(6) {
			case 5:
				at := k.Now() + time.Duration(random.IntN(200))
				want = append(want, planned{at, n, k.InOrder(ordered, at, n)})
			case 0, 1:
				l := random.IntN(len(lanes) + 1)
				if l == len(lanes) {
					d := time.Duration(random.IntN(60))
					want = append(want, planned{k.Now() + d, n, k.After(d, n)})
				} else {
					want = append(want, planned{k.Now() + delays[l], n, k.In(lanes[l], n)})
				}
			case 2:
				if len(want) > 0 {
					i := random.IntN(len(want))
					if !k.Pending(want[i].timer) || !k.Cancel(want[i].timer) || k.Cancel(want[i].timer) {
						t.Fatalf("seed %d: event %d could not be cancelled once", seed, want[i].n)
					}
					want = slices.Delete(want, i, i+1)
				}
			case 3:
				k = k.Clone()
				k.Advance(k.Now() + time.Duration(random.IntN(5)))
			default:
				until := k.Now() + time.Duration(random.IntN(120))
				slices.SortStableFunc(want, func(a, b planned) int { return cmp.Compare(a.at, b.at) })
				got, ok := k.Next(until)
				if some := len(want) > 0 && want[0].at <= until; ok != some || ok && (got != want[0].n || k.Now() != want[0].at) {
					t.Fatalf("seed %d: got %d, %v at %d; want %v", seed, got, ok, k.Now(), want[:min(1, len(want))])
				}
				if ok {
					want = want[1:]
				}
			}
			if k.Len() != len(want) {
				t.Fatalf("seed %d: %d events pending, want %d", seed, k.Len(), len(want))
			}
		}
	}
}

// TestCloneGoesOnByItself forks a kernel: both take the same course, and one does
// not disturb the other.
func TestCloneGoesOnByItself(t *testing.T) {
	k := New[int]()
	for i := range 100 {
		k.After(time.Duration(i%7), i)
	}
	for range 30 {
		k.Next(Never)
	}
	course := func(k *Kernel[int]) (list []int) {
		for e, ok := k.Next(Never); ok; e, ok = k.Next(Never) {
			list = append(list, e)
			if e < 50 {
				k.After(3, e+100)
			}
		}
		return list
	}
	fork := k.Clone()
	if a, b := course(k), course(fork); !slices.Equal(a, b) || len(a) < 70 {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestNeverAndThePast(t *testing.T) {
	k := New[int]()
	if k.At(Never, 1); k.After(Never, 2) != (Timer{}) || k.Len() != 0 {
		t.Error("something was scheduled for never")
	}
	k.At(10, 1)
	k.Next(Never)
	k.At(3, 2)
	k.After(-5, 3)
	if l := k.Lane(Never); k.In(l, 9) != (Timer{}) {
		t.Error("a lane went past the end of the clock")
	}
	a, _ := k.Next(Never)
	b, _ := k.Next(Never)
	if a != 2 || b != 3 || k.Now() != 10 {
		t.Errorf("%d and %d at %d", a, b, k.Now())
	}
	if k.Cancel(Timer{}) || k.Pending(Timer{}) {
		t.Error("the zero timer is none")
	}
}

func TestDeadEventsTakeNoMemory(t *testing.T) {
	k := New[int]()
	l := k.Lane(time.Hour)
	for i := range 200_000 {
		k.Cancel(k.In(l, i))
		k.Cancel(k.After(time.Duration(i+1)*time.Second, i))
	}
	if n := len(k.heap) + len(k.slots) + len(k.lanes[0].ring); n > 1000 {
		t.Errorf("%d entries are kept for nothing", n)
	}
	if allocs := testing.AllocsPerRun(1000, func() {
		k.In(l, 1)
		k.Cancel(k.After(5, 2))
		k.After(3, 1)
		k.Next(Never)
	}); allocs > 0.5 {
		t.Errorf("%v allocations for each event", allocs)
	}
}

// A line is in use for as long as its jobs take, and no longer than time has passed.
func TestLineSaysHowLongItWasUsed(t *testing.T) {
	var l Line
	l.Take(0, 2*time.Second)
	l.Take(time.Second, 3*time.Second) // until 5 s
	l.Take(7*time.Second, time.Second)
	for _, tt := range []struct{ at, want time.Duration }{{7 * time.Second, 5 * time.Second}, {7500 * time.Millisecond, 5500 * time.Millisecond}, {9 * time.Second, 6 * time.Second}} {
		if got := l.Used(tt.at); got != tt.want {
			t.Errorf("until %s: used for %s, want %s", tt.at, got, tt.want)
		}
	}
}
