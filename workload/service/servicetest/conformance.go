// Package servicetest has the black-box suite that every mock service passes,
// in whatever language and however it is started.
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
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// Start starts the service of a spec, waits until it is ready, returns its base
// URL without a slash at the end, and stops it at the end of the test.
type Start func(t *testing.T, spec service.Spec) (baseURL string)

// Conformance checks the contract of a mock service.
func Conformance(t *testing.T, start Start) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Start)
	}{
		{"own paths", testOwnPaths},
		{"endpoints answer exactly", testEndpoints},
		{"which POST is a chain", testWhichPostIsAChain},
		{"chain answers in MicroSim's form", testChainResponse},
		{"chain runs in order", testChainOrder},
		{"chain's faults", testChainFaults},
		{"chains that are refused", testRefusedChains},
		{"children that fail", testFailingChildren},
		{"no open relay", testNoRelay},
		{"identity is passed on", testIdentity},
		{"deadlines are passed on", testDeadline},
		{"calls fail as the file says", testCallFailures},
		{"same seed, same decisions", testSeed},
		{"control needs the token", testToken},
		{"faults come and go", testFaultsAtRunTime},
		{"peers change", testPeersChange},
		{"clients leave half-way", testClientsLeave},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, start) })
	}
}

const token = "conformance"

// plain is a service with an endpoint at / and the steps.
func plain(steps ...topology.Step) service.Spec {
	return service.Spec{System: "conformance", Service: topology.NewService("subject", steps...), Replica: 1, Seed: 1, Token: token}
}

// A reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) chain(t *testing.T) chain.Response {
	t.Helper()
	var response chain.Response
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&response); err != nil {
		t.Fatalf("reading the response document %q: %v", r.body, err)
	}
	if response.Errors == nil || response.Response == nil {
		t.Errorf("%s: errors and response must be lists", r.body)
	}
	return response
}

func try(method, url, body string, header ...string) (reply, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	// A connection for each request, so that none is sent twice.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, data}, err
}

func do(t *testing.T, method, url, body string, header ...string) reply {
	t.Helper()
	r, err := try(method, url, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return r
}

func call(t *testing.T, url, chain string, header ...string) chain.Response {
	t.Helper()
	r := do(t, "POST", url+"/", chain, header...)
	if r.status != 200 {
		t.Fatalf("the chain %s got %d %s", chain, r.status, r.body)
	}
	return r.chain(t)
}

// A recorder is a peer that remembers what it was sent.
type recorder struct {
	url string
	mu  sync.Mutex
	got []recorded
}

type recorded struct {
	at           time.Time
	method, path string
	header       http.Header
	body         string
}

func (r *recorder) requests() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]recorded(nil), r.got...)
}

// record starts a peer that answers by the handler.
func record(t *testing.T, answer http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got = append(r.got, recorded{time.Now(), req.Method, req.URL.Path, req.Header.Clone(), string(body)})
		r.mu.Unlock()
		answer(w, req)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	r.url = "http://" + ln.Addr().String()
	return r
}

func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const goodChild = `{"service":"child","address":"child","errors":[],"response":[]}`

