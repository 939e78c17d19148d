package collect

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// TestPoliciesAreRead scrapes a replica whose workers are all busy, by what it
// serves beside them.
func TestPoliciesAreRead(t *testing.T) {
	var scrapes atomic.Int64
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		fmt.Fprintf(w, `microsim_calls_total{callee="b",outcome="breaker_open",service="a"} %d
microsim_call_attempts_total{callee="b",outcome="timeout",service="a"} %d
microsim_call_attempts_total{callee="c",outcome="ok",service="a"} 0
microsim_fallbacks_total{callee="b",service="a"} %d
microsim_breaker_state{callee="b",service="a"} 2
`, 10*n, 3*n, 7*n)
	}))
	defer control.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer busy.Close()
	s := New(Options{Interval: time.Hour, Timeout: 10 * time.Second})
	samples := make(chan measure.Sample, 1)
	list := func(context.Context) ([]runner.Replica, error) {
		return []runner.Replica{{Service: "a", Index: 1, URL: busy.URL, ControlURL: control.URL}}, nil
	}
	if err := s.Start(t.Context(), list, func(sample measure.Sample) { samples <- sample }); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	sample := <-samples
	if sample.Up != 1 || len(sample.Calls) != 2 {
		t.Fatalf("got %+v", sample)
	}
	b, c := sample.Calls[0], sample.Calls[1]
	if !reflect.DeepEqual(b.Calls, map[outcome.Class]int64{outcome.BreakerOpen: 10}) ||
		!reflect.DeepEqual(b.Attempts, map[outcome.Class]int64{outcome.Timeout: 3}) || b.Fallbacks != 7 {
		t.Errorf("got %+v", b)
	}
	if b.Breaker == nil || *b.Breaker != policy.Open || c.Breaker != nil {
		t.Errorf("the breakers are %v and %v", b.Breaker, c.Breaker)
	}
}
