package search

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// For any limit, the bracket contains it, and is as narrow as asked for, except
// where the judgement is unclear.
func TestBracketHoldsTheLimit(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := Bisection{Start: 100, Least: 100.0 / 64, Most: 6400, Precision: 0.02, Tries: 40, Whole: random.IntN(4) == 0}
		limit := math.Exp(math.Log(3) + random.Float64()*math.Log(1500))
		fog := limit * 0.1 * random.Float64()
		tries := 0
		got, err := b.Find(func(x float64) (Verdict, error) {
			tries++
			switch {
			case x < limit-fog:
				return Holds, nil
			case x > limit+fog:
				return Breaks, nil
			}
			return Unclear, nil
		})
		if err != nil || got.Holds == nil || got.Breaks == nil || got.Again != nil {
			t.Fatalf("seed %d: limit %v: got %+v, %v", seed, limit, got, err)
		}
		if *got.Holds > limit || *got.Breaks < limit {
			t.Errorf("seed %d: [%v, %v] does not hold the limit %v", seed, *got.Holds, *got.Breaks, limit)
		}
		wide := *got.Breaks - *got.Holds
		most := 2*fog + 2*b.Precision*limit*1.2
		if b.Whole {
			most += 2
		}
		if wide > most {
			t.Errorf("seed %d: [%v, %v] is %v wide, want %v at most, after %d tries", seed, *got.Holds, *got.Breaks, wide, most, tries)
		}
		if tries > 22 {
			t.Errorf("seed %d: %d tries", seed, tries)
		}
	}
}

// A limit out of range leaves one end open; nothing out of range is tried.
func TestBracketStaysInRange(t *testing.T) {
	for name, tt := range map[string]struct {
		limit         float64
		holds, breaks bool
	}{"beyond the most": {1e9, true, false}, "below the least": {1e-9, false, true}} {
		b := Bisection{Start: 10, Least: 1, Most: 50, Precision: 0.02, Tries: 40}
		got, err := b.Find(func(x float64) (Verdict, error) {
			if x < b.Least || x > b.Most {
				t.Errorf("%s: %v was tried", name, x)
			}
			if x < tt.limit {
				return Holds, nil
			}
			return Breaks, nil
		})
		if err != nil || got.Holds != nil != tt.holds || got.Breaks != nil != tt.breaks {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// An error leaves the loads that were judged before it.
func TestBracketKeepsWhatIsKnownBeforeAnError(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	got, err := Bisection{Start: 10, Least: 1, Most: 100, Precision: 0.02, Tries: 40}.Find(func(x float64) (Verdict, error) {
		if n++; n == 4 {
			return Unclear, stop
		}
		if x < 15 {
			return Holds, nil
		}
		return Breaks, nil
	})
	if !errors.Is(err, stop) || got.Holds == nil || *got.Holds != 10 || got.Breaks == nil || *got.Breaks != 15 {
		t.Errorf("got %v and %v, %v", got.Holds, got.Breaks, err)
	}
}

// If a higher load holds again, the result says so and keeps the lowest bracket.
func TestBracketSaysWhereItHoldsAgain(t *testing.T) {
	got, _ := Bisection{Start: 10, Least: 1, Most: 100, Precision: 0.1, Tries: 40}.Find(func(x float64) (Verdict, error) {
		if x > 4 && x < 9 {
			return Breaks, nil
		}
		if x < 70 {
			return Holds, nil
		}
		return Breaks, nil
	})
	if got.Again != nil && got.Breaks != nil && *got.Again < *got.Breaks {
		t.Errorf("got %+v", got)
	}
}