func testOwnPaths(t *testing.T, start Start) {
	spec := plain(topology.CallTo("child"))
	url := start(t, spec)
	for _, path := range []string{control.HealthPath, control.ReadyPath} {
		if r := do(t, "GET", url+path, ""); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	text := string(do(t, "GET", url+control.MetricsPath, "").body)
	for _, series := range []string{
		control.RequestsTotal + `{code="200",endpoint="/",service="subject"} 0`,
		control.RequestDurationSeconds + `_count{endpoint="/",service="subject"} 0`,
		control.CallsTotal + `{callee="child",outcome="connection_error",service="subject"} 0`,
		control.CallDurationSeconds + `_count{callee="child",service="subject"} 0`,
		control.InflightRequests + `{service="subject"} 0`,
		control.QueueLength + `{service="subject"} 0`,
		control.FaultActive + `{fault="latency",service="subject"} 0`,
	} {
		if !strings.Contains(text, series) {
			t.Errorf("the metrics lack %s", series)
		}
	}
	do(t, "GET", url+"/", "")
	text = string(do(t, "GET", url+control.MetricsPath, "").body)
	for _, series := range []string{
		control.RequestsTotal + `{code="502",endpoint="/",service="subject"} 1`,
		control.CallsTotal + `{callee="child",outcome="connection_error",service="subject"} 1`,
	} {
		if !strings.Contains(text, series) {
			t.Errorf("after one request the metrics lack %s", series)
		}
	}
	fine := string(do(t, "GET", url+control.MetricsPath+"?"+control.FineQuery, "").body)
	if series := control.RequestsTotal + `{code="502",endpoint="/",service="subject"} 1`; !strings.Contains(fine, series) {
		t.Errorf("the metrics with fine histograms lack %s", series)
	}
	// A service may leave fine histograms out, but not count otherwise in them.
	for line := range strings.Lines(fine) {
		if !strings.HasPrefix(line, control.RequestDurationFine+`{endpoint="/"}`) && !strings.HasPrefix(line, control.CallDurationFine+`{callee="child"}`) {
			continue
		}
		if fields := strings.Fields(line); len(fields) != 3 || !strings.HasSuffix(fields[2], ":1") {
			t.Errorf("after one request the fine histogram is %q", line)
		}
	}
}

func testEndpoints(t *testing.T, start Start) {
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

func testWhichPostIsAChain(t *testing.T, start Start) {
	chain := `{"designation":"subject"}`
	with := start(t, plain())
	only := plain()
	only.Service.Endpoints = nil
	without := start(t, only)
	for _, tt := range []struct {
		name, url, body, contentType string
		status                       int
		chain                        bool
	}{
		{"chain", with, chain, "application/json", 200, true},
		{"chain as curl sends it", with, chain, "application/x-www-form-urlencoded", 200, true},
		{"chain without a type", with, chain, "", 200, true},
		{"empty body", with, "", "", 200, false},
		{"foreign object", with, `{"x":1}`, "application/json", 200, false},
		{"other content", with, chain, "application/octet-stream", 200, false},
		{"garbage", with, `hello`, "", 400, true},
		{"chain cut off", with, `{"designation":`, "application/json", 400, true},
		{"chain where there is no endpoint", without, chain, "text/plain", 200, true},
		{"empty where there is no endpoint", without, "", "", 400, true},
		{"foreign where there is no endpoint", without, `{"x":1}`, "application/json", 400, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := do(t, "POST", tt.url+"/", tt.body, "Content-Type", tt.contentType)
			if r.status != tt.status {
				t.Errorf("%d %s", r.status, r.body)
			}
			if isChain := bytes.Contains(r.body, []byte(`"service":"subject"`)); isChain != tt.chain {
				t.Errorf("answered %s", r.body)
			}
		})
	}
}

func testChainResponse(t *testing.T, start Start) {
	child := record(t, answerWith(200, goodChild))
	spec := plain()
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	r := do(t, "POST", url+"/", `{"designation":"subject","probability":0,"routes":[{"designation":"child","probability":0},{"designation":"`+child.url+`/"}]}`)
	if r.status != 200 || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q", r.status, r.header.Get("Content-Type"))
	}
	got := r.chain(t)
	if got.Service != "subject" || got.Address != "subject" || len(got.Errors) != 0 || len(got.Response) != 2 {
		t.Fatalf("got %s", r.body)
	}
	for _, c := range got.Response {
		if c == nil || c.Service != "child" {
			t.Errorf("got %s", r.body)
		}
	}
	for _, sent := range child.requests() {
		if sent.method != "POST" || sent.path != "/" || sent.header.Get("Content-Type") != "application/json" {
			t.Errorf("the child was sent %+v", sent)
		}
		if _, err := chain.Parse([]byte(sent.body), chain.Limits{}); err != nil || strings.Contains(sent.body, "null") {
			t.Errorf("the child was sent %s: %v", sent.body, err)
		}
	}
	for _, leaf := range []string{`{"designation":"x"}`, `{"designation":"x","routes":null}`, `{"designation":"x","routes":[],"faults":{}}`, `{"designation":"x","faults":{"before":null}}`} {
		if got := call(t, url, leaf); got.Address != "x" || len(got.Errors)+len(got.Response) != 0 {
			t.Errorf("%s: got %+v", leaf, got)
		}
	}
}

