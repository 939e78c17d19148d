package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const describeToken = "of-the-system"

// sendDescription sends a description to a service that runs.
func sendDescription(t *testing.T, url string, d control.Description) result {
	t.Helper()
	body, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return request(t, "PUT", url+control.ServicePath, bytes.NewReader(body), http.Header{control.AuthorizationHeader: {control.Bearer + describeToken}})
}

// described sends a description that the service can follow.
func described(t *testing.T, url string, s topology.Service) {
	t.Helper()
	d := control.Description{Service: s}
	want, err := d.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	if r := sendDescription(t, url, d); r.status != http.StatusOK || strings.TrimSpace(r.body) != `{"fingerprint":"`+want+`"}` {
		t.Fatalf("the description is answered with %d %s, want %s", r.status, r.body, want)
	}
}

// serviceA is service a, whose endpoint calls each of the callees.
func serviceA(change func(e *topology.Endpoint), callees ...string) topology.Service {
	var steps []topology.Step
	for _, name := range callees {
		steps = append(steps, topology.CallTo(name))
	}
	a := topology.NewService("a", steps...)
	if change != nil {
		change(&a.Endpoints[0])
	}
	return a
}

// TestARunningServiceFollowsAnotherDescription changes one service step by step: each
// description is in force for the first request after the answer.
func TestARunningServiceFollowsAnotherDescription(t *testing.T) {
	var called [2]atomic.Int64
	peers := map[string][]string{}
	for i, name := range []string{"b", "c"} {
		peers[name] = []string{callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { called[i].Add(1); _, _ = w.Write([]byte("{}")) })}
	}
	first := serviceA(nil, "b")
	_, url := start(t, Config{Service: first, Token: describeToken, Peers: map[string][]string{"b": peers["b"]}})
	twice := func(e *topology.Endpoint) { e.Steps[0].Call.Count = 2 }
	never := func(e *topology.Endpoint) { e.Steps[0].Call.Probability = 0 }
	fails := func(e *topology.Endpoint) { e.ErrorRate, e.ErrorStatus = 1, 503 }
	answers := func(e *topology.Endpoint) { e.Response.Status, e.Response.Body = 203, "new" }
	for _, tt := range []struct {
		name         string
		next         topology.Service
		status, b, c int
		body         string
	}{
		{"as it began", first, 200, 1, 0, ""},
		{"another weight", serviceA(twice, "b"), 200, 2, 0, ""},
		{"weight 0", serviceA(never, "b"), 200, 0, 0, ""},
		{"a call more", serviceA(nil, "b", "c"), 200, 1, 1, ""},
		{"a call less", serviceA(nil, "c"), 200, 0, 1, ""},
		{"no call", serviceA(nil), 200, 0, 0, ""},
		{"errors", serviceA(fails, "b"), 503, 0, 0, ""},
		{"another answer", serviceA(answers), 203, 0, 0, "new"},
		{"as it began, again", first, 200, 1, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := control.Description{Service: tt.next, Peers: peers}
			if r := sendDescription(t, url, d); r.status != http.StatusOK {
				t.Fatalf("it is answered with %d %s", r.status, r.body)
			}
			called[0].Store(0)
			called[1].Store(0)
			r := get(t, url+"/")
			if b, c := int(called[0].Load()), int(called[1].Load()); r.status != tt.status || b != tt.b || c != tt.c || tt.body != "" && r.body != tt.body {
				t.Errorf("answered %d %s with %d and %d calls, want %d with %d and %d", r.status, r.body, b, c, tt.status, tt.b, tt.c)
			}
		})
	}
	other := serviceA(nil)
	other.Endpoints = append(other.Endpoints, topology.NewEndpoint("/new"))
	if r := get(t, url+"/new"); r.status != 404 {
		t.Fatalf("an endpoint that is not there answers %d", r.status)
	}
	described(t, url, other)
	if r := get(t, url+"/new"); r.status != 200 {
		t.Errorf("a new endpoint answers %d", r.status)
	}
	described(t, url, serviceA(nil))
	if r := get(t, url+"/new"); r.status != 404 {
		t.Errorf("an endpoint that was taken away answers %d", r.status)
	}
}

