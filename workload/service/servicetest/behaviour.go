package servicetest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Work is only bounded from below: a machine that is busy may take any longer.
func testWork(t T, start Start) {
	spec := plain()
	spec.Service.Endpoints = nil
	add := func(path string, w topology.Work) {
		spec.Service.Endpoints = append(spec.Service.Endpoints, topology.NewEndpoint(path, topology.Step{Work: &w}))
	}
	add("/sleep", topology.Work{Sleep: dist.Fixed(80 * time.Millisecond)})
	add("/cpu", topology.Work{CPU: dist.Fixed(30 * time.Millisecond)})
	add("/units", topology.Work{CPUUnits: 5})
	add("/io", topology.Work{IO: 1 << 20})
	add("/memory", topology.Work{Memory: 4 << 20, Sleep: dist.Fixed(10 * time.Millisecond)})
	drawn := dist.Delay{LogNormal: &dist.LogNormal{P50: unit.Duration(60 * time.Millisecond), P99: unit.Duration(90 * time.Millisecond)}}
	add("/drawn", topology.Work{Sleep: drawn})
	url := start(t, spec)
	took := func(path string, header ...string) time.Duration {
		began := time.Now()
		if r := do(t, "GET", url+path, "", header...); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return time.Since(began)
	}
	for path, least := range map[string]time.Duration{"/sleep": 80 * time.Millisecond, "/cpu": 30 * time.Millisecond, "/units": 0, "/io": 0, "/memory": 10 * time.Millisecond} {
		if d := took(path); d < least {
			t.Errorf("%s took %v, less than %v", path, d, least)
		}
	}
	plan := behave.New(spec.Seed, &spec.Service)
	e, _ := plan.Endpoint("GET", "/drawn")
	for i := range 3 {
		id := fmt.Sprint("drawn-", i)
		if least, d := e.Decide(nil, behave.Request{ID: id}, nil)[0].For, took("/drawn", control.RequestIDHeader, id); d < least {
			t.Errorf("the delay of %s took %v, the model draws %v", id, d, least)
		}
	}
}

func testCalls(t T, start Start) {
	slow := record(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(60 * time.Millisecond)
		answerWith(200, goodChild)(w, r)
	})
	perhaps := topology.NewCall("child")
	perhaps.Probability, perhaps.Count, perhaps.Endpoint = 0.5, 4, "/perhaps"
	post := topology.NewCall("child")
	post.Method, post.Endpoint, post.RequestSize = "POST", "/post", 500
	to := func(path string) topology.Step {
		c := topology.NewCall("child")
		c.Endpoint = path
		return topology.Step{Call: &c}
	}
	spec := plain()
	sequence := topology.NewEndpoint("/sequence", to("/a"), to("/b"))
	parallel := topology.NewEndpoint("/parallel", topology.Step{Parallel: []topology.Step{to("/a"), to("/b"), to("/c")}}, to("/last"))
	spec.Service.Endpoints = append(spec.Service.Endpoints, sequence, parallel,
		topology.NewEndpoint("/perhaps", topology.Step{Call: &perhaps}), topology.NewEndpoint("/post", topology.Step{Call: &post}))
	spec.Peers = map[string][]string{"child": {slow.url}}
	url := start(t, spec)
	seen := func(path string, header ...string) []recorded {
		n := len(slow.requests())
		if r := do(t, "GET", url+path, "", header...); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return slow.requests()[n:]
	}
	if c := seen("/sequence"); len(c) != 2 || c[0].path != "/a" || c[1].path != "/b" || c[1].at.Sub(c[0].at) < 60*time.Millisecond {
		t.Errorf("in sequence: %s", paths(c))
	}
	c := seen("/parallel")
	if len(c) != 4 || c[3].path != "/last" || c[3].at.Sub(c[2].at) < 60*time.Millisecond {
		t.Errorf("in parallel, then one: %s", paths(c))
	}
	// Three calls one after another would take 120 ms from the first to the last.
	hops := map[string]string{}
	for _, r := range c {
		hops[r.path] = r.header.Get(control.HopHeader)
	}
	if hops["/a"] != "0" || hops["/b"] != "1" || hops["/c"] != "2" || hops["/last"] != "3" {
		t.Errorf("the hops of parallel calls are %v", hops)
	}
	plan := behave.New(spec.Seed, &spec.Service)
	e, _ := plan.Endpoint("GET", "/perhaps")
	for i := range 8 {
		id := fmt.Sprint("perhaps-", i)
		if got, want := len(seen("/perhaps", control.RequestIDHeader, id)), len(e.Decide(nil, behave.Request{ID: id}, nil))-1; got != want {
			t.Errorf("%s makes %d calls, the model says %d", id, got, want)
		}
	}
	if c := seen("/post"); len(c) != 1 || c[0].method != "POST" || len(c[0].body) != 500 {
		t.Errorf("a call of 500 bytes by POST: %s", paths(c))
	}
}