func testChainOrder(t *testing.T, start Start) {
	child := record(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		answerWith(200, goodChild)(w, r)
	})
	spec := plain()
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	began := time.Now()
	call(t, url, `{"designation":"subject","faults":{"before":[{"type":"latency","args":{"delay":60}},{"type":"latency","args":{"delay":40}}],
	 "after":[{"type":"latency","args":{"delay":80}},{"type":"memory-leak","args":{"size":8,"duration":60000}}]},
	 "routes":[{"designation":"child"},{"designation":"child"}]}`)
	took := time.Since(began)
	if took < 280*time.Millisecond {
		t.Errorf("it took %v, less than all delays", took)
	}
	if took > 20*time.Second {
		t.Errorf("it took %v: the leak must not hold the answer up", took)
	}
	calls := child.requests()
	if len(calls) != 2 {
		t.Fatalf("the child was called %d times", len(calls))
	}
	if before := calls[0].at.Sub(began); before < 100*time.Millisecond {
		t.Errorf("the first route was called after %v, before the faults were done", before)
	}
	if gap := calls[1].at.Sub(calls[0].at); gap < 50*time.Millisecond {
		t.Errorf("the second route was called %v after the first, before that had answered", gap)
	}
}

func testChainFaults(t *testing.T, start Start) {
	url := start(t, plain())
	with := func(fault string) string { return `{"designation":"subject","faults":{"before":[` + fault + `]}}` }
	for _, f := range []string{
		`{"type":"cpu","args":{"cores":1.5,"duration":20}}`, `{"type":"cpu","args":{"duration":5}}`, `{"type":"io","args":{"size":1.5}}`,
		`{"type":"error","args":{"rate":0}}`, `{"type":"memory-leak","args":{"size":1,"duration":1}}`,
	} {
		if got := call(t, url, with(f)); len(got.Errors) != 0 {
			t.Errorf("%s: errors %q", f, got.Errors)
		}
	}
	r := do(t, "POST", url+"/", with(`{"type":"error","args":{"status":503}},{"type":"latency","args":{"delay":60000}}`))
	if got := r.chain(t); r.status != 503 || len(got.Errors) != 1 {
		t.Errorf("an error answers %d %s", r.status, r.body)
	}
	for _, f := range []string{"abort", "panic"} {
		if r, err := try("POST", url+"/", with(`{"type":"`+f+`"}`)); err == nil {
			t.Errorf("%s answers %d %s", f, r.status, r.body)
		}
	}
	r = do(t, "POST", url+"/", with(`{"type":"corrupt"}`))
	sound := do(t, "POST", url+"/", with(``))
	if json.Valid(r.body) || len(r.body) != len(sound.body) {
		t.Errorf("a corrupt body is %q, a sound one %q", r.body, sound.body)
	}
	if got := call(t, url, with("")); got.Service != "subject" {
		t.Error("the service did not survive its faults")
	}
}