// TestRequestsUnderWayEndAsTheyBegan holds a call up while the call that comes after it is
// taken away, and the answer is another.
func TestRequestsUnderWayEndAsTheyBegan(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	b := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-release
		_, _ = w.Write([]byte("{}"))
	})
	var second atomic.Int64
	c := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { second.Add(1); _, _ = w.Write([]byte("{}")) })
	old := func(e *topology.Endpoint) { e.Response.Body = "old" }
	s, url := start(t, Config{Service: serviceA(old, "b", "c"), Token: describeToken, Peers: map[string][]string{"b": {b}, "c": {c}}})
	ended := make(chan result, 1)
	go func() {
		r, _ := tryRequest("GET", url+"/", nil, nil)
		ended <- r
	}()
	<-arrived
	described(t, url, serviceA(func(e *topology.Endpoint) { e.Response.Status, e.Response.Body = 203, "new" }))
	if r := get(t, url+"/"); r.status != 203 || r.body != "new" {
		t.Errorf("a request that begins after the change is answered with %d %s", r.status, r.body)
	}
	release <- true
	if r := <-ended; r.status != 200 || r.body != "old" || second.Load() != 1 {
		t.Errorf("the request under way ends with %d %q after %d calls of c", r.status, r.body, second.Load())
	}
	if n := calls(t, s, outcome.OK); n != 1 {
		t.Errorf("%d calls of b are counted, want 1", n)
	}
}

// TestPoliciesThatStayGoOn opens a breaker, and changes what is beside it: the breaker stays
// open, until its own policy is another.
func TestPoliciesThatStayGoOn(t *testing.T) {
	var asked atomic.Int64
	b := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(500) })
	guarded := func(failures int, before ...string) topology.Service {
		return serviceA(func(e *topology.Endpoint) {
			e.Steps[len(before)].Call.Call.Breaker = &policy.Breaker{Failures: failures, Reset: unit.Duration(1e12), Trials: 1}
		}, append(before, "b")...)
	}
	_, url := start(t, Config{Service: guarded(3), Token: describeToken, Peers: map[string][]string{"b": {b}, "c": {callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })}}})
	for range 5 {
		get(t, url+"/")
	}
	if asked.Load() != 3 {
		t.Fatalf("b was asked %d times, want 3 until the breaker opens", asked.Load())
	}
	// The call has another place among the calls now.
	described(t, url, guarded(3, "c"))
	for range 5 {
		get(t, url+"/")
	}
	if asked.Load() != 3 {
		t.Errorf("b was asked %d times: the breaker has not stayed open", asked.Load())
	}
	if page := get(t, url+"/metrics").body; !strings.Contains(page, `microsim_breaker_state{callee="b",service="a"} 2`) {
		t.Errorf("the metrics do not show an open breaker:\n%s", page)
	}
	described(t, url, guarded(4))
	for range 9 {
		get(t, url+"/")
	}
	if asked.Load() != 7 {
		t.Errorf("b was asked %d times, want 4 more by the new policy", asked.Load()-3)
	}
	described(t, url, serviceA(nil))
	if page := get(t, url+"/metrics").body; strings.Contains(page, "microsim_breaker_state") {
		t.Error("the metrics show a breaker that is not there")
	}
}

