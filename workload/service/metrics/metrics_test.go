package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// Both pages say what was counted, and what the source says when they are asked for. Series
// are at zero from the beginning, so that rates see the first event.
func TestPages(t *testing.T) {
	queue := 3
	traffic := &http1.Traffic{}
	traffic.AddReceived(70)
	traffic.AddSent(90)
	m := New(Source{
		Service: "web", Callees: []string{"db", "cache"}, Traffic: traffic,
		InFlight: func() int64 { return 2 }, Held: func() int64 { return 4096 }, Queue: func() int { return queue },
		Breakers: func() []string { return []string{"db"} }, Breaker: func(string) policy.BreakerState { return policy.Open },
	})
	index := m.Endpoint("/", 200)
	index.Count(200, 20*time.Millisecond)
	index.Count(200, 30*time.Millisecond)
	index.Count(503, time.Millisecond)
	index.Count(0, time.Millisecond)
	index.Degraded()
	m.StartFallbacks("db")
	db := m.Callee("db")
	db.Attempt(outcome.Timeout)
	db.Attempt(outcome.OK)
	db.Count(outcome.OK, 10*time.Millisecond)
	db.FellBack()
	m.SetFaults(map[fault.Type]int{fault.Latency: 2})
	m.SetFaults(map[fault.Type]int{fault.Error: 1})
	queue = 5
	if m.Callee("db") != db {
		t.Error("a callee has two series")
	}

	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", control.MetricsPath, nil))
	fine, err := m.Fine()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`microsim_requests_total{code="200",endpoint="/",service="web"} 2`,
		`microsim_requests_total{code="503",endpoint="/",service="web"} 1`,
		`microsim_requests_total{code="aborted",endpoint="/",service="web"} 1`,
		`microsim_requests_total{code="500",endpoint="/",service="web"} 0`,
		`microsim_requests_degraded_total{endpoint="/",service="web"} 1`,
		`microsim_calls_total{callee="db",outcome="ok",service="web"} 1`,
		`microsim_calls_total{callee="cache",outcome="timeout",service="web"} 0`,
		`microsim_call_attempts_total{callee="db",outcome="timeout",service="web"} 1`,
		`microsim_fallbacks_total{callee="db",service="web"} 1`,
		`microsim_fault_active{fault="latency",service="web"} 0`,
		`microsim_fault_active{fault="error",service="web"} 1`,
		`microsim_inflight_requests{service="web"} 2`,
		`microsim_queue_length{service="web"} 5`,
		`microsim_held_memory_bytes{service="web"} 4096`,
		`microsim_network_receive_bytes_total{service="web"} 70`,
		`microsim_network_transmit_bytes_total{service="web"} 90`,
		`microsim_breaker_state{callee="db",service="web"} 2`,
	} {
		for name, page := range map[string]string{"Prometheus": w.Body.String(), "our scraper": string(fine)} {
			if !strings.Contains(page, line+"\n") {
				t.Errorf("the page for %s has no %s:\n%s", name, line, page)
			}
		}
	}
	if !strings.Contains(w.Body.String(), `microsim_request_duration_seconds_count{endpoint="/",service="web"} 4`) || strings.Contains(string(fine), "_duration_seconds") {
		t.Error("the wide histograms are not on the page for Prometheus alone")
	}
	// Every endpoint and callee has a line of its own, those that were not used, too.
	for _, line := range []string{`microsim_request_duration_fine{endpoint="/"} 52000000 `, `microsim_call_duration_fine{callee="db"} 10000000 `, `microsim_call_duration_fine{callee="cache"} 0`} {
		if !strings.Contains(string(fine), line) {
			t.Errorf("the page of fine metrics has no %s:\n%s", line, fine)
		}
	}
}
