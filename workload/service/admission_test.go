package service

import (
	"fmt"
	"net/http"
	"strings"
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
		a := newAdmission(exec.Workers{Count: 1, Inside: true, Shed: rules})
		busy, ok := a.enter(time.Time{}, nil, nil)
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
				worker, ok := a.enter(deadline, nil, nil)
				mu.Lock()
				if ok {
					order = append(order, i)
				} else {
					away[i] = time.Since(start)
				}
				mu.Unlock()
				if ok {
					time.Sleep(time.Second)
					a.leave(worker)
				}
			})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		a.leave(busy)
		all.Wait()
		if a.waiting() != 0 || a.queue.Free() != 1 {
			t.Errorf("%d wait at the end, %d workers are free", a.waiting(), a.queue.Free())
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
	a := newAdmission(exec.Workers{Count: 1, Inside: true, Shed: topology.Shed{Queue: 1}})
	worker, _ := a.enter(time.Time{}, nil, nil)
	left := make(chan struct{})
	close(left)
	if _, ok := a.enter(time.Time{}, nil, left); ok || a.waiting() != 0 {
		t.Error("a request that has left is let in")
	}
	a.leave(worker)
	if _, ok := a.enter(time.Time{}, nil, nil); !ok {
		t.Error("the worker is lost")
	}
}

func TestSheddingAnswersAtOnce(t *testing.T) {
	service := topology.NewService("full")
	service.Workers, service.Shed = 1, &topology.Shed{Queue: 1}
	s, url := start(t, Config{Service: service})
	if err := s.AddFault("h", hang(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	statuses := make(chan int, 2)
	var clients sync.WaitGroup
	ask := func() {
		clients.Go(func() {
			r, err := tryRequest("GET", url, nil, nil)
			if err != nil {
				t.Error(err)
			}
			statuses <- r.status
		})
	}
	ask()
	waitForMetric(t, s, `microsim_inflight_requests{service="full"}`, "1")
	ask()
	waitForMetric(t, s, `microsim_queue_length{service="full"}`, "1")
	r := get(t, url)
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "too much") {
		t.Errorf("got %+v", r)
	}
	// The service's own endpoints bypass the queue.
	if r := get(t, url+"/healthz"); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	s.ClearFault("h")
	clients.Wait()
	if a, b := <-statuses, <-statuses; a != 200 || b != 200 {
		t.Errorf("those who were let in got %d and %d", a, b)
	}
}
