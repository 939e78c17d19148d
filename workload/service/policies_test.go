package service

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/service/workers"
)

const millisecond = unit.Duration(time.Millisecond)

// callee serves a handler that gets the number of the request, from 1.
func callee(t testing.TB, handler func(n int64, w http.ResponseWriter, r *http.Request)) (url string) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(n.Add(1), w, r) }))
	t.Cleanup(server.Close)
	return server.URL
}

// calling starts service a, whose only call goes to b at the URL.
func calling(t testing.TB, url string, p policy.Call, change func(*topology.Service, *topology.Call)) (*Service, string) {
	t.Helper()
	call := topology.NewCall("b")
	call.Call = p
	step := topology.Step{Call: &call}
	a := topology.NewService("a", step)
	if change != nil {
		change(&a, &call)
	}
	if problems := call.Call.Validate(); len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	return start(t, Config{Service: a, Peers: map[string][]string{"b": {url}}})
}

func calls(t testing.TB, s *Service, class outcome.Class) int { return counted(t, s, "calls", class) }
func attempts(t testing.TB, s *Service, class outcome.Class) int {
	return counted(t, s, "call_attempts", class)
}

func counted(t testing.TB, s *Service, what string, class outcome.Class) int {
	t.Helper()
	n, err := strconv.Atoi(metric(t, s, fmt.Sprintf(`microsim_%s_total{callee="b",outcome=%q,service="a"}`, what, class)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRetryRepeatsUntilItIsGood(t *testing.T) {
	var mu sync.Mutex
	hops := map[string]bool{}
	b := callee(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		hops[r.Header.Get("Microsim-Hop")] = true
		mu.Unlock()
		if n < 3 {
			w.WriteHeader(503)
		}
	})
	s, url := calling(t, b, policy.Call{Retry: &policy.Retry{Attempts: 3, Backoff: 10 * millisecond, Jitter: policy.NoJitter}}, nil)
	began := time.Now()
	if r := get(t, url); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("waits of 10 and 20 ms took %v", took)
	}
	if calls(t, s, outcome.OK) != 1 || calls(t, s, outcome.HTTPError) != 0 || attempts(t, s, outcome.HTTPError) != 2 || attempts(t, s, outcome.OK) != 1 {
		t.Error("a call of three attempts is counted wrongly")
	}
	// Each attempt is decided anew by its callee.
	if len(hops) != 3 || !hops["0"] {
		t.Errorf("the hops are %v", hops)
	}
}

func TestRetryDoesNotWaitPastTheRequestsTime(t *testing.T) {
	b := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	s, url := calling(t, b, policy.Call{Retry: &policy.Retry{Attempts: 3, Backoff: unit.Duration(time.Minute), Jitter: policy.NoJitter}},
		func(a *topology.Service, _ *topology.Call) { a.Endpoints[0].Timeout = unit.Duration(10 * time.Second) })
	if r := get(t, url); r.status != 502 {
		t.Errorf("got %+v", r)
	}
	if attempts(t, s, outcome.HTTPError) != 1 || calls(t, s, outcome.HTTPError) != 1 {
		t.Error("it was tried again")
	}
}

func TestTimeoutBoundsEachAttempt(t *testing.T) {
	b := callee(t, func(_ int64, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s, url := calling(t, b, policy.Call{Timeout: 30 * millisecond, Retry: &policy.Retry{Attempts: 4}}, nil)
	began := time.Now()
	if r := get(t, url); r.status != 504 {
		t.Errorf("got %+v", r)
	}
	if took := time.Since(began); took < 120*time.Millisecond || took > 5*time.Second {
		t.Errorf("4 attempts of 30 ms took %v", took)
	}
	if n, tried := calls(t, s, outcome.Timeout), attempts(t, s, outcome.Timeout); n != 1 || tried != 4 {
		t.Errorf("%v calls and %v attempts timed out, want 1 and 4", n, tried)
	}
}

// TestBreakersOfWorkers counts what clients of eight workers see, of which each
// has a breaker that opens at the fifth failure: that one is reported as open.
func TestBreakersOfWorkers(t *testing.T) {
	s, url := calling(t, "http://127.0.0.1:1", policy.Call{Breaker: &policy.Breaker{Failures: 5, Reset: unit.Duration(time.Hour), Scope: policy.PerWorker}},
		func(a *topology.Service, c *topology.Call) {
			a.Workers, a.Backlog, c.OnError = 8, 128, topology.Ignore
		})
	if err := s.AddFault("outage", fault.Fault{Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "b"}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	const clients, each = 10, 50
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for range each {
				resp, err := client.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("got %d", resp.StatusCode)
				}
			}
		})
	}
	all.Wait()
	if got := calls(t, s, outcome.ConnectionError); got != 32 {
		t.Errorf("%d raw errors were seen, not 4 by each of 8 workers", got)
	}
	if got := calls(t, s, outcome.BreakerOpen); got != clients*each-32 {
		t.Errorf("%d calls were stopped by breakers", got)
	}
	if got := attempts(t, s, outcome.ConnectionError); got != 40 {
		t.Errorf("%d attempts were made", got)
	}
	if got := metric(t, s, `microsim_breaker_state{callee="b",service="a"}`); got != "2" {
		t.Errorf("the breakers' state is %s", got)
	}
	if hits := s.Faults()[0].Hits; hits != 40 {
		t.Errorf("the fault has acted %d times", hits)
	}
}