// TestDescriptionsThatOnlyAnotherProcessCanFollow are answered with 409, and change nothing.
func TestDescriptionsThatOnlyAnotherProcessCanFollow(t *testing.T) {
	s, url := start(t, Config{Service: serviceA(nil), Token: describeToken})
	before := s.Serving()
	with := func(change func(*topology.Service)) control.Description {
		a := serviceA(func(e *topology.Endpoint) { e.Response.Status = 203 })
		change(&a)
		return control.Description{Service: a}
	}
	toStore := with(func(a *topology.Service) {
		look := topology.NewCall("cache")
		look.Reads = 1
		a.Endpoints[0].Steps = []topology.Step{{Call: &look}}
	})
	cache := topology.NewService("cache")
	cache.Kind, cache.Store = topology.Redis, &topology.Store{Items: 1}
	toStore.Stores = []topology.Service{cache}
	for want, tt := range map[string]struct {
		status int
		d      control.Description
	}{
		"workers cannot change while it runs":         {409, with(func(a *topology.Service) { a.Workers = 3 })},
		"backlog, memory cannot change while it runs": {409, with(func(a *topology.Service) { a.Backlog, a.Memory = 3, 1 })},
		"shed cannot":                                  {409, with(func(a *topology.Service) { a.Shed = &topology.Shed{} })},
		`calls the data store \"cache\", and`:          {409, toStore},
		`the description is of service \"z\"`:          {400, with(func(a *topology.Service) { a.Name = "z" })},
		`reading the peers of service \"a\"`:           {400, control.Description{Service: serviceA(nil), Peers: control.Peers{"b": {"ftp://x"}}}},
		`changing service \"a\" in place: runtime can`: {409, with(func(a *topology.Service) { a.Runtime = "express" })},
	} {
		r := sendDescription(t, url, tt.d)
		if r.status != tt.status || !strings.Contains(r.body, want) {
			t.Errorf("got %d %s, want %d with %s", r.status, r.body, tt.status, want)
		}
	}
	for status, header := range map[int]http.Header{401: nil, 400: {control.AuthorizationHeader: {control.Bearer + describeToken}}} {
		if r := request(t, "PUT", url+control.ServicePath, strings.NewReader(`{"service":{"name":"a"},"more":1}`), header); r.status != status {
			t.Errorf("got %d %s, want %d", r.status, r.body, status)
		}
	}
	if r := request(t, "POST", url+control.ServicePath, nil, http.Header{control.AuthorizationHeader: {control.Bearer + describeToken}}); r.status != 405 || r.header.Get("Allow") != "GET, PUT" {
		t.Errorf("POST is answered with %d, Allow %s", r.status, r.header.Get("Allow"))
	}
	if s.Serving() != before || get(t, url+"/").status != 200 {
		t.Error("a refused description has changed the service")
	}
}

// TestDescriptionsChangeUnderLoad changes a service to and fro while many clients ask it:
// each answer is one of the two as a whole.
func TestDescriptionsChangeUnderLoad(t *testing.T) {
	good := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	variant := func(n int) topology.Service {
		a := serviceA(func(e *topology.Endpoint) { e.Response.Status, e.Response.Body = 200+n, fmt.Sprint("variant ", n) }, []string{"b", "c", "b"}[:n]...)
		for i := range a.Endpoints[0].Steps {
			a.Endpoints[0].Steps[i].Call.Call.Retry = &policy.Retry{Attempts: n, Budget: &policy.Budget{Ratio: 0.1, Burst: 3}}
		}
		return a
	}
	s, url := start(t, Config{Service: variant(1), Token: describeToken, Peers: map[string][]string{"b": {good}, "c": {good}}})
	stop := make(chan bool)
	var clients sync.WaitGroup
	var asked atomic.Int64
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := tryRequest("GET", url+"/", nil, nil)
				if n := r.status - 200; err != nil || n < 1 || n > 3 || r.body != fmt.Sprint("variant ", n) {
					t.Errorf("answered %d %s, %v", r.status, r.body, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 60 {
		described(t, url, variant(1+i%3))
		for n := asked.Load(); asked.Load() < n+10 && !t.Failed(); {
			get(t, url+"/metrics")
		}
	}
	close(stop)
	clients.Wait()
	if n := calls(t, s, outcome.OK); n == 0 {
		t.Error("no calls are counted")
	}
}

// TestFingerprintsTellDescriptionsApart by all that is served, and by nothing else.
func TestFingerprintsTellDescriptionsApart(t *testing.T) {
	of := func(d control.Description) string {
		t.Helper()
		f, err := d.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a := control.Description{Service: serviceA(nil, "b")}
	same := a
	same.Service.Replicas, same.Peers = 7, control.Peers{"b": {"http://x"}}
	other := control.Description{Service: serviceA(func(e *topology.Endpoint) { e.Steps[0].Call.Probability = 0.5 }, "b")}
	if of(a) != of(same) || of(a) == of(other) || len(of(a)) != 16 {
		t.Errorf("the fingerprints are %s, %s and %s", of(a), of(same), of(other))
	}
}
