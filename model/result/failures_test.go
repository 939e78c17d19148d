package result

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Merged details are bounded, sorted, and count what their parts count.
func TestMergedDetailsAddUp(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var reports []*LoadReport
		var failures, pairs int64
		for range 1 + random.IntN(4) {
			r := &LoadReport{}
			for _, n := range random.Perm(60)[:random.IntN(MaxFailures)] {
				f := Failure{FailureKind: FailureKind{Class: outcome.HTTPError, Reason: outcome.OfStatusReason(500 + n)}, Count: 1 + random.Int64N(100)}
				r.Failures, failures = append(r.Failures, f), failures+f.Count
				p := Pair{ID: strconv.Itoa(n), Count: 1 + random.Int64N(100)}
				r.Pairs, pairs = append(r.Pairs, p), pairs+p.Count
			}
			r.FurtherFailures, r.FurtherPairs = random.Int64N(5), random.Int64N(5)
			failures, pairs = failures+r.FurtherFailures, pairs+r.FurtherPairs
			reports = append(reports, r)
		}
		whole, err := MergeLoads(reports...)
		if err != nil {
			t.Fatal(err)
		}
		gotFailures, gotPairs := whole.FurtherFailures, whole.FurtherPairs
		for i, f := range whole.Failures {
			gotFailures += f.Count
			if i > 0 && f.Count > whole.Failures[i-1].Count {
				t.Errorf("seed %d: failure %d is more frequent than the one before", seed, i)
			}
		}
		for _, p := range whole.Pairs {
			gotPairs += p.Count
		}
		if gotFailures != failures || gotPairs != pairs || len(whole.Failures) > MaxFailures || len(whole.Pairs) > MaxPairs {
			t.Errorf("seed %d: %d failures in %d kinds and %d pairs in %d, want %d and %d", seed, gotFailures, len(whole.Failures), gotPairs, len(whole.Pairs), failures, pairs)
		}
	}
}

// Those who tell of failures do so in any order; the example is the earliest.
func TestTheEarliestFailureIsTheExample(t *testing.T) {
	for _, order := range [][]float64{{1, 0.3, 2}, {0.3, 1, 2}, {2, 1, 0.3}} {
		f := Failure{Count: 1, Example: Example{At: order[0]}}
		for _, at := range order[1:] {
			f.Add(1, &Example{At: at})
		}
		if f.Count != 3 || f.Example.At != 0.3 {
			t.Errorf("told in the order %v, it is %+v", order, f)
		}
	}
}