func TestBreakerClosesAfterAGoodTrial(t *testing.T) {
	var good atomic.Bool
	b := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		if !good.Load() {
			w.WriteHeader(500)
		}
	})
	s, url := calling(t, b, policy.Call{Breaker: &policy.Breaker{Failures: 2, Reset: 50 * millisecond}}, nil)
	for i, want := range []int{502, 503, 503} {
		if r := get(t, url); r.status != want {
			t.Errorf("request %d: %d", i, r.status)
		}
	}
	good.Store(true)
	waitForMetric(t, s, `microsim_breaker_state{callee="b",service="a"}`, "1")
	if r := get(t, url); r.status != 200 {
		t.Errorf("the trial got %d", r.status)
	}
	if got := metric(t, s, `microsim_breaker_state{callee="b",service="a"}`); got != "0" {
		t.Errorf("the state is %s", got)
	}
	if calls(t, s, outcome.BreakerOpen) != 2 || calls(t, s, outcome.HTTPError) != 1 {
		t.Error("calls are counted wrongly")
	}
}

func TestBulkheadAndRateLimitTurnCallsAway(t *testing.T) {
	for name, p := range map[string]policy.Call{
		"bulkhead":  {Bulkhead: &policy.Bulkhead{MaxConcurrent: 1}},
		"rateLimit": {RateLimit: &policy.RateLimit{Rate: 0.001, Burst: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			under, end := make(chan bool), make(chan bool)
			b := callee(t, func(int64, http.ResponseWriter, *http.Request) { under <- true; <-end })
			s, url := calling(t, b, p, nil)
			var first sync.WaitGroup
			first.Go(func() {
				if r, err := tryRequest("GET", url, nil, nil); err != nil || r.status != 200 {
					t.Errorf("got %+v, %v", r, err)
				}
			})
			<-under
			if r := get(t, url); r.status != 503 || !strings.Contains(r.body, "rejected") {
				t.Errorf("got %+v", r)
			}
			close(end)
			first.Wait()
			if calls(t, s, outcome.Rejected) != 1 || calls(t, s, outcome.OK) != 1 || attempts(t, s, outcome.OK) != 1 {
				t.Error("calls are counted wrongly")
			}
		})
	}
}

func TestHedgeTakesTheFirstGoodAnswer(t *testing.T) {
	left := make(chan bool, 1)
	b := callee(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1: // never answers
			<-r.Context().Done()
			left <- true
		case 2:
			w.WriteHeader(500)
		}
	})
	s, url := calling(t, b, policy.Call{Hedge: &policy.Hedge{After: 20 * millisecond, Max: 2}}, nil)
	if r := get(t, url); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	<-left // the loser is broken off
	if attempts(t, s, outcome.Cancelled) != 1 || attempts(t, s, outcome.HTTPError) != 1 || attempts(t, s, outcome.OK) != 1 {
		t.Error("attempts are counted wrongly")
	}
	if calls(t, s, outcome.OK) != 1 || calls(t, s, outcome.Cancelled) != 0 {
		t.Error("the call is counted wrongly")
	}
}

func TestHedgeIsNotSentForAnAnswerInTime(t *testing.T) {
	b := callee(t, func(n int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(map[int64]int{1: 200, 2: 500}[n]) })
	s, url := calling(t, b, policy.Call{Hedge: &policy.Hedge{After: unit.Duration(time.Hour)}}, nil)
	for i, want := range []int{200, 502} {
		if r := get(t, url); r.status != want {
			t.Errorf("request %d: %d", i, r.status)
		}
	}
	if attempts(t, s, outcome.OK)+attempts(t, s, outcome.HTTPError) != 2 {
		t.Error("more was sent")
	}
}

