package exec

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestQueueServesInItsOrder(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rules   topology.Shed
		entries []Entry // of 1, 2, 3, while 0 works
		oldest  int     // turned away for another
		order   []int
	}{
		{"first in, first out", topology.Shed{Queue: 2}, []Entry{Waiting, Waiting, Refused}, 0, []int{1, 2}},
		{"newest first", topology.Shed{Queue: 2, LIFO: true}, []Entry{Waiting, Waiting, WaitingForOldest}, 1, []int{3, 2}},
		{"no place", topology.Shed{}, []Entry{Refused, Refused, Refused}, 0, nil},
		{"no place, newest first", topology.Shed{LIFO: true}, []Entry{Refused, Refused, Refused}, 0, nil},
		{"accept queue", Workers{Count: 1, Backlog: 1}.AcceptQueue(128), []Entry{Waiting, Waiting, Refused}, 0, []int{1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := NewQueue[int](1, tt.rules)
			if entry, worker, _ := q.Enter(0); entry != Working || worker != 0 {
				t.Fatalf("the first got %v, %d", entry, worker)
			}
			for i, want := range tt.entries {
				entry, _, oldest := q.Enter(i + 1)
				if entry != want || entry == WaitingForOldest && oldest != tt.oldest {
					t.Errorf("%d got %v, for %d", i+1, entry, oldest)
				}
			}
			var order []int
			for next, ok := q.Leave(0); ok; next, ok = q.Leave(0) {
				order = append(order, next)
			}
			if !slices.Equal(order, tt.order) || q.Free() != 1 {
				t.Errorf("served %v, %d are free", order, q.Free())
			}
		})
	}
}

// With any events, the queue is no longer than its bound, no worker is given twice,
// no worker is free while a request waits, and no request is lost.
func TestQueueKeepsItsWord(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 7))
		workers := 1 + r.IntN(4)
		rules := topology.Shed{Queue: r.IntN(6), LIFO: r.IntN(2) == 0}
		q := NewQueue[int](workers, rules)
		working, waiting := map[int]int{}, []int{} // worker to request; requests
		check := func(what string) {
			t.Helper()
			if q.Len() > rules.Queue || q.Len() != len(waiting) || q.Free()+len(working) != workers || q.Free() > 0 && q.Len() > 0 {
				t.Fatalf("seed %d, %s: %d wait of at most %d (want %v), %d free, %d work of %d", seed, what, q.Len(), rules.Queue, waiting, q.Free(), len(working), workers)
			}
		}
		start := func(worker, who int) {
			if other, busy := working[worker]; busy || worker < 0 || worker >= workers {
				t.Fatalf("seed %d: worker %d is given to %d, and has %d", seed, worker, who, other)
			}
			working[worker] = who
		}
		for who := range 400 {
			switch r.IntN(5) {
			case 0, 1, 2:
				entry, worker, oldest := q.Enter(who)
				if entry == WaitingForOldest {
					if oldest != waiting[0] {
						t.Fatalf("seed %d: %d goes, the oldest is %d", seed, oldest, waiting[0])
					}
					waiting = waiting[1:]
				}
				switch entry {
				case Working:
					start(worker, who)
				case Waiting, WaitingForOldest:
					waiting = append(waiting, who)
				case Refused:
					if len(waiting) < rules.Queue {
						t.Fatalf("seed %d: refused with %d waiting", seed, len(waiting))
					}
				}
				check("entered")
			case 3:
				for worker := range working { // any
					delete(working, worker)
					if next, ok := q.Leave(worker); ok {
						want := waiting[0]
						if rules.LIFO {
							want = waiting[len(waiting)-1]
						}
						if next != want {
							t.Fatalf("seed %d: %d is next, want %d", seed, next, want)
						}
						waiting = slices.DeleteFunc(waiting, func(w int) bool { return w == next })
						start(worker, next)
					}
					break
				}
				check("left")
			case 4:
				if len(waiting) > 0 {
					i := r.IntN(len(waiting))
					if !q.Quit(waiting[i]) || q.Quit(waiting[i]) {
						t.Fatalf("seed %d: %d quits never or twice", seed, waiting[i])
					}
					waiting = slices.Delete(waiting, i, i+1)
				}
				if q.Quit(-1) {
					t.Fatal("a stranger was in the line")
				}
				check("quit")
			}
		}
	}
}

func TestQueueDoesNotAllocateOnceItHasGrown(t *testing.T) {
	q := NewQueue[int](1, topology.Shed{Queue: 8})
	q.Enter(0)
	cycle := func() {
		for i := range 8 {
			q.Enter(i)
		}
		for range 8 {
			q.Leave(0)
		}
	}
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWorkersRules(t *testing.T) {
	s := topology.NewService("a")
	for _, tt := range []struct {
		workers, backlog int
		shed             *topology.Shed
		want             string
	}{
		{0, 0, nil, "inside false, at accept 0, keep-alive true, patience 0s"},
		{8, 4, nil, "inside false, at accept 8, keep-alive false, patience 2s"},
		{8, 4, &topology.Shed{Queue: 3}, "inside true, at accept 0, keep-alive true, patience 0s"},
		{0, 0, &topology.Shed{Queue: 3}, "inside false, at accept 0, keep-alive true, patience 0s"},
	} {
		s.Workers, s.Backlog, s.Shed = tt.workers, tt.backlog, tt.shed
		w := workersOf(&s)
		if got := fmt.Sprintf("inside %v, at accept %d, keep-alive %v, patience %v", w.Inside, w.AtAccept(), w.KeepAlive(), w.HeaderPatience()); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
