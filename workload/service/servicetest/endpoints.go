package servicetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func testOwnPaths(t T, start Start) {
	url := start(t, plain())
	for _, path := range []string{control.HealthPath, control.ReadyPath} {
		if r := do(t, "GET", url+path, ""); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	for _, tt := range []struct {
		method, path string
		want         int
	}{{"GET", "/nowhere", 404}, {"GET", control.AdminPath + "/nowhere", 401}, {"POST", control.HealthPath, 405}} {
		if r := do(t, tt.method, url+tt.path, ""); r.status != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, r.status, tt.want)
		}
	}
}

func testEndpoints(t T, start Start) {
	spec := plain()
	sizes := []int{0, 1, 14, 15, 16, 143, 100000}
	for _, size := range sizes {
		e := topology.NewEndpoint(fmt.Sprintf("/size/%d", size))
		e.Response.Size = unit.Size(size)
		spec.Service.Endpoints = append(spec.Service.Endpoints, e)
	}
	made := topology.NewEndpoint("/made")
	made.Method, made.Response.Status = "PUT", 201
	never := topology.NewEndpoint("/never")
	never.ErrorRate, never.ErrorStatus = 1, 503
	spec.Service.Endpoints = append(spec.Service.Endpoints, made, never)
	url := start(t, spec)
	for _, size := range sizes {
		r := do(t, "GET", fmt.Sprintf("%s/size/%d", url, size), "")
		want := size
		if size == 0 {
			want = 15
		}
		if r.status != 200 || len(r.body) != want {
			t.Errorf("size %d: %d with %d bytes", size, r.status, len(r.body))
		}
		var payload struct {
			Payload *string `json:"payload"`
		}
		if want >= 15 && (json.Unmarshal(r.body, &payload) != nil || payload.Payload == nil || len(*payload.Payload) != want-15) {
			t.Errorf("size %d: %.40q", size, r.body)
		}
	}
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"PUT", "/made", 201}, {"GET", "/made", 405}, {"GET", "/never", 503}, {"GET", "/nowhere", 404}, {"HEAD", "/", 200}, {"DELETE", "/", 200},
	} {
		if r := do(t, tt.method, url+tt.path, ""); r.status != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, r.status, tt.want)
		}
	}
}

const (
	givenID     = "given-id"
	givenParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	// noParent is invalid: its trace is 0.
	noParent = "00-00000000000000000000000000000000-00f067aa0ba902b7-01"
)

var (
	traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)
	uuid        = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// checkIdentity checks what a call passed on of a request, which was sent with
// givenID and givenParent or with neither.
func checkIdentity(t T, c recorded, given bool) {
	t.Helper()
	m := traceparent.FindStringSubmatch(c.header.Get(control.TraceHeader))
	switch {
	case m == nil || strings.Trim(m[1], "0") == "" || m[2] == givenParent[36:52]:
		t.Errorf("the call's traceparent is %q", c.header.Get(control.TraceHeader))
	case (m[1] == givenParent[3:35]) != given:
		t.Errorf("the call's traceparent is %q after %q", m[0], givenParent)
	}
	if id := c.header.Get(control.RequestIDHeader); given && id != givenID || !given && !uuid.MatchString(id) {
		t.Errorf("the call's X-Request-ID is %q", id)
	}
	if from := c.header.Get(control.FromHeader); from != "subject" {
		t.Errorf("the call comes from %q", from)
	}
}

func testChainIdentity(t T, start Start) {
	child := record(t, answerWith(200, goodChild))
	spec := plain()
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	const chain = `{"designation":"subject","routes":[{"designation":"child"},{"designation":"child"}]}`
	given := []string{control.RequestIDHeader, givenID, control.TraceHeader, givenParent, control.TraceStateHeader, "a=b"}
	r := do(t, "POST", url+"/", chain, append(given, control.HopHeader, "4", control.AuthorizationHeader, "Basic b25lOnR3bw==")...)
	if got := r.header.Get(control.RequestIDHeader); got != givenID {
		t.Errorf("the answer's X-Request-ID is %q, want %q", got, givenID)
	}
	do(t, "POST", url+"/", chain)
	do(t, "POST", url+"/", chain, control.TraceHeader, noParent)
	calls := child.requests()
	if len(calls) != 6 {
		t.Fatalf("%d calls, want 6", len(calls))
	}
	for i, c := range calls {
		checkIdentity(t, c, i < 2)
	}
	for i, want := range []string{"4.0", "4.1", "0", "1", "0", "1"} {
		if got := calls[i].header.Get(control.HopHeader); got != want {
			t.Errorf("call %d has the hop %q, want %q", i, got, want)
		}
	}
	if calls[0].header.Get(control.TraceStateHeader) != "a=b" {
		t.Error("tracestate was not passed on")
	}
	if calls[0].header.Get(control.AuthorizationHeader) != "Basic b25lOnR3bw==" {
		t.Error("Authorization was not passed on")
	}
}