func TestFallbackTakesThePlaceOfAnAnswer(t *testing.T) {
	var bad atomic.Bool
	b := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		if bad.Load() {
			w.WriteHeader(500)
		}
	})
	for kind, fallback := range map[string]*policy.Fallback{
		"empty": {Kind: policy.EmptyFallback}, "fixed": {Kind: policy.FixedFallback, Value: "[1]"}, "last-good": {Kind: policy.LastGood},
	} {
		t.Run(kind, func(t *testing.T) {
			s, url := calling(t, b, policy.Call{Fallback: fallback}, nil)
			bad.Store(true)
			r, header := get(t, url), "b "+kind
			if kind == "last-good" {
				if r.status != 502 || r.header.Get(control.FallbackHeader) != "" {
					t.Errorf("nothing was good yet, but %+v", r)
				}
				bad.Store(false)
				if r := get(t, url); r.status != 200 || r.header.Get(control.FallbackHeader) != "" {
					t.Errorf("got %+v", r)
				}
				bad.Store(true)
				time.Sleep(10 * time.Millisecond) // the age to be told
				r = get(t, url)
				var age int
				if _, err := fmt.Sscanf(r.header.Get(control.FallbackHeader), header+" %d", &age); err != nil || age < 10 {
					t.Errorf("the header is %q", r.header.Get(control.FallbackHeader))
				}
			} else if got := r.header.Get(control.FallbackHeader); got != header {
				t.Errorf("the header is %q", got)
			}
			if r.status != 200 {
				t.Errorf("got %+v", r)
			}
			if got := metric(t, s, `microsim_fallbacks_total{callee="b",service="a"}`); got != "1" {
				t.Errorf("%s fallbacks are counted", got)
			}
			if calls(t, s, outcome.HTTPError) == 0 {
				t.Error("the failure is not counted")
			}
		})
	}
}

func TestAnswersByWhatHappened(t *testing.T) {
	b := callee(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/users/"))
		w.WriteHeader(status)
	})
	_, url := calling(t, b, policy.Call{}, func(a *topology.Service, c *topology.Call) {
		c.Endpoint = "/users/{user_id}"
		c.Answers = map[string]topology.Answer{"404": {Status: 404, Body: `{"error":"User not found"}`}, "http_error": {Status: 500}}
		a.Endpoints[0].Path = "/create_order"
		a.Endpoints[0].Response = topology.Response{Status: 201, Body: `{"id":3,"user_id":{user_id},"product":{product}}`}
	})
	order := func(user, product string) result {
		return post(t, url+"/create_order", fmt.Sprintf(`{"user_id": %s, "product": %q}`, user, product))
	}
	if r := order("200", "Book"); r.status != 201 || r.body != `{"id":3,"user_id":200,"product":"Book"}` || r.header.Get("Content-Type") != jsonType {
		t.Errorf("got %+v", r)
	}
	if r := order("404", ""); r.status != 404 || r.body != `{"error":"User not found"}` {
		t.Errorf("got %+v", r)
	}
	if r := order("418", ""); r.status != 500 {
		t.Errorf("got %+v", r)
	}
	if r := post(t, url+"/create_order", `{"product": "Book"}`); r.status != 400 || !strings.Contains(r.body, "user_id") {
		t.Errorf("got %+v", r)
	}
}

func TestRequiredHeaderIsPassedOn(t *testing.T) {
	got := make(chan string, 2)
	b := callee(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		writeBody(w, 200, jsonType, []byte(`{}`))
	})
	_, url := calling(t, b, policy.Call{}, func(a *topology.Service, _ *topology.Call) {
		a.Endpoints[0].Require = &topology.Require{Header: "Authorization"}
	})
	if r := get(t, url); r.status != 401 {
		t.Errorf("got %+v", r)
	}
	header := http.Header{"Authorization": {"0x123"}}
	if r := request(t, "GET", url, nil, header); r.status != 200 || <-got != "0x123" {
		t.Errorf("got %+v", r)
	}
	body := strings.NewReader(`{"designation":"a","routes":[{"designation":"b"}]}`)
	header["Content-Type"] = []string{jsonType}
	if r := request(t, "POST", url, body, header); r.status != 200 || <-got != "0x123" {
		t.Errorf("got %+v", r)
	}
}

