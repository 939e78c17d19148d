package service

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

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
