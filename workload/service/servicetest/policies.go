package servicetest

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

const millisecond = unit.Duration(time.Millisecond)

// calling is a service that calls child with the policies.
func calling(child *recorder, p policy.Call) service.Spec {
	c := topology.NewCall("child")
	c.Call = p
	spec := plain(topology.Step{Call: &c})
	spec.Peers = map[string][]string{"child": {child.url}}
	return spec
}

// failFirst answers the first n requests 503.
func failFirst(n int64) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) <= n {
			answerWith(503, "{}")(w, r)
			return
		}
		answerWith(200, goodChild)(w, r)
	}
}

func testRetries(t T, start Start) {
	child := record(t, failFirst(2))
	url := start(t, calling(child, policy.Call{Retry: &policy.Retry{Attempts: 3, Backoff: 10 * millisecond, Jitter: policy.NoJitter}}))
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("a call that its third attempt saves is answered %d", r.status)
	}
	calls := child.requests()
	if len(calls) != 3 {
		t.Fatalf("%d attempts, want 3", len(calls))
	}
	for i, want := range []string{"0", "0~2", "0~3"} {
		if got := calls[i].header.Get(control.HopHeader); got != want {
			t.Errorf("attempt %d has the hop %q, want %q", i+1, got, want)
		}
	}
	if gap := calls[2].at.Sub(calls[1].at); gap < 20*time.Millisecond {
		t.Errorf("the second wait took %v, less than 20 ms", gap)
	}
	checkSeries(t, string(do(t, "GET", url+control.MetricsPath, "").body), []series{
		{control.CallsTotal, []string{control.LabelCallee, "child", control.LabelOutcome, "ok"}, 1},
		{control.CallAttemptsTotal, []string{control.LabelCallee, "child", control.LabelOutcome, "http_error"}, 2},
	})
}

// testRetryTriggers has a child that is busy once, and then fails in a way that is not
// to be retried.
func testRetryTriggers(t T, start Start) {
	var count atomic.Int64
	child := record(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			answerWith(429, "{}")(w, r)
			return
		}
		answerWith(500, "{}")(w, r)
	})
	url := start(t, calling(child, policy.Call{Retry: &policy.Retry{
		Attempts: 5, Backoff: millisecond, On: []policy.Trigger{"429", "timeout"}, RetryAfter: true,
	}}))
	if r := do(t, "GET", url+"/", ""); r.status != 502 {
		t.Errorf("a call that fails with 500 is answered %d", r.status)
	}
	calls := child.requests()
	if len(calls) != 2 {
		t.Fatalf("%d attempts, want 2: 429 is retried and 500 is not", len(calls))
	}
	if gap := calls[1].at.Sub(calls[0].at); gap < time.Second {
		t.Errorf("the wait took %v, and the answer asked for 1 s", gap)
	}
}

func testBreakerByRate(t T, start Start) {
	child := record(t, answerWith(500, "{}"))
	url := start(t, calling(child, policy.Call{Breaker: &policy.Breaker{FailureRate: 0.5, Window: 100, MinCalls: 3, Reset: unit.Duration(time.Minute)}}))
	for i, want := range []int{502, 502, 503, 503} {
		if r := do(t, "GET", url+"/", ""); r.status != want {
			t.Errorf("request %d is answered %d, want %d", i+1, r.status, want)
		}
	}
	if n := len(child.requests()); n != 3 {
		t.Errorf("the callee got %d requests past a breaker that judges from 3 calls on", n)
	}
}

// testSlowBreaker has a child whose answers are good and late.
func testSlowBreaker(t T, start Start) {
	child := record(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(60 * time.Millisecond)
		answerWith(200, goodChild)(w, r)
	})
	url := start(t, calling(child, policy.Call{Breaker: &policy.Breaker{Failures: 2, SlowAfter: 50 * millisecond, Reset: unit.Duration(time.Minute)}}))
	for i, want := range []int{200, 200, 503} {
		if r := do(t, "GET", url+"/", ""); r.status != want {
			t.Errorf("request %d is answered %d, want %d", i+1, r.status, want)
		}
	}
	if n := len(child.requests()); n != 2 {
		t.Errorf("the callee got %d requests past a breaker that opens after 2 slow calls", n)
	}
}