func TestOnCancel(t *testing.T) {
	for _, onCancel := range []topology.OnCancel{topology.Finish, topology.Stop} {
		t.Run(string(onCancel), func(t *testing.T) {
			under, stopped := make(chan bool), make(chan bool, 1)
			end := make(chan bool)
			b := callee(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
				under <- true
				select {
				case <-r.Context().Done():
					stopped <- true
				case <-end:
					stopped <- false
				}
			})
			s, url := calling(t, b, policy.Call{}, func(a *topology.Service, _ *topology.Call) { a.OnCancel = onCancel })
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var client sync.WaitGroup
			client.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
				if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
					_ = resp.Body.Close()
					t.Error("the client got an answer")
				}
			})
			<-under
			cancel()
			client.Wait()
			if onCancel == topology.Stop {
				if !<-stopped {
					t.Error("the call was not broken off")
				}
				waitForMetric(t, s, `microsim_requests_total{code="aborted",endpoint="/",service="a"}`, "1")
				if calls(t, s, outcome.Cancelled) != 1 {
					t.Error("the call is not counted as cancelled")
				}
				return
			}
			close(end)
			waitForMetric(t, s, `microsim_requests_total{code="200",endpoint="/",service="a"}`, "1")
			if <-stopped || calls(t, s, outcome.OK) != 1 {
				t.Error("the call was broken off")
			}
		})
	}
}

// TestAbandonedCallsLeaveATail is what makes an overload last longer than its
// cause: callers give up, their callee does not know, and works on.
func TestAbandonedCallsLeaveATail(t *testing.T) {
	slow := topology.NewService("b", topology.Step{Work: &topology.Work{Sleep: dist.Fixed(100 * time.Millisecond)}})
	slow.Workers, slow.Backlog = 1, 8
	b, target := start(t, Config{Service: slow})
	s, url := calling(t, target, policy.Call{Timeout: 20 * millisecond, Fallback: &policy.Fallback{Kind: policy.EmptyFallback}}, nil)
	const n = 4
	for range n {
		if r := get(t, url); r.status != 200 {
			t.Errorf("got %+v", r)
		}
	}
	if got := calls(t, s, outcome.Timeout); got != n {
		t.Errorf("%d calls timed out", got)
	}
	waitForMetric(t, b, `microsim_requests_total{code="200",endpoint="/",service="b"}`, fmt.Sprint(n))
}

// TestAFullBacklogIsAConnectionError fills the accept queue of a callee that has
// no worker to spare.
func TestAFullBacklogIsAConnectionError(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux keeps connections out of a full accept queue")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const backlog = 2
	if _, err := workers.NewListener(ln, 0, backlog, nil); err != nil {
		t.Fatal(err)
	}
	s, url := calling(t, "http://"+ln.Addr().String(), policy.Call{Timeout: 200 * millisecond}, nil)
	for i, want := range []int{504, 504, 504, 502, 502} {
		if r := get(t, url); r.status != want {
			t.Errorf("request %d: %d %s", i, r.status, r.body)
		}
	}
	if calls(t, s, outcome.Timeout) != backlog+1 || calls(t, s, outcome.ConnectionError) != 2 {
		t.Errorf("%d timeouts, %d connection errors", calls(t, s, outcome.Timeout), calls(t, s, outcome.ConnectionError))
	}
}

