package workers

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// line lets the only worker of an admission be busy while others come, one after
// another, and returns the order in which those that are let in work.
func line(t *testing.T, rules topology.Shed, deadlines ...time.Duration) (order []int, away map[int]time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(exec.Workers{Count: 1, Inside: true, Shed: rules})
		busy, ok := a.Enter(time.Time{}, nil, nil)
		if !ok {
			t.Fatal("the first was turned away")
		}
		start := time.Now()
		away = map[int]time.Duration{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i, after := range deadlines {
			deadline := time.Time{}
			if after > 0 && rules.Deadline {
				deadline = start.Add(after)
			}
			all.Go(func() {
				worker, ok := a.Enter(deadline, nil, nil)
				mu.Lock()
				if ok {
					order = append(order, i)
				} else {
					away[i] = time.Since(start)
				}
				mu.Unlock()
				if ok {
					time.Sleep(time.Second)
					a.Leave(worker)
				}
			})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		a.Leave(busy)
		all.Wait()
		if a.Waiting() != 0 || a.queue.Free() != 1 {
			t.Errorf("%d wait at the end, %d workers are free", a.Waiting(), a.queue.Free())
		}
	})
	return order, away
}

func TestAdmission(t *testing.T) {
	for _, tt := range []struct {
		rules       topology.Shed
		deadlines   []time.Duration
		order, away string
	}{
		{topology.Shed{Queue: 2}, []time.Duration{0, 0, 0}, "[0 1]", "map[2:0s]"},
		{topology.Shed{Queue: 2, LIFO: true}, []time.Duration{0, 0, 0}, "[2 1]", "map[0:0s]"},
		{topology.Shed{}, []time.Duration{0, 0}, "[]", "map[0:0s 1:0s]"},
		{topology.Shed{LIFO: true}, []time.Duration{0}, "[]", "map[0:0s]"},
		{topology.Shed{Queue: 9, Deadline: true}, []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 5 * time.Second}, "[0 3]", "map[1:500ms 2:1.5s]"},
		{topology.Shed{Queue: 9}, []time.Duration{time.Millisecond}, "[0]", "map[]"},
	} {
		order, away := line(t, tt.rules, tt.deadlines...)
		if fmt.Sprint(order) != tt.order || fmt.Sprint(away) != tt.away {
			t.Errorf("%+v: %v work in turn, %v are turned away", tt.rules, order, away)
		}
	}
}

func TestAdmissionLetsGoOfThoseWhoLeave(t *testing.T) {
	a := NewAdmission(exec.Workers{Count: 1, Inside: true, Shed: topology.Shed{Queue: 1}})
	worker, _ := a.Enter(time.Time{}, nil, nil)
	left := make(chan struct{})
	close(left)
	if _, ok := a.Enter(time.Time{}, nil, left); ok || a.Waiting() != 0 {
		t.Error("a request that has left is let in")
	}
	a.Leave(worker)
	if _, ok := a.Enter(time.Time{}, nil, nil); !ok {
		t.Error("the worker is lost")
	}
}
