package service

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// goodSender answers at once, so that what is left is the caller's own work.
type goodSender struct{}

func (goodSender) Send(*peer.Request) (peer.Answer, error) { return peer.Answer{Status: 200}, nil }
func (goodSender) KeepOnly(*peer.Book)                     {}
func (goodSender) Close()                                  {}

// BenchmarkPolicies tells what policies add to a call in the good case: the
// median difference, in nanoseconds, between turns of calls with a timeout, a
// retry with a budget, a breaker and a bulkhead and turns of calls without any.
// The time of the network is left out.
func BenchmarkPolicies(b *testing.B) {
	second := unit.Duration(time.Second)
	plain := newTurn(b, policy.Call{})
	managed := newTurn(b, policy.Call{
		Timeout: second, Retry: &policy.Retry{Attempts: 3, Backoff: second, Budget: &policy.Budget{Ratio: 0.1, Burst: 10}},
		Breaker: &policy.Breaker{Failures: 5, Reset: 30 * second}, Bulkhead: &policy.Bulkhead{MaxConcurrent: 10}})
	var added []float64
	for b.Loop() {
		for range 101 {
			without := plain(b)
			added = append(added, managed(b)-without)
		}
	}
	b.ReportMetric(median(added), "added-ns/call")
	b.ReportMetric(testing.AllocsPerRun(10, func() { managed(b) })-testing.AllocsPerRun(10, func() { plain(b) }), "added-allocs")
}

// newTurn returns a function that makes a number of calls and tells the mean
// time of one in nanoseconds.
func newTurn(b *testing.B, p policy.Call) func(b *testing.B) float64 {
	call := topology.NewCall("b")
	call.Call = p
	s, err := New(Config{Service: topology.NewService("a", topology.Step{Call: &call}), Peers: map[string][]string{"b": {"http://127.0.0.1:1"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	s.client = goodSender{}
	x := &exchange{service: s, w: httptest.NewRecorder(), r: httptest.NewRequest("GET", "/", nil)}
	a := x.machine.Begin(s.served.Load().replica, exec.Arrival{Endpoint: s.served.Load().plan.Endpoints[0]}, s.now())
	if a.Kind != exec.Identify {
		b.Fatal(a)
	}
	a = x.machine.Identify(&exec.Identity{Request: behave.Request{ID: "0b0cbd2e-7a1c-4b66-9ff0-3a3d0b0f5a11", Hop: "0.1", From: "web"}, Left: time.Hour}, s.now())
	return func(b *testing.B) float64 {
		const n = 500
		start := time.Now()
		for range n {
			if e := x.do(x.machine.Root(), &a); e.Kind != exec.Called || e.Class != outcome.OK {
				b.Fatal(e)
			}
		}
		return float64(time.Since(start)) / n
	}
}