func testBreaker(t T, start Start) {
	child := record(t, answerWith(500, "{}"))
	url := start(t, calling(child, policy.Call{Breaker: &policy.Breaker{Failures: 2, Reset: unit.Duration(time.Minute)}}))
	// The failure that opens the breaker is told as one that it turned away.
	for i, want := range []int{502, 503, 503, 503} {
		if r := do(t, "GET", url+"/", ""); r.status != want {
			t.Errorf("request %d is answered %d, want %d", i+1, r.status, want)
		}
	}
	if n := len(child.requests()); n != 2 {
		t.Errorf("the callee got %d requests past a breaker that opens after 2 failures", n)
	}
	if state := value(t, url, control.BreakerState, control.LabelCallee, "child"); state != 2 {
		t.Errorf("the breaker's state is %v, want 2", state)
	}
}

func testHedge(t T, start Start) {
	var count atomic.Int64
	child := record(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		answerWith(200, goodChild)(w, r)
	})
	url := start(t, calling(child, policy.Call{Hedge: &policy.Hedge{After: 30 * millisecond, Max: 1}}))
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("a call that its hedge saves is answered %d", r.status)
	}
	if n := len(child.requests()); n != 2 {
		t.Errorf("%d requests were sent, want 2", n)
	}
}

func testFallback(t T, start Start) {
	child := record(t, answerWith(500, "{}"))
	url := start(t, calling(child, policy.Call{Fallback: &policy.Fallback{Kind: policy.FixedFallback, Value: "{}"}}))
	r := do(t, "GET", url+"/", "")
	if r.status != 200 || r.header.Get(control.FallbackHeader) != "child fixed" || r.header.Get(control.DegradedHeader) != "1" {
		t.Errorf("a fallback answers %d with %v", r.status, r.header)
	}
	if n := value(t, url, control.FallbacksTotal, control.LabelCallee, "child"); n != 1 {
		t.Errorf("%v fallbacks are counted", n)
	}
}

// together sends n requests at once and returns their statuses.
func together(url string, n int) map[int]int {
	statuses := make(chan int, n)
	for range n {
		go func() {
			r, err := try("GET", url+"/", "")
			if err != nil {
				r.status = 0
			}
			statuses <- r.status
		}()
	}
	counts := map[int]int{}
	for range n {
		counts[<-statuses]++
	}
	return counts
}

func testWorkers(t T, start Start) {
	spec := plain(topology.Step{Work: &topology.Work{Sleep: dist.Fixed(100 * time.Millisecond)}})
	spec.Service.Workers = 1
	url := start(t, spec)
	began := time.Now()
	if got := together(url, 3); got[200] != 3 {
		t.Errorf("three requests for one worker: %v", got)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("one worker did three requests of 100 ms in %v", took)
	}
}

func testShedding(t T, start Start) {
	spec := plain(topology.Step{Work: &topology.Work{Sleep: dist.Fixed(300 * time.Millisecond)}})
	spec.Service.Workers, spec.Service.Shed = 1, &topology.Shed{Queue: 1}
	url := start(t, spec)
	done := make(chan map[int]int, 1)
	go func() { done <- together(url, 2) }()
	waitFor(t, "a request to work and another to wait", func() bool {
		return value(t, url, control.InflightRequests) == 1 && value(t, url, control.QueueLength) == 1
	})
	if r := do(t, "GET", url+"/", ""); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("a request past the queue is answered %d with Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
	if got := <-done; got[200] != 2 {
		t.Errorf("those that were admitted: %v", got)
	}
}

func testRequestValues(t T, start Start) {
	child := record(t, answerWith(200, `{"of":"child"}`))
	c := topology.NewCall("child")
	c.Endpoint = "/of/{id}"
	item := topology.NewEndpoint("/items/{id}", topology.Step{Call: &c})
	item.Response.Body = `{"id":{id},"child":{child}}`
	item.Require = &topology.Require{Header: "X-Key"}
	spec := plain()
	spec.Service.Endpoints = append(spec.Service.Endpoints, item)
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	if r := do(t, "GET", url+"/items/7", ""); r.status != 401 {
		t.Errorf("without the header that is required: %d", r.status)
	}
	r := do(t, "GET", url+"/items/7", "", "X-Key", "x")
	if want := `{"id":7,"child":{"of":"child"}}`; r.status != 200 || string(r.body) != want {
		t.Errorf("%d %s, want %s", r.status, r.body, want)
	}
	if calls := child.requests(); len(calls) != 1 || calls[0].path != "/of/7" {
		t.Error("the callee was sent " + fmt.Sprint(paths(calls)))
	}
}