func testRefusedChains(t *testing.T, start Start) {
	child := record(t, answerWith(200, goodChild))
	spec := plain()
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	deep := strings.Repeat(`{"designation":"child","routes":[`, 65) + strings.Repeat("]}", 65)
	for _, tt := range []struct {
		name, chain string
		status      int
		want        string
	}{
		{"unknown fault type", `{"designation":"a","routes":[{"designation":"child"},{"designation":"child","faults":{"after":[{"type":"rain"}]}}]}`, 400, "fault type rain, is not implemented"},
		{"fault without a type", `{"designation":"a","faults":{"before":[{}]},"routes":[{"designation":"child"}]}`, 400, "fault type was not defined"},
		{"leak past the bound", `{"designation":"a","faults":{"before":[{"type":"memory-leak","args":{"size":5000,"duration":1}}]}}`, 400, "5000 MB"},
		{"too deep", deep, 400, "deeper than the 64"},
		{"too wide", `{"designation":"a","routes":[` + strings.Repeat(`{"designation":"child"},`, 1001) + `{"designation":"child"}]}`, 400, "1000"},
		{"too large", `{"designation":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "1048576"},
		{"unknown field", `{"designation":"a","rutes":[{"designation":"child"}]}`, 400, "rutes"},
		{"undecodable", `{"designation":`, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := do(t, "POST", url+"/", tt.chain)
			got := r.chain(t)
			if r.status != tt.status || got.Address != "" || !strings.Contains(strings.Join(got.Errors, "\n"), tt.want) {
				t.Errorf("got %d %s", r.status, r.body)
			}
		})
	}
	if n := len(child.requests()); n != 0 {
		t.Errorf("refused chains made %d calls", n)
	}
}

func testFailingChildren(t *testing.T, start Start) {
	hanging := record(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	failing := record(t, answerWith(500, `{"service":"child","address":"","errors":["it is broken"],"response":[]}`))
	garbage := record(t, answerWith(200, `<html>`))
	aborting := record(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	good := record(t, answerWith(200, goodChild))
	noHTTP := record(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_, _ = io.WriteString(conn, "SSH-2.0-garbage\r\n\r\n")
		_ = conn.Close()
	})
	half := record(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"service":`)
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	spec := plain()
	spec.Peers = map[string][]string{
		"hanging": {hanging.url}, "failing": {failing.url}, "garbage": {garbage.url}, "aborting": {aborting.url}, "good": {good.url},
		"no-http": {noHTTP.url}, "half": {half.url}, "closed": {"http://" + closed.Addr().String()},
	}
	url := start(t, spec)
	for name, want := range map[string]string{
		"failing": "it is broken", "garbage": "malformed", "aborting": "connection_error", "no_http": "malformed",
		"half": "connection_error", "closed": "connection_error", "nobody": "no service of system", "hanging": "timeout",
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{}
			if name == "hanging" {
				header = []string{control.DeadlineHeader, "300"}
			}
			r := do(t, "POST", url+"/", `{"designation":"subject","routes":[{"designation":"`+name+`"},{"designation":"good"}]}`, header...)
			got := r.chain(t)
			if len(got.Response) != 2 || got.Response[0] != nil || len(got.Errors) == 0 || !strings.Contains(got.Errors[0], want) || !strings.Contains(got.Errors[0], name) {
				t.Errorf("got %d %s, want an error with %q", r.status, r.body, want)
			}
			if name != "hanging" && (r.status != 200 || got.Response[1] == nil) {
				t.Errorf("got %d %s: the other route was not called", r.status, r.body)
			}
		})
	}
	if n := len(aborting.requests()); n != 1 {
		t.Errorf("the call that was aborted was made %d times", n)
	}
}

