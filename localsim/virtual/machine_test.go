package virtual

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
)

func TestLatenessIsDrawnFromItsQuantiles(t *testing.T) {
	late := Lateness{{0, 0}, {0.5, 100 * time.Microsecond}, {0.9, time.Millisecond}, {1, 10 * time.Millisecond}}
	var drawn []time.Duration
	const n = 20000
	for i := range n {
		drawn = append(drawn, late.draw(dist.Seed(1).WithInt(i)))
	}
	slices.Sort(drawn)
	for _, q := range late[1:3] {
		i, off := int(q.Share*n), int(4*math.Sqrt(n*q.Share*(1-q.Share)))
		if drawn[i-off] > q.By || drawn[i+off] < q.By {
			t.Errorf("share %v of all are at most %v to %v late, want %v", q.Share, drawn[i-off], drawn[i+off], q.By)
		}
	}
	if drawn[0] < 0 || drawn[n-1] > 10*time.Millisecond {
		t.Errorf("lateness from %v to %v, want 0 to 10ms", drawn[0], drawn[n-1])
	}
}

// The same seed and the same costs have the same bytes; other costs have others.
func TestSameCostsSameBytes(t *testing.T) {
	machine := func(most time.Duration) Machine {
		return Machine{Lateness: Lateness{{0, 0}, {0.9, time.Millisecond}, {1, most}}}
	}
	play := func(m Machine) []byte {
		r, err := Run(context.Background(), example(t, "shop"), Options{Machine: m})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := play(machine(10 * time.Millisecond))
	if again := play(machine(10 * time.Millisecond)); !bytes.Equal(first, again) {
		t.Errorf("another course with the same costs: %s", difference(first, again))
	}
	if bytes.Equal(first, play(machine(20*time.Millisecond))) {
		t.Error("other costs change nothing")
	}
}
