package gateapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
)

// An apiUnderTest is an API with a server to proxy to.
type apiUnderTest struct {
	*testing.T
	api      *API
	upstream string // echoes
}

func newAPI(t *testing.T) *apiUnderTest {
	t.Helper()
	u := &apiUnderTest{t, New(Config{}), peer.Echo(t)}
	t.Cleanup(func() {
		if err := u.api.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// do makes a request and returns status and body.
func (u *apiUnderTest) do(method, path, body string) (int, string) {
	u.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	u.api.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent && w.Code != http.StatusMethodNotAllowed && w.Header().Get("Content-Type") != "application/json" {
		u.Errorf("%s %s: content type %q", method, path, w.Header().Get("Content-Type"))
	}
	return w.Code, w.Body.String()
}

// must makes a request that succeeds and decodes its answer.
func (u *apiUnderTest) must(method, path, body string, answer any) {
	u.Helper()
	status, text := u.do(method, path, body)
	if status >= 300 {
		u.Fatalf("%s %s %s: %d %s", method, path, body, status, text)
	}
	if answer != nil {
		if err := json.Unmarshal([]byte(text), answer); err != nil {
			u.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
}

// proxy makes a proxy and returns its address.
func (u *apiUnderTest) proxy(name string) string {
	u.Helper()
	var p shownProxy
	u.must("POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:0","upstream":%q}`, name, u.upstream), &p)
	return p.Listen
}

type shownProxy struct {
	Name, Listen, Upstream string
	Enabled                bool
	Accepting              *bool
	Toxics                 []map[string]any
}

func (u *apiUnderTest) dial(address string) net.Conn {
	u.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// echoes sends text and checks that it comes back as want.
func (u *apiUnderTest) echoes(c net.Conn, text, want string) {
	u.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		u.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		u.Fatalf("sent %q, got %q and %v; want %q", text, got, err, want)
	}
}

// TestAnswers pins status codes and bodies, in the order of one session.
func TestAnswers(t *testing.T) {
	u := newAPI(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/version", ``, 200, `{"version": "2.12.0"}`},
		{"GET", "/proxies", ``, 200, `{}`},
		{"POST", "/proxies", ``, 400, `{"error":"bad request body: unexpected end of JSON input","status":400}`},
		{"POST", "/proxies", `{}`, 400, `{"error":"missing required field: name","status":400}`},
		{"POST", "/proxies", `{"name":"a"}`, 400, `{"error":"missing required field: upstream","status":400}`},
		{"POST", "/proxies", `{"name":7}`, 400, ``},
		{"POST", "/proxies", `{"name":"a","listen":"` + taken.Addr().String() + `","upstream":"x:1"}`, 500,
			`{"error":"listen tcp ` + taken.Addr().String() + `: bind: address already in use","status":500}`},
		{"POST", "/proxies", `{"name":"a","listen":"udp:127.0.0.1:0","upstream":"x:1"}`, 400, ``},
		{"POST", "/proxies", `{"name":"a","listen":"localhost:0","upstream":"x:1","enabled":false} trailing`, 201,
			`{"name":"a","listen":"localhost:0","upstream":"x:1","enabled":false,"toxics":[]}`},
		{"POST", "/proxies", `{"name":"a","upstream":"x:1"}`, 409, `{"error":"proxy already exists","status":409}`},
		{"GET", "/proxies/a", ``, 200, `{"name":"a","listen":"localhost:0","upstream":"x:1","enabled":false,"toxics":[]}`},
		{"GET", "/proxies/b", ``, 404, `{"error":"proxy not found","status":404}`},
		{"DELETE", "/proxies/b", ``, 404, `{"error":"proxy not found","status":404}`},
		{"PATCH", "/proxies/b", `{}`, 404, `{"error":"proxy not found","status":404}`},
		{"PATCH", "/proxies/a", `[]`, 400, ``},
		{"PATCH", "/proxies/a", `{"listen":"nonsense"}`, 500, `{"error":"address nonsense: missing port in address","status":500}`},
		{"GET", "/proxies/a/toxics", ``, 200, `[]`},
		{"POST", "/proxies/b/toxics", `{"type":"noop"}`, 404, `{"error":"proxy not found","status":404}`},
		{"POST", "/proxies/a/toxics", `{"type":"noop","stream":"sideways"}`, 400,
			`{"error":"stream was invalid, can be either upstream or downstream","status":400}`},
		{"POST", "/proxies/a/toxics", `{"type":"unknown"}`, 400, `{"error":"invalid toxic type","status":400}`},
		{"POST", "/proxies/a/toxics", `{"type":"latency","attributes":{"latency":"x"}}`, 400, ``},
		{"POST", "/proxies/a/toxics", `{"type":"latency","attributes":{"latency":-1}}`, 400, ``},
		{"POST", "/proxies/a/toxics", `{"type":"latency","attributes":{"latency":9223372036854775807}}`, 400, ``},
		{"POST", "/proxies/a/toxics", `{"type":"latency","toxicity":2}`, 400, ``},
		{"POST", "/proxies/a/toxics", `{"type":"latency","attributes":{"latency":5}}`, 200,
			`{"attributes":{"latency":5,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}`},
		{"POST", "/proxies/a/toxics", `{"type":"noop","name":"latency_downstream"}`, 409, `{"error":"toxic already exists","status":409}`},
		{"POST", "/proxies/a/toxics", `{"type":"slicer","stream":"upstream","toxicity":0.5,"attributes":null}`, 200,
			`{"attributes":{"average_size":0,"size_variation":0,"delay":0},"name":"slicer_upstream","type":"slicer","stream":"upstream","toxicity":0.5}`},
		{"GET", "/proxies/a/toxics/none", ``, 404, `{"error":"toxic not found","status":404}`},
		{"POST", "/proxies/a/toxics/none", `{}`, 404, `{"error":"toxic not found","status":404}`},
		{"DELETE", "/proxies/a/toxics/none", ``, 404, `{"error":"toxic not found","status":404}`},
		{"PATCH", "/proxies/a/toxics/latency_downstream", `{"attributes":{"jitter":2},"toxicity":0.25}`, 200,
			`{"attributes":{"latency":5,"jitter":2},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":0.25}`},
		{"POST", "/proxies/a/toxics/latency_downstream", `{"attributes":{"jitter":-2}}`, 400, ``},
		{"GET", "/proxies/a/toxics/latency_downstream", ``, 200,
			`{"attributes":{"latency":5,"jitter":2},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":0.25}`},
		{"GET", "/proxies/a/toxics", ``, 200, // upstream first
			`[{"attributes":{"average_size":0,"size_variation":0,"delay":0},"name":"slicer_upstream","type":"slicer","stream":"upstream","toxicity":0.5},` +
				`{"attributes":{"latency":5,"jitter":2},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":0.25}]`},
		{"GET", "/proxies/a/toxics/latency_downstream/effect", ``, 200, `{"bytes":0,"connections":0,"hits":0}`},
		{"GET", "/proxies/a/toxics/latency_downstream/effect?wait=x", ``, 400, ``},
		{"GET", "/proxies/a/toxics/latency_downstream/effect?wait=1ms", ``, 408, ``},
		{"GET", "/proxies/a/toxics/latency_downstream/effect?wait=-1s", ``, 400, ``},
		{"GET", "/proxies/a/toxics/latency_downstream/effect?wat=1s", ``, 400, `{"error":"parameter \"wat\" is not known; known are wait","status":400}`},
		{"GET", "/proxies/a/toxics/none/effect", ``, 404, ``},
		{"DELETE", "/proxies/a/toxics/latency_downstream", ``, 204, ``},
		{"GET", "/proxies/a/connections", ``, 200, `[]`},
		{"DELETE", "/proxies/a/connections", ``, 200, `{"closed":0}`},
		{"DELETE", "/proxies/a/connections?count=-1", ``, 400, ``},
		{"DELETE", "/proxies/a/connections?cout=1", ``, 400, `{"error":"parameter \"cout\" is not known; known are count, reset","status":400}`},
		{"DELETE", "/proxies/a/connections?reset=yes", ``, 400, `{"error":"reset is \"yes\"; it must be true or false","status":400}`},
		{"DELETE", "/proxies/a/connections?count=1&reset=false", ``, 200, `{"closed":0}`},
		{"POST", "/populate", `{`, 400, `{"error":"bad request body: unexpected end of JSON input","status":400,"proxies":null}`},
		{"POST", "/populate", `[{"name":"p","upstream":"x:1"},{"name":"q"}]`, 400,
			`{"error":"missing required field: upstream at proxy 2","status":400,"proxies":null}`},
		{"POST", "/populate", `[{"name":"a","listen":"localhost:0","upstream":"y:1","enabled":false}]`, 201,
			`{"proxies":[{"name":"a","listen":"localhost:0","upstream":"y:1","enabled":false,"toxics":[]}]}`},
		{"PUT", "/proxies", ``, 405, ``},
		{"DELETE", "/proxies/a", ``, 204, ``},
		{"GET", "/proxies", ``, 200, `{}`},
		{"POST", "/reset", ``, 204, ``},
	} {
		status, answer := u.do(c.method, c.path, c.body)
		if status != c.status || c.answer != "" && strings.TrimSpace(answer) != c.answer {
			t.Errorf("%s %s %s:\n got %d %swant %d %s", c.method, c.path, c.body, status, answer, c.status, c.answer)
		}
	}
}

func TestBrowsersAreRefused(t *testing.T) {
	api := New(Config{Hosts: []string{"127.0.0.1:8474", "localhost:8474"}})
	defer api.Close()
	for _, c := range []struct {
		name, host, header, value string
		status                    int
	}{
		{"a program", "127.0.0.1:8474", "", "", 200},
		{"a program by another name", "localhost:8474", "User-Agent", "curl/8", 200},
		{"a browser", "127.0.0.1:8474", "User-Agent", "Mozilla/5.0", 403},
		{"a page", "127.0.0.1:8474", "Origin", "http://evil.example", 403},
		{"a page of another site", "127.0.0.1:8474", "Sec-Fetch-Site", "cross-site", 403},
		{"a page of this machine", "127.0.0.1:8474", "Sec-Fetch-Site", "same-origin", 403},
		{"a name that was pointed here", "evil.example:8474", "", "", 403},
	} {
		r := httptest.NewRequest("POST", "/populate", strings.NewReader("[]"))
		r.Host = c.host
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if (w.Code == 403) != (c.status == 403) {
			t.Errorf("%s got %d %s", c.name, w.Code, w.Body)
		}
	}
}

// The API refuses every field and value that would have no effect, and says which it
// knows, because a misspelt field would leave a test without its fault.
func TestNothingIsDropped(t *testing.T) {
	u := newAPI(t)
	u.proxy("p")
	u.must("POST", "/proxies/p/toxics", `{"type":"latency","name":"slow"}`, nil)
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/proxies", `{"name":"x","lissten":"127.0.0.1:0","upstream":"a:1"}`, `field "lissten" is not known; known are name, listen, upstream, accepting, enabled, toxics`},
		{"POST", "/proxies", `{"name":"x","upstream":"nohost"}`, `write host:port`},
		{"POST", "/proxies", `{"name":"..","upstream":"a:1"}`, `invalid name`},
		{"POST", "/proxies", `{"name":".","upstream":"a:1"}`, `invalid name`},
		{"POST", "/proxies", `{"name":"a\u001b[2J","upstream":"a:1"}`, `invalid name`},
		{"POST", "/proxies", `{"name":7,"upstream":"a:1"}`, `field "name" is of type number; it must be a string`},
		{"POST", "/proxies", `{"name":"x","upstream":"a:1","toxics":[{"type":"latency","latency":100}]}`, `field "latency" belongs into "attributes"`},
		{"POST", "/proxies", `{"name":"x","upstream":"a:1","toxics":[{"type":"nothing"}]}`, `invalid toxic type`},
		{"POST", "/proxies", `{"name":"x","upstream":"a:1","toxics":[{"type":"noop"},{"type":"noop"}]}`, `toxic already exists`},
		{"POST", "/proxies", `{"name":"x","listen":"udp:127.0.0.1:0","upstream":"udp:a:1","toxics":[{"type":"slicer","attributes":{"average_size":1}}]}`, `byte stream`},
		{"PATCH", "/proxies/p", `{"name":"q"}`, `cannot be renamed`},
		{"PATCH", "/proxies/p", `{"enable":false}`, `field "enable" is not known`},
		{"PATCH", "/proxies/p", `{"upstream":"nohost"}`, `write host:port`},
		{"POST", "/populate", `[{"name":"x","upstream":"a:1","lissten":"b"}]`, `field "lissten" is not known`},
		{"POST", "/populate", `[{"name":"x","upstream":"a:1"},{"name":"x","upstream":"b:1"}]`, `names must differ`},
		{"POST", "/populate", `{"name":"x"}`, `it is of type object; it must be a list`},
		{"POST", "/proxies/p/toxics", `{"type":"latency","latency":100}`, `write "attributes": {"latency": ...}`},
		{"POST", "/proxies/p/toxics", `{"type":"latency","attributes":{"lattency":100}}`, `field "lattency" is not known; known are latency, jitter`},
		{"POST", "/proxies/p/toxics", `{"type":"latency","toxicitty":1}`, `known are name, type, stream, toxicity, attributes`},
		{"POST", "/proxies/p/toxics", `{"type":"latency","name":".."}`, `invalid name`},
		{"PATCH", "/proxies/p/toxics/slow", `{"jitter":5}`, `belongs into "attributes"`},
		{"PATCH", "/proxies/p/toxics/slow", `{"stream":"upstream"}`, `cannot become "upstream"`},
		{"PATCH", "/proxies/p/toxics/slow", `{"attributes":{"latency":1.5}}`, `it must be a whole number`},
	} {
		status, answer := u.do(c.method, c.path, c.body)
		var e apiError
		if err := json.Unmarshal([]byte(answer), &e); err != nil || status != 400 && status != 409 || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s %s %s:\n got %d %swant 400 with %s", c.method, c.path, c.body, status, answer, c.says)
		}
	}
	var all map[string]shownProxy
	u.must("GET", "/proxies", "", &all)
	if len(all) != 1 || len(all["p"].Toxics) != 1 {
		t.Errorf("what was refused has left %+v", all)
	}
}

// Toxics that come with a proxy act from its first connection, and a proxy
// without an address is for this machine only.
func TestToxicsOfANewProxy(t *testing.T) {
	u := newAPI(t)
	body := fmt.Sprintf(`{"name":"p","upstream":%q,"toxics":[{"type":"corrupt"},{"type":"latency","stream":"upstream","attributes":{"latency":30}}]}`, u.upstream)
	var p shownProxy
	u.must("POST", "/proxies", body, &p)
	if len(p.Toxics) != 2 || !strings.HasPrefix(p.Listen, "127.0.0.1:") {
		t.Fatalf("made %+v", p)
	}
	start := time.Now()
	u.echoes(u.dial(p.Listen), "x", "\x00")
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Errorf("took %v, want 30ms", took)
	}
	// A list that names the toxics again changes them; one without leaves them.
	conn := u.dial(p.Listen)
	populate := func(rest string, want int, act bool) {
		t.Helper()
		var made struct{ Proxies []shownProxy }
		u.must("POST", "/populate", fmt.Sprintf(`[{"name":"p","upstream":%q%s}]`, u.upstream, rest), &made)
		if got := made.Proxies[0]; len(got.Toxics) != want || got.Listen != p.Listen {
			t.Errorf("%s: %+v, want %d toxics at the same address", rest, got, want)
		}
		u.echoes(conn, "x", map[bool]string{true: "\x00", false: "x"}[act])
	}
	populate("", 2, true)
	populate(`,"toxics":[]`, 2, true)
	populate(`,"toxics":[{"type":"noop"}]`, 1, false)
}

// A change that fails leaves the proxy as it was, with its connections.
func TestFailedChangesRollBack(t *testing.T) {
	u := newAPI(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := u.proxy("p")
	u.must("POST", "/proxies/p/toxics", `{"type":"corrupt"}`, nil)
	conn := u.dial(address)
	u.echoes(conn, "x", "\x00")
	var before, after map[string]shownProxy
	u.must("GET", "/proxies", "", &before)
	for _, c := range []struct{ method, path, body string }{
		{"PATCH", "/proxies/p", fmt.Sprintf(`{"listen":%q}`, taken.Addr())},
		{"PATCH", "/proxies/p", fmt.Sprintf(`{"listen":%q,"upstream":"127.0.0.1:1"}`, taken.Addr())},
		{"PATCH", "/proxies/p", `{"upstream":"` + address + `"}`},
		{"POST", "/populate", fmt.Sprintf(`[{"name":"p","listen":%q,"upstream":"127.0.0.1:1"}]`, taken.Addr())},
		{"POST", "/populate", fmt.Sprintf(`[{"name":"p","listen":%q,"upstream":%q,"toxics":[{"type":"noop"},{"type":"noop"}]}]`, address, u.upstream)},
	} {
		if status, answer := u.do(c.method, c.path, c.body); status < 400 {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, answer)
		}
		u.echoes(conn, "x", "\x00")
	}
	u.must("GET", "/proxies", "", &after)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	// The port of the old address is not an obstacle.
	_, port, _ := net.SplitHostPort(address)
	u.must("PATCH", "/proxies/p", `{"listen":"0.0.0.0:`+port+`"}`, nil)
	u.echoes(u.dial(address), "x", "\x00")
	u.must("PATCH", "/proxies/p", `{"upstream":"127.0.0.1:1"}`, nil)
	u.must("GET", "/proxies", "", &after)
	if p := after["p"]; p.Upstream != "127.0.0.1:1" || !p.Enabled || len(p.Toxics) != 1 {
		t.Errorf("with another upstream it is %+v", p)
	}
}

// One proxy that cannot start does not keep the others from being reset.
func TestResetGoesOn(t *testing.T) {
	u := newAPI(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for i := range 8 {
		name, listen := fmt.Sprint("p", i), "127.0.0.1:0"
		if i == 4 {
			listen = taken.Addr().String()
		}
		u.must("POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":%q,"enabled":%v,"toxics":[{"type":"corrupt"}]}`, name, listen, u.upstream, i != 4), nil)
	}
	status, answer := u.do("POST", "/reset", "")
	if status != 500 || !strings.Contains(answer, `proxy \"p4\"`) {
		t.Errorf("the reset is answered with %d %s", status, answer)
	}
	var all map[string]shownProxy
	u.must("GET", "/proxies", "", &all)
	for name, p := range all {
		if len(p.Toxics) > 0 || p.Enabled != (name != "p4") {
			t.Errorf("after the reset %s is %+v", name, p)
		}
	}
}

// The list of types is what the API takes.
func TestToxicTypesAreTaken(t *testing.T) {
	listed := map[string]bool{}
	for _, kind := range ToxicTypes() {
		if newAttributes(kind.Type) == nil || kind.Doc == "" || listed[kind.Type] {
			t.Errorf("%+v", kind)
		}
		listed[kind.Type] = true
	}
	source, err := os.ReadFile("toxic.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`case "([a-z_]+)":`).FindAllStringSubmatch(string(source), -1) {
		if !listed[match[1]] {
			t.Errorf("type %q is not listed", match[1])
		}
	}
}

// Equal seeds draw alike for proxies of one name, and differently for others.
func TestSeeds(t *testing.T) {
	seeds := func(seed uint64) (s [2]uint64) {
		c := Config{}
		c.Gate.Seed = seed
		api := New(c)
		defer api.Close()
		for i := range s {
			g, err := api.Add(fmt.Sprint("p", i), "", "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			s[i] = g.Seed()
		}
		return s
	}
	if a, b, c := seeds(1), seeds(1), seeds(2); a != b || a == c || a[0] == a[1] {
		t.Errorf("the seeds are %v, %v and %v", a, b, c)
	}
}

// TestToxicsAct tells each type of toxic by what it does to "abc\n" there and back.
func TestToxicsAct(t *testing.T) {
	const whole = "abc\n"
	for _, c := range []struct {
		kind, attributes string
		want             string        // what comes back before the end or a timeout
		atLeast          time.Duration // until it has
		ends             bool
	}{
		{"noop", `{}`, whole, 0, false},
		{"latency", `{"latency":40,"jitter":5}`, whole, 35 * time.Millisecond, false},
		{"bandwidth", `{"rate":1}`, whole, 0, false},
		{"bandwidth", `{"rate":0}`, whole, 0, false},
		{"slow_close", `{"delay":1}`, whole, 0, false},
		{"timeout", `{"timeout":0}`, "", 0, false},
		{"timeout", `{"timeout":30}`, "", 30 * time.Millisecond, true},
		{"reset_peer", `{"timeout":20}`, "", 20 * time.Millisecond, true},
		{"slicer", `{"average_size":1,"size_variation":0,"delay":10000}`, whole, 40 * time.Millisecond, false},
		{"slicer", `{}`, whole, 0, false},
		{"limit_data", `{"bytes":2}`, "ab", 0, true},
		{"delay", `{"delay":30,"serial":true}`, whole, 30 * time.Millisecond, false},
		{"stop_reading", `{}`, "", 0, false},
		{"drop", `{}`, "", 0, false},
		{"retransmit", `{"share":1}`, "", 0, false},
		{"retransmit", `{}`, whole, 0, false},
		{"close_on_data", `{}`, "", 0, true},
		{"close_on_data", `{"reset":true}`, "", 0, true},
		{"corrupt", `{}`, "\x00\x00\x00\x00", 0, false},
		{"limit_bps", `{"bytes_per_second":100,"burst":1}`, whole, 30 * time.Millisecond, false},
		{"limit_time", `{"timeout":20,"idle":true}`, whole, 0, true},
		{"limit_bytes", `{"bytes":3}`, "abc", 0, true},
		{"smaller_parts", `{"max_size":2,"delay":10}`, whole, 20 * time.Millisecond, false},
		{"concatenate", `{"size":8,"give_up":20}`, whole, 20 * time.Millisecond, false},
		{"substitute", `{"pattern":"b","replacement":"XY"}`, "aXYc\n", 0, false},
		{"slow_open", `{"delay":30}`, whole, 30 * time.Millisecond, false},
	} {
		for _, stream := range []string{"upstream", "downstream"} {
			t.Run(fmt.Sprint(c.kind, c.attributes, stream), func(t *testing.T) {
				u := newAPI(t)
				address := u.proxy("p")
				u.must("POST", "/proxies/p/toxics", fmt.Sprintf(`{"name":"x","type":%q,"stream":%q,"attributes":%s}`, c.kind, stream, c.attributes), nil)
				start := time.Now()
				conn := u.dial(address)
				io.WriteString(conn, whole)
				if stream == "upstream" && (c.kind == "limit_data" || c.kind == "limit_bytes") {
					// The answer to the prefix may or may not be ahead of the end.
					if all, _ := io.ReadAll(conn); !strings.HasPrefix(c.want, string(all)) {
						t.Errorf("got %q, want at most %q", all, c.want)
					}
					return
				}
				got := make([]byte, len(c.want))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != c.want {
					t.Errorf("got %q and %v, want %q", got, err, c.want)
				}
				if !c.ends {
					conn.SetReadDeadline(time.Now().Add(40 * time.Millisecond))
				}
				var one [1]byte
				n, err := conn.Read(one[:])
				var timeout net.Error
				timedOut := errors.As(err, &timeout) && timeout.Timeout()
				if n != 0 || timedOut == c.ends {
					t.Errorf("then got %d bytes and %v (%v), want an end: %v", n, err, timeout, c.ends)
				}
				if took := time.Since(start); took < c.atLeast {
					t.Errorf("took %v, want at least %v", took, c.atLeast)
				}
				u.must("DELETE", "/proxies/p/toxics/x", "", nil)
				u.echoes(u.dial(address), "restored", "restored")
			})
		}
	}
}

func TestUpdatingAProxy(t *testing.T) {
	u := newAPI(t)
	address := u.proxy("p")
	conn := u.dial(address)
	u.echoes(conn, "x", "x")
	u.must("POST", "/proxies/p/toxics", `{"type":"corrupt"}`, nil)
	u.echoes(conn, "x", "\x00")

	var p shownProxy
	u.must("PATCH", "/proxies/p", `{"enabled":false}`, &p)
	if p.Enabled || len(p.Toxics) != 1 || p.Listen != address {
		t.Errorf("disabled, it is %+v", p)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a disabled proxy accepts")
	}
	u.must("POST", "/proxies/p", `{"enabled":true}`, nil)
	conn = u.dial(address)
	u.echoes(conn, "x", "\x00")

	// Other addresses end connections and keep toxics.
	u.must("PATCH", "/proxies/p", `{"listen":"127.0.0.1:0"}`, &p)
	if n, _ := conn.Read(make([]byte, 1)); n != 0 {
		t.Error("a connection has survived a change of address")
	}
	if p.Listen == address || !p.Enabled {
		t.Errorf("moved, it is %+v", p)
	}
	u.echoes(u.dial(p.Listen), "x", "\x00")
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the old address accepts")
	}

	u.must("PATCH", "/proxies/p", `{"accepting":false}`, &p)
	if p.Accepting == nil || *p.Accepting {
		t.Errorf("not accepting, it is %+v", p)
	}
	waiting := u.dial(p.Listen)
	u.must("POST", "/reset", "", nil)
	u.echoes(waiting, "served", "served")
	var all map[string]shownProxy
	u.must("GET", "/proxies", "", &all)
	if want := (shownProxy{Name: "p", Listen: p.Listen, Upstream: u.upstream, Enabled: true, Toxics: []map[string]any{}}); !reflect.DeepEqual(all["p"], want) {
		t.Errorf("reset, it is %+v, want %+v", all["p"], want)
	}

	var list []map[string]any
	u.must("GET", "/proxies/p/connections", "", &list)
	if len(list) != 2 || list[0]["client"] == "" {
		t.Errorf("connections are %v", list)
	}
	var closed map[string]int
	u.must("DELETE", "/proxies/p/connections?count=1&reset=true", "", &closed)
	if closed["closed"] != 1 {
		t.Errorf("closed %v", closed)
	}
}

func TestGoAPI(t *testing.T) {
	u := newAPI(t)
	g, err := u.api.Add("p", "127.0.0.1:0", u.upstream)
	if err != nil {
		t.Fatal(err)
	}
	if u.api.Gate("p") != g || u.api.Gate("q") != nil {
		t.Error("Gate does not find what was added")
	}
	if _, err := u.api.Add("p", "127.0.0.1:0", u.upstream); err == nil {
		t.Error("two gates of one name")
	}
	u.echoes(u.dial(g.Addr()), "x", "x")
	if err := u.api.Populate(strings.NewReader(fmt.Sprintf(`[{"name":"q","listen":"127.0.0.1:0","upstream":%q}]`, u.upstream))); err != nil {
		t.Fatal(err)
	}
	u.echoes(u.dial(u.api.Gate("q").Addr()), "x", "x")
	if err := u.api.Populate(strings.NewReader(`[{"name":"r"}]`)); err == nil {
		t.Error("a list with a missing field was taken")
	}
	if err := u.api.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := u.api.Add("late", "127.0.0.1:0", u.upstream); err == nil {
		t.Error("a closed API has added a gate")
	}
}

// FuzzBodies sends anything as the body of each call that reads one: it must be
// answered in JSON, and never by a server error but for addresses that do not work.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"name":"x","upstream":"y","enabled":false}`, `[{"name":"x","upstream":"y","enabled":false}]`,
		`{"type":"latency","attributes":{"latency":1,"jitter":2},"toxicity":0.5,"stream":"upstream"}`,
		`{"type":"slicer","attributes":{"average_size":1e3}}`, `{"type":"substitute","attributes":{"pattern":"("}}`,
		`{"attributes":null}`, `{"attributes":7}`, `{"type":"bandwidth","attributes":{"rate":9223372036854775807}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		api := New(Config{})
		defer api.Close()
		if _, err := api.create(settings{Name: "p", Listen: "127.0.0.1:0", Upstream: "127.0.0.1:1"}, nil); err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"POST /proxies/p/toxics", "PATCH /proxies/p/toxics/latency_upstream"} {
			method, path, _ := strings.Cut(call, " ")
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
			if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
				t.Errorf("%s %q: %d %s", call, body, w.Code, w.Body)
			}
		}
		// Not enabled, or it would open ports of the fuzzer's choice.
		var list []settings
		if json.Unmarshal([]byte(body), &list) != nil {
			return
		}
		for i := range list {
			list[i].Enabled = false
		}
		quiet, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest("POST", "/populate", bytes.NewReader(quiet)))
		if !json.Valid(w.Body.Bytes()) || w.Code == 0 {
			t.Errorf("populate %s: %d %s", quiet, w.Code, w.Body)
		}
	})
}