func testNoRelay(t *testing.T, start Start) {
	outside, allowed := record(t, answerWith(200, goodChild)), record(t, answerWith(200, goodChild))
	redirect := record(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, outside.url, http.StatusTemporaryRedirect)
	})
	spec := plain()
	spec.Peers = map[string][]string{"redirect": {redirect.url}}
	spec.AllowHosts = []string{strings.TrimPrefix(allowed.url, "http://")}
	url := start(t, spec)
	host := strings.TrimPrefix(outside.url, "http://")
	for _, designation := range []string{
		outside.url, outside.url + "/x", "http://" + strings.TrimPrefix(allowed.url, "http://") + "@" + host, "https://" + host,
		"http://[::1", "httpx://" + host, "redirect",
	} {
		got := call(t, url, `{"designation":"subject","routes":[{"designation":"`+designation+`"}]}`)
		if designation != "redirect" && (len(got.Response) != 1 || got.Response[0] != nil || len(got.Errors) != 1) {
			t.Errorf("%s: got %+v", designation, got)
		}
	}
	if n := len(outside.requests()); n != 0 {
		t.Errorf("a stranger was sent %d requests", n)
	}
	if got := call(t, url, `{"designation":"subject","routes":[{"designation":"`+allowed.url+`/deep"}]}`); got.Response[0] == nil {
		t.Errorf("an allowed host was not called: %q", got.Errors)
	}
}