func paths(list []recorded) string {
	var texts []string
	for _, r := range list {
		texts = append(texts, fmt.Sprintf("%s %s (%d bytes) at %s", r.method, r.path, len(r.body), r.at.Format("05.000")))
	}
	return strings.Join(texts, ", ")
}

func testDegraded(t T, start Start) {
	bad := record(t, answerWith(500, "{}"))
	half := record(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(control.DegradedHeader, "2")
		answerWith(200, goodChild)(w, r)
	})
	ignored := topology.NewCall("bad")
	ignored.OnError = topology.Ignore
	spec := plain(topology.Step{Call: &ignored}, topology.CallTo("half"))
	spec.Peers = map[string][]string{"bad": {bad.url}, "half": {half.url}}
	url := start(t, spec)
	if r := do(t, "GET", url+"/", ""); r.status != 200 || r.header.Get(control.DegradedHeader) != "3" {
		t.Errorf("one ignored failure and an answer degraded by 2: %d with %s %q", r.status, control.DegradedHeader, r.header.Get(control.DegradedHeader))
	}
	r := do(t, "POST", url+"/", `{"designation":"subject","routes":[{"designation":"bad"},{"designation":"half"}]}`)
	if r.header.Get(control.DegradedHeader) != "3" {
		t.Errorf("a chain with one failed route and one degraded by 2 has %s %q", control.DegradedHeader, r.header.Get(control.DegradedHeader))
	}
	if n := value(t, url, control.RequestsDegradedTotal, control.LabelEndpoint, "/"); n != 1 {
		t.Errorf("%v degraded requests are counted", n)
	}
	if n := value(t, url, control.CallsDegradedTotal, control.LabelCallee, "half"); n != 2 {
		t.Errorf("%v degraded calls are counted", n)
	}
}

// The replica of a call is drawn by key, so callers agree on it everywhere.
func testReplicas(t T, start Start) {
	var urls []string
	var replicas []*recorder
	for range 3 {
		replicas = append(replicas, record(t, answerWith(200, goodChild)))
		urls = append(urls, replicas[len(replicas)-1].url)
	}
	spec := plain(topology.CallTo("child"))
	spec.Peers = map[string][]string{"child": urls}
	url := start(t, spec)
	plan := behave.New(spec.Seed, &spec.Service)
	var got, want []int
	for i := range 12 {
		id := fmt.Sprint("request-", i)
		do(t, "GET", url+"/", "", control.RequestIDHeader, id)
		want = append(want, plan.ReplicaKey(behave.Request{ID: id}, 0).IntN(3))
		got = append(got, slices.IndexFunc(replicas, func(r *recorder) bool {
			return slices.ContainsFunc(r.requests(), func(c recorded) bool { return c.header.Get(control.RequestIDHeader) == id })
		}))
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls went to the replicas %v, the model says %v", got, want)
	}
}
