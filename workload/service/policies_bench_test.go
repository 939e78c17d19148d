package service

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// goodSender answers at once, so that what is left is the caller's own work.
type goodSender struct{}

func (goodSender) send(*outgoing) (answer, error) { return answer{status: 200}, nil }
func (goodSender) close()                         {}

// BenchmarkCall compares a call without policies with one that has them, in the
// good case. What the network takes is left out.
func BenchmarkCall(b *testing.B) {
	second := unit.Duration(time.Second)
	for _, c := range []struct {
		name   string
		policy policy.Call
	}{
		{"none", policy.Call{}},
		{"timeout", policy.Call{Timeout: second}},
		{"timeout+retry+breaker+bulkhead", policy.Call{
			Timeout: second, Retry: &policy.Retry{Attempts: 3, Backoff: second, Budget: &policy.Budget{Ratio: 0.1, Burst: 10}},
			Breaker: &policy.Breaker{Failures: 5, Reset: 30 * second}, Bulkhead: &policy.Bulkhead{MaxConcurrent: 10}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			call := topology.NewCall("b")
			call.Call = c.policy
			s, err := New(Config{Service: topology.NewService("a", topology.Step{Call: &call}), Peers: map[string][]string{"b": {"http://127.0.0.1:1"}}})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			s.caller.own = goodSender{}
			now := time.Now()
			x := &exchange{service: s, w: httptest.NewRecorder(), r: httptest.NewRequest("GET", "/", nil), start: now, deadline: now.Add(time.Hour),
				request: behave.Request{ID: "0b0cbd2e-7a1c-4b66-9ff0-3a3d0b0f5a11", Hop: "0.1", From: "web"}}
			op := &s.plan.Endpoints[0].Decide(nil, x.request, nil)[0]
			b.ReportAllocs()
			for b.Loop() {
				if v := x.call(op); v != goOn {
					b.Fatal(v)
				}
			}
		})
	}
}
