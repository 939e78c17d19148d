package servicetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func testToken(t T, start Start) {
	closed := plain()
	closed.Token = ""
	for _, tt := range []struct {
		name, url, header string
		want              int
	}{
		{"off without a token", start(t, closed), control.Bearer, 403},
		{"no header", start(t, plain()), "", 401},
		{"wrong token", start(t, plain()), "Bearer wrong", 401},
		{"no Bearer", start(t, plain()), token, 401},
	} {
		within(t, tt.name, func(t T) {
			for _, r := range []struct{ method, path string }{
				{"GET", control.FaultsPath}, {"PUT", control.FaultPath("x")}, {"DELETE", control.FaultPath("x")}, {"PUT", control.PeersPath}, {"POST", control.SetDelayPath}, {"GET", control.AdminPath},
			} {
				if got := do(t, r.method, tt.url+r.path, "{}", control.AuthorizationHeader, tt.header); got.status != tt.want {
					t.Errorf("%s %s: %d %s", r.method, r.path, got.status, got.body)
				}
			}
		})
	}
	// A proxy on the way may keep Authorization for itself.
	for given, want := range map[string]int{token: 204, "wrong": 401} {
		if got := do(t, "PUT", start(t, plain())+control.PeersPath, "{}", control.TokenHeader, given); got.status != want {
			t.Errorf("Microsim-Token %q: %d %s, want %d", given, got.status, got.body, want)
		}
	}
}

// withToken sends a control request with the token.
func withToken(t T, method, url, body string) reply {
	t.Helper()
	return do(t, method, url, body, control.AuthorizationHeader, control.Bearer+token)
}