func TestUnreachable(t *testing.T) {
	b := callee(t, func(int64, http.ResponseWriter, *http.Request) {})
	s, url := calling(t, b, policy.Call{}, nil)
	for _, f := range []fault.Fault{
		{Type: fault.Unreachable, Target: fault.Target{Service: "b", From: "z"}}, {Type: fault.Unreachable},
		{Type: fault.Latency, Target: fault.Target{Service: "b"}},
	} {
		if f.Probability = 1; s.AddFault("f", f, time.Time{}) == nil {
			t.Errorf("fault %+v was taken", f)
		}
	}
	if err := s.AddFault("f", fault.Fault{Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "b"}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if r := get(t, url); r.status != 502 || !strings.Contains(r.body, "connection_error") {
		t.Errorf("got %+v", r)
	}
	chain := `{"designation":"a","routes":[{"designation":"b"}]}`
	if r := post(t, url, chain).response(t); len(r.Errors) != 1 || r.Response[0] != nil {
		t.Errorf("got %+v", r)
	}
	s.ClearFault("f")
	if r := get(t, url); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	if calls(t, s, outcome.ConnectionError) != 2 {
		t.Error("calls are counted wrongly")
	}
}

// TestAnswersAreTold lets a page degrade: what is missing of it is what the
// fallbacks say.
func TestAnswersAreTold(t *testing.T) {
	var bad atomic.Bool
	items := callee(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		if bad.Load() {
			w.WriteHeader(500)
			return
		}
		writeBody(w, 200, jsonType, []byte("[1, 2]\n"))
	})
	var steps []topology.Step
	for name, p := range map[string]policy.Call{
		"fixed": {Fallback: &policy.Fallback{Kind: policy.FixedFallback, Value: "[]"}}, "stale": {Fallback: &policy.Fallback{Kind: policy.LastGood}},
		"empty": {Fallback: &policy.Fallback{Kind: policy.EmptyFallback}}, "ignored": {},
	} {
		c := topology.NewCall(name)
		c.Call, c.OnError = p, topology.Ignore
		steps = append(steps, topology.Step{Call: &c})
	}
	home := topology.NewService("home", topology.Step{Parallel: steps})
	home.Endpoints[0].Path = "/of/{user}"
	home.Endpoints[0].Response.Body = `{"user":{user},"a":{fixed},"b":{stale},"c":{empty},"d":{ignored}}`
	_, url := start(t, Config{Service: home, Peers: map[string][]string{"fixed": {items}, "stale": {items}, "empty": {items}, "ignored": {items}}})
	if r := get(t, url+"/of/jane"); r.body != `{"user":"jane","a":[1, 2],"b":[1, 2],"c":[1, 2],"d":[1, 2]}` {
		t.Errorf("got %+v", r)
	}
	bad.Store(true)
	if r := get(t, url+"/of/7"); r.status != 200 || r.body != `{"user":7,"a":[],"b":[1, 2],"c":null,"d":null}` {
		t.Errorf("got %+v", r)
	}
}

// Each hop up to the client reports and counts a degraded answer below it.
func TestDegradedAnswersAreToldUpToTheClient(t *testing.T) {
	ignored := func(a *topology.Service, call *topology.Call) { call.OnError = topology.Ignore }
	answered := func(a *topology.Service, call *topology.Call) {
		call.Answers = map[string]topology.Answer{"http_error": {Status: 200, Body: "[]"}}
	}
	twice := func(a *topology.Service, call *topology.Call) {
		e := &a.Endpoints[0]
		e.Steps = append(e.Steps, topology.Step{Parallel: []topology.Step{{Call: call}, {Call: call}}})
	}
	empty := policy.Call{Fallback: &policy.Fallback{Kind: policy.EmptyFallback}}
	for name, tt := range map[string]struct {
		status int
		policy policy.Call
		change func(*topology.Service, *topology.Call)
		want   string
	}{
		"a good answer":          {200, empty, nil, ""},
		"a fallback":             {500, empty, nil, "1"},
		"three fallbacks":        {500, empty, twice, "3"},
		"an ignored failure":     {500, policy.Call{}, ignored, "1"},
		"an answer in its place": {500, policy.Call{}, answered, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			url := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.status) })
			middle, middleURL := calling(t, url, tt.policy, tt.change)
			front, frontURL := calling(t, middleURL, policy.Call{}, nil)
			r := get(t, frontURL)
			if got := r.header.Get(control.DegradedHeader); r.status != 200 || got != tt.want {
				t.Errorf("the client gets %d with %q, want 200 with %q", r.status, got, tt.want)
			}
			n := "1"
			if tt.want == "" {
				n = "0"
			}
			for what, got := range map[string]string{
				"requests of the middle": metric(t, middle, `microsim_requests_degraded_total{endpoint="/",service="a"}`),
				"requests of the front":  metric(t, front, `microsim_requests_degraded_total{endpoint="/",service="a"}`),
				"calls of the front":     metric(t, front, `microsim_calls_degraded_total{callee="b",service="a"}`),
			} {
				if got != n {
					t.Errorf("degraded %s: %s, want %s", what, got, n)
				}
			}
			// The scraper reads the page of fine metrics, and needs them there.
			for _, series := range []string{`microsim_requests_degraded_total{endpoint="/",service="a"} `, `microsim_calls_degraded_total{callee="b",service="a"} `} {
				if page, err := front.metrics.Fine(); err != nil || !strings.Contains(string(page), series+n+"\n") {
					t.Errorf("the page of fine metrics does not say %s%s: %v\n%s", series, n, err, page)
				}
			}
			if got := metric(t, middle, `microsim_calls_degraded_total{callee="b",service="a"}`); got != "0" {
				t.Errorf("calls of the middle were degraded %s times; they failed or were good", got)
			}
		})
	}
}