func testIdentity(t *testing.T, start Start) {
	child := record(t, answerWith(200, goodChild))
	twice := topology.NewCall("child")
	twice.Count, twice.Endpoint = 2, "/items"
	spec := plain(topology.Step{Call: &twice})
	spec.Peers = map[string][]string{"child": {child.url}}
	url := start(t, spec)
	const id, parent = "given-id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	do(t, "GET", url+"/", "", control.RequestIDHeader, id, control.TraceHeader, parent, control.TraceStateHeader, "a=b", control.HopHeader, "4")
	call(t, url, `{"designation":"subject","routes":[{"designation":"child"}]}`, control.RequestIDHeader, id, control.TraceHeader, parent)
	do(t, "GET", url+"/", "")
	do(t, "GET", url+"/", "", control.TraceHeader, "00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	calls := child.requests()
	if len(calls) != 7 {
		t.Fatalf("%d calls", len(calls))
	}
	trace := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for i, c := range calls {
		m := trace.FindStringSubmatch(c.header.Get(control.TraceHeader))
		if m == nil || strings.Trim(m[1], "0") == "" || m[2] == "00f067aa0ba902b7" {
			t.Fatalf("call %d: traceparent %q", i, c.header.Get(control.TraceHeader))
		}
		if continued := m[1] == parent[3:35]; continued != (i < 3) {
			t.Errorf("call %d: traceparent %q", i, m[0])
		}
		got := c.header.Get(control.RequestIDHeader)
		if i < 3 && got != id || i >= 3 && !uuid.MatchString(got) {
			t.Errorf("call %d: X-Request-ID %q", i, got)
		}
		if c.header.Get(control.FromHeader) != "subject" {
			t.Errorf("call %d: from %q", i, c.header.Get(control.FromHeader))
		}
	}
	if calls[0].header.Get(control.TraceStateHeader) != "a=b" {
		t.Error("tracestate was not passed on")
	}
	if calls[0].header.Get(control.HopHeader) != "4.0" || calls[1].header.Get(control.HopHeader) != "4.1" || calls[2].header.Get(control.HopHeader) != "0" {
		t.Errorf("hops %q, %q, %q", calls[0].header[control.HopHeader], calls[1].header[control.HopHeader], calls[2].header[control.HopHeader])
	}
	if calls[3].header.Get(control.RequestIDHeader) != calls[4].header.Get(control.RequestIDHeader) || calls[3].header.Get(control.RequestIDHeader) == calls[5].header.Get(control.RequestIDHeader) {
		t.Error("an id belongs to one request")
	}
	if calls[0].path != "/items" || calls[0].method != "GET" {
		t.Errorf("called %s %s", calls[0].method, calls[0].path)
	}
}

func testDeadline(t *testing.T, start Start) {
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

func testCallFailures(t *testing.T, start Start) {
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

func testSeed(t *testing.T, start Start) {
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
	// What every implementation must draw for this seed.
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

func testToken(t *testing.T, start Start) {
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
		t.Run(tt.name, func(t *testing.T) {
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
	for given, want := range map[string]int{token: 200, "wrong": 401} {
		if got := do(t, "GET", start(t, plain())+control.FaultsPath, "", control.TokenHeader, given); got.status != want {
			t.Errorf("Microsim-Token %q: %d %s, want %d", given, got.status, got.body, want)
		}
	}
}

// withToken sends a control request with the token.
func withToken(t *testing.T, method, url, body string) reply {
	t.Helper()
	return do(t, method, url, body, control.AuthorizationHeader, control.Bearer+token)
}

func addFault(t *testing.T, url, id string, f fault.Fault, deadline time.Time) {
	t.Helper()
	body, err := json.Marshal(control.FaultRequest{Fault: f, Deadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	if r := withToken(t, "PUT", url+control.FaultPath(id), string(body)); r.status != 204 {
		t.Fatalf("adding %q: %d %s", id, r.status, r.body)
	}
}

func testFaultsAtRunTime(t *testing.T, start Start) {
	url := start(t, plain())
	always := func(kind fault.Type, args fault.Args) fault.Fault {
		return fault.Fault{Type: kind, Target: fault.Target{Service: "subject"}, Probability: 1, Args: args}
	}
	clearFault := func(id string) {
		for range 2 { // the second finds nothing, which is no error
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
	if text := do(t, "GET", url+control.MetricsPath, "").body; !bytes.Contains(text, []byte(control.FaultActive+`{fault="error",service="subject"} 1`)) {
		t.Error("the metrics do not show the fault")
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
		return bytes.Contains(do(t, "GET", url+control.MetricsPath, "").body, []byte(control.InflightRequests+`{service="subject"} 1`))
	})
	clearFault("h")
	if err := <-hung; err != nil {
		t.Errorf("a request that hung was not answered when the fault was cleared: %v", err)
	}

	addFault(t, url, "d", always(fault.Error, fault.Args{}), time.Now().Add(time.Second))
	waitFor(t, "the fault's deadline", func() bool { return string(withToken(t, "GET", url+control.FaultsPath, "").body) == "[]\n" })

	if r := withToken(t, "POST", url+control.SetDelayPath, `{"delay":100,"jitter":0}`); r.status != 200 {
		t.Errorf("set-delay: %d %s", r.status, r.body)
	}
	if took := timed(); took < 100*time.Millisecond {
		t.Errorf("with a delay of 100 ms set it took %v", took)
	}
	withToken(t, "POST", url+control.SetDelayPath, `{"delay":0}`)
	if r := withToken(t, "GET", url+control.FaultsPath, ""); string(r.body) != "[]\n" {
		t.Errorf("a delay of 0 left %s", r.body)
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
func waitFor(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !yes(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testPeersChange(t *testing.T, start Start) {
	before, after := record(t, answerWith(200, goodChild)), record(t, answerWith(200, goodChild))
	spec := plain(topology.CallTo("child"))
	spec.Peers = map[string][]string{"child": {before.url}}
	url := start(t, spec)
	do(t, "GET", url+"/", "")
	if r := withToken(t, "PUT", url+control.PeersPath, `{"child":["`+after.url+`"]}`); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	do(t, "GET", url+"/", "")
	if len(before.requests()) != 1 || len(after.requests()) != 1 {
		t.Errorf("%d calls before, %d after", len(before.requests()), len(after.requests()))
	}
	if r := withToken(t, "PUT", url+control.PeersPath, `{"child":["ftp://x"]}`); r.status != 400 {
		t.Errorf("a peer that is no base URL: %d", r.status)
	}
}

func testClientsLeave(t *testing.T, start Start) {
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
		return bytes.Contains(do(t, "GET", url+control.MetricsPath, "").body, []byte(control.InflightRequests+`{service="subject"} 0`))
	})
	if r := do(t, "GET", url+"/", ""); r.status != 200 {
		t.Errorf("afterwards: %d", r.status)
	}
}