func testIdentity(t T, start Start) {
	child := record(t, answerWith(200, goodChild))
	twice := topology.NewCall("child")
	twice.Count, twice.Endpoint = 2, "/items"
	spec := plain(topology.Step{Call: &twice})
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	do(t, "GET", url+"/", "", control.RequestIDHeader, givenID, control.TraceHeader, givenParent, control.TraceStateHeader, "a=b", control.HopHeader, "4")
	do(t, "GET", url+"/", "")
	do(t, "GET", url+"/", "", control.TraceHeader, noParent)
	calls := child.requests()
	if len(calls) != 6 {
		t.Fatalf("%d calls, want 6", len(calls))
	}
	for i, c := range calls {
		checkIdentity(t, c, i < 2)
	}
	if calls[0].header.Get(control.TraceStateHeader) != "a=b" {
		t.Error("tracestate was not passed on")
	}
	if calls[0].header.Get(control.HopHeader) != "4.0" || calls[1].header.Get(control.HopHeader) != "4.1" || calls[2].header.Get(control.HopHeader) != "0" {
		t.Errorf("hops %q, %q, %q", calls[0].header[control.HopHeader], calls[1].header[control.HopHeader], calls[2].header[control.HopHeader])
	}
	if calls[2].header.Get(control.RequestIDHeader) != calls[3].header.Get(control.RequestIDHeader) || calls[2].header.Get(control.RequestIDHeader) == calls[4].header.Get(control.RequestIDHeader) {
		t.Error("an id belongs to one request")
	}
	if calls[0].path != "/items" || calls[0].method != "GET" {
		t.Errorf("called %s %s", calls[0].method, calls[0].path)
	}
}

func testDeadline(t T, start Start) {
	child := record(t, answerWith(200, goodChild))
	spec := plain(topology.Step{Work: &topology.Work{Sleep: dist.Fixed(100 * time.Millisecond)}}, topology.CallTo("child"))
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	left := func(r recorded) int {
		var ms int
		if _, err := fmt.Sscan(r.header.Get(control.DeadlineHeader), &ms); err != nil {
			t.Errorf("Microsim-Deadline %q: %v", r.header.Get(control.DeadlineHeader), err)
		}
		return ms
	}
	do(t, "GET", url+"/", "")
	do(t, "GET", url+"/", "", control.DeadlineHeader, "20000")
	if r := do(t, "GET", url+"/", "", control.DeadlineHeader, "30"); r.status != 504 {
		t.Errorf("a request whose time is over got %d", r.status)
	}
	calls := child.requests()
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
	if ms := left(calls[0]); ms > 119900 || ms < 60000 {
		t.Errorf("%d ms of 120 s are left after 100 ms", ms)
	}
	if ms := left(calls[1]); ms > 19900 || ms < 1 {
		t.Errorf("%d ms of 20 s are left after 100 ms", ms)
	}
}

func testCallFailures(t T, start Start) {
	failing, hanging := record(t, answerWith(500, "{}")), record(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	garbage := record(t, answerWith(200, "garbage"))
	spec := plain()
	spec.Service.Endpoints = nil
	for _, callee := range []string{"failing", "hanging", "garbage", "gone"} {
		for _, onError := range []topology.OnError{topology.Propagate, topology.Ignore} {
			c := topology.NewCall(callee)
			c.OnError, c.Timeout = onError, unit.Duration(20*time.Second)
			if callee == "hanging" {
				c.Timeout = unit.Duration(100 * time.Millisecond)
			}
			e := topology.NewEndpoint("/"+callee+"/"+string(onError), topology.Step{Call: &c})
			p := topology.NewEndpoint("/parallel"+e.Path, topology.Step{Parallel: []topology.Step{{Work: &topology.Work{CPUUnits: 0.1}}, {Call: &c}}})
			spec.Service.Endpoints = append(spec.Service.Endpoints, e, p)
		}
	}
	spec.Peers = map[string][]string{"failing": {failing.url}, "hanging": {hanging.url}, "garbage": {garbage.url}}
	url := start(t, spec)
	for callee, want := range map[string]int{"failing": 502, "hanging": 504, "garbage": 502, "gone": 502} {
		for _, prefix := range []string{"/", "/parallel/"} {
			if r := do(t, "GET", url+prefix+callee+"/propagate", ""); r.status != want || !bytes.Contains(r.body, []byte(callee)) {
				t.Errorf("%s%s propagates as %d %s, want %d", prefix, callee, r.status, r.body, want)
			}
			if r := do(t, "GET", url+prefix+callee+"/ignore", ""); r.status != 200 {
				t.Errorf("%s%s is not ignored: %d %s", prefix, callee, r.status, r.body)
			}
		}
	}
}

func testSeed(t T, start Start) {
	spec := plain()
	spec.Service.Endpoints[0].ErrorRate = 0.5
	decisions := func(seed uint64) string {
		spec.Seed = seed
		url := start(t, spec)
		text := ""
		for i := range 64 {
			text += fmt.Sprint(do(t, "GET", url+"/", "", control.RequestIDHeader, fmt.Sprint("request-", i)).status/100, " ")
		}
		return text
	}
	first := decisions(42)
	if again := decisions(42); again != first {
		t.Errorf("the same seed decided\n%s, then\n%s", first, again)
	}
	if other := decisions(43); other == first {
		t.Error("another seed decided alike")
	}
	// Every implementation must draw these for this seed.
	s := plain().Service
	s.Endpoints[0].ErrorRate = 0.5
	want, plan := "", behave.New(42, &s)
	for i := range 64 {
		program := plan.Endpoints[0].Decide(nil, behave.Request{ID: fmt.Sprint("request-", i)}, nil)
		want += fmt.Sprint(program[len(program)-1].Status/100, " ")
	}
	if first != want {
		t.Errorf("it decided\n%s, the model\n%s", first, want)
	}
}

func testClientsLeave(t T, start Start) {
	url := start(t, plain(topology.Step{Work: &topology.Work{Sleep: dist.Fixed(20 * time.Millisecond)}}))
	for _, beginning := range []string{
		"", "GET", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"designation\":",
		"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, beginning)
		_ = conn.Close()
	}
	waitFor(t, "the abandoned requests to end", func() bool {
		return value(t, url, control.InflightRequests) == 0
	})
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("afterwards: %d", r.status)
	}
}