func addFault(t T, url, id string, f fault.Fault, deadline time.Time) {
	t.Helper()
	body, err := json.Marshal(control.FaultRequest{Fault: f, Deadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	if r := withToken(t, "PUT", url+control.FaultPath(id), string(body)); r.status != 204 {
		t.Fatalf("adding %q: %d %s", id, r.status, r.body)
	}
}

func testFaultsAtRunTime(t T, start Start) {
	url := start(t, plain())
	always := func(kind fault.Type, args fault.Args) fault.Fault {
		return fault.Fault{Type: kind, Target: fault.Target{Service: "subject"}, Probability: 1, Args: args}
	}
	clearFault := func(id string) {
		for range 2 { // the second finds nothing, which is not an error
			if r := withToken(t, "DELETE", url+control.FaultPath(id), ""); r.status != 204 {
				t.Errorf("clearing %q: %d %s", id, r.status, r.body)
			}
		}
	}
	sound := do(t, "GET", url+"/", "")

	addFault(t, url, "e", always(fault.Error, fault.Args{Status: 418}), time.Time{})
	if r := do(t, "GET", url+"/", ""); r.status != 418 {
		t.Errorf("an error answers %d", r.status)
	}
	if r := do(t, "POST", url+"/", `{"designation":"subject"}`); r.status != 418 || len(r.chain(t).Errors) != 1 {
		t.Errorf("an error answers a chain with %d %s", r.status, r.body)
	}
	if r := do(t, "GET", url+control.HealthPath, ""); r.status != 200 {
		t.Error("a fault acts on /healthz")
	}
	var active []control.Injection
	if r := withToken(t, "GET", url+control.FaultsPath, ""); json.Unmarshal(r.body, &active) != nil || len(active) != 1 || active[0].ID != "e" || active[0].Hits != 2 {
		t.Errorf("the list is %s", r.body)
	}
	if n := value(t, url, control.FaultActive, control.LabelFault, "error"); n != 1 {
		t.Errorf("the metrics show %v faults", n)
	}
	clearFault("e")
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("after the fault: %d", r.status)
	}

	for _, kind := range []fault.Type{fault.Abort, fault.Panic} {
		addFault(t, url, "x", always(kind, fault.Args{}), time.Time{})
		if r, err := try("GET", url+"/", ""); err == nil {
			t.Errorf("%s answers %d", kind, r.status)
		}
		clearFault("x")
	}
	addFault(t, url, "c", always(fault.Corrupt, fault.Args{}), time.Time{})
	if r := do(t, "GET", url+"/", ""); len(r.body) != len(sound.body) || json.Valid(r.body) {
		t.Errorf("a corrupt body is %q", r.body)
	}
	clearFault("c")

	slow := always(fault.Latency, fault.Args{Delay: dist.Fixed(150 * time.Millisecond)})
	slow.Target.From = "web"
	addFault(t, url, "s", slow, time.Time{})
	timed := func(header ...string) time.Duration {
		began := time.Now()
		do(t, "GET", url+"/", "", header...)
		return time.Since(began)
	}
	if took := timed(control.FromHeader, "web"); took < 150*time.Millisecond {
		t.Errorf("the slowed caller was answered after %v", took)
	}
	clearFault("s")

	hung := make(chan error, 1)
	addFault(t, url, "h", always(fault.Hang, fault.Args{}), time.Now().Add(time.Hour))
	go func() {
		r, err := try("GET", url+"/", "")
		if err == nil && r.status != 200 {
			err = fmt.Errorf("status %d", r.status)
		}
		hung <- err
	}()
	waitFor(t, "the request to hang", func() bool {
		return value(t, url, control.InflightRequests) == 1
	})
	clearFault("h")
	if err := <-hung; err != nil {
		t.Errorf("a request that hung was not answered when the fault was cleared: %v", err)
	}

	addFault(t, url, "d", always(fault.Error, fault.Args{}), time.Now().Add(time.Second))
	waitFor(t, "the fault's deadline", func() bool { return noFaults(t, url) })

	if r := withToken(t, "POST", url+control.SetDelayPath, `{"delay":100,"jitter":0}`); r.status != 200 {
		t.Errorf("set-delay: %d %s", r.status, r.body)
	}
	if took := timed(); took < 100*time.Millisecond {
		t.Errorf("with a delay of 100 ms set it took %v", took)
	}
	withToken(t, "POST", url+control.SetDelayPath, `{"delay":0}`)
	if !noFaults(t, url) {
		t.Error("a delay of 0 left a fault")
	}

	for name, body := range map[string]string{
		"network fault":   `{"fault":{"type":"net-delay","target":{"service":"subject"},"args":{"delay":"1s"}}}`,
		"unknown field":   `{"fualt":{}}`,
		"probability":     `{"fault":{"type":"abort","probability":1.3}}`,
		"another service": `{"fault":{"type":"abort","target":{"service":"other"}}}`,
		"past deadline":   `{"fault":{"type":"abort"},"deadline":"2001-01-01T00:00:00Z"}`,
		"huge leak":       `{"fault":{"type":"memory-leak","args":{"size":"5Gi"}}}`,
	} {
		if r := withToken(t, "PUT", url+control.FaultPath("bad"), body); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

// waitFor asks until the answer is yes, for at most ten seconds.
func waitFor(t T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !yes(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testPeersChange(t T, start Start) {
	before, after := record(t, answerWith(200, goodChild)), record(t, answerWith(200, goodChild))
	spec := plain()
	spec.Peers = map[string][]string{"child": {before.url}}
	url := start(t, spec)
	const chain = `{"designation":"subject","routes":[{"designation":"child"}]}`
	call(t, url, chain)
	if r := withToken(t, "PUT", url+control.PeersPath, `{"child":["`+after.url+`"]}`); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	call(t, url, chain)
	if len(before.requests()) != 1 || len(after.requests()) != 1 {
		t.Errorf("%d calls before, %d after", len(before.requests()), len(after.requests()))
	}
	if r := withToken(t, "PUT", url+control.PeersPath, `{"child":["ftp://x"]}`); r.status != 400 {
		t.Errorf("a peer that is not a base URL: %d", r.status)
	}
}

// noFaults reports whether no fault acts.
func noFaults(t T, url string) bool {
	t.Helper()
	return strings.TrimSpace(string(withToken(t, "GET", url+control.FaultsPath, "").body)) == "[]"
}

func testWebPages(t T, start Start) {
	url := start(t, plain())
	for _, header := range [][]string{{"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Host", "evil.example"}} {
		for _, path := range []string{"/", control.HealthPath, control.PeersPath} {
			if r := do(t, "GET", url+path, "", header...); r.status != 403 {
				t.Errorf("GET %s with %s %q: %d, want 403", path, header[0], header[1], r.status)
			}
		}
	}
	if r := do(t, "GET", url+control.HealthPath, "", "Sec-Fetch-Site", "none"); r.status != 200 {
		t.Errorf("a user who typed the address is answered %d", r.status)
	}
}

func testFaultTargets(t T, start Start) {
	spec := plain()
	spec.Replica = 2
	spec.Service.Endpoints = append(spec.Service.Endpoints, topology.NewEndpoint("/x"))
	url := start(t, spec)
	for name, tt := range map[string]struct {
		target fault.Target
		hit    []bool // of GET / from web, GET / from cron, GET /x from web
	}{
		"all":             {fault.Target{}, []bool{true, true, true}},
		"this replica":    {fault.Target{Replica: 2}, []bool{true, true, true}},
		"another replica": {fault.Target{Replica: 1}, []bool{false, false, false}},
		"one endpoint":    {fault.Target{Endpoint: "/x"}, []bool{false, false, true}},
		"one caller":      {fault.Target{From: "web"}, []bool{true, false, true}},
	} {
		tt.target.Service = "subject"
		addFault(t, url, "f", fault.Fault{Type: fault.Error, Target: tt.target, Probability: 1}, time.Time{})
		for i, r := range []struct{ path, from string }{{"/", "web"}, {"/", "cron"}, {"/x", "web"}} {
			got := do(t, "GET", url+r.path, "", control.FromHeader, r.from).status
			if hit := got == 500; hit != tt.hit[i] {
				t.Errorf("a fault on %s: GET %s from %s is answered %d", name, r.path, r.from, got)
			}
		}
	}
	// The share of requests is drawn as every implementation draws it.
	f := fault.Fault{Type: fault.Error, Target: fault.Target{Service: "subject"}, Probability: 0.5, Args: fault.Args{Status: 418}}
	addFault(t, url, "f", f, time.Time{})
	plan, set := behave.New(spec.Seed, &spec.Service), behave.NewFaultSet(2, []behave.Active{{ID: "f", Fault: f}})
	for i := range 32 {
		id := fmt.Sprint("request-", i)
		program := plan.Endpoints[0].Decide(nil, behave.Request{ID: id}, set)
		if got, want := do(t, "GET", url+"/", "", control.RequestIDHeader, id).status, program[len(program)-1].Status; got != want {
			t.Errorf("%s is answered %d, the model says %d", id, got, want)
		}
	}
}

func testUnreachable(t T, start Start) {
	child := record(t, answerWith(200, goodChild))
	spec := plain(topology.CallTo("child"))
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	f := fault.Fault{Type: fault.Unreachable, Target: fault.Target{Service: "child", From: "subject"}, Probability: 1}
	addFault(t, url, "u", f, time.Time{})
	if r := do(t, "GET", url+"/", ""); r.status != 502 {
		t.Errorf("a call of a callee that is unreachable is answered %d", r.status)
	}
	got := call(t, url, `{"designation":"subject","routes":[{"designation":"child"}]}`)
	if len(got.Errors) != 1 || !strings.Contains(got.Errors[0], "connection_error") {
		t.Errorf("a chain to a callee that is unreachable says %q", got.Errors)
	}
	if n := len(child.requests()); n != 0 {
		t.Errorf("the callee got %d requests", n)
	}
	if n := value(t, url, control.CallsTotal, control.LabelCallee, "child", control.LabelOutcome, "connection_error"); n != 2 {
		t.Errorf("%v calls are counted", n)
	}
	withToken(t, "DELETE", url+control.FaultPath("u"), "")
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("after the fault: %d", r.status)
	}
	// A target asks for the unreachable peers before it believes that the fault
	// acts.
	if r := withToken(t, "PUT", url+control.PeersPath, `{"child":["`+child.url+`"],"gone":["http://127.0.0.1:1"]}`); r.status != 204 {
		t.Fatalf("peers: %d %s", r.status, r.body)
	}
	if r := withToken(t, "GET", url+control.UnreachablePath, ""); strings.TrimSpace(string(r.body)) != `["gone"]` {
		t.Errorf("unreachable are %s, want gone", r.body)
	}
}
