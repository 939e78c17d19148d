package servicetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

func testWhichPostIsAChain(t T, start Start) {
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
		within(t, tt.name, func(t T) {
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

func testChainResponse(t T, start Start) {
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

func testChainOrder(t T, start Start) {
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

func testChainFaults(t T, start Start) {
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

func testRefusedChains(t T, start Start) {
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
		within(t, tt.name, func(t T) {
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

func testFailingChildren(t T, start Start) {
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
		"half": "connection_error", "closed": "connection_error", "nobody": "service of system", "hanging": "timeout",
	} {
		within(t, name, func(t T) {
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

func testNoRelay(t T, start Start) {
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
