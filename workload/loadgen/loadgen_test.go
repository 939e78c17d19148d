package loadgen

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

const second = unit.Duration(time.Second)

func ptr[T any](v T) *T { return &v }

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// respond listens and lets answer talk on each connection, with what came first.
func respond(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	return "http://" + peer.Serve(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err == nil {
			answer(c)
		}
	}) + "/"
}

// say answers each request with the text, and closes when the client does.
func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		for err := error(nil); err == nil; _, err = c.Read(buf) {
			io.WriteString(c, text)
		}
	}
}

func sayAndClose(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// closedPort returns the address of a port that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// once sends n requests one after another and returns their statistics.
func once(t *testing.T, n int, r load.Request, timeout time.Duration) result.LoadStats {
	t.Helper()
	profile := load.Profile{Timeout: unit.Duration(timeout), Requests: []load.Request{r}, Phases: []load.Phase{{Users: 1, Count: n}}}
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report.Total
}

func TestOutcomeClasses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	for _, c := range []struct {
		name   string
		url    string
		class  outcome.Class
		status string
		bytes  int64
	}{
		{"answer", respond(t, say(ok)), outcome.OK, "200", 2},
		{"interim answer", respond(t, say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok)), outcome.OK, "200", 2},
		{"no content", respond(t, say("HTTP/1.1 204 No Content\r\n\r\n")), outcome.OK, "204", 0},
		{"chunks", respond(t, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n")), outcome.OK, "200", 13},
		{"body until the end", respond(t, sayAndClose("HTTP/1.0 200 OK\r\n\r\nabc")), outcome.OK, "200", 3},
		{"bare line feeds", respond(t, say("HTTP/1.1 200\nContent-Length: 1\n\nx")), outcome.OK, "200", 1},
		{"error status", respond(t, say("HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")), outcome.HTTPError, "503", 0},
		{"refused", closedPort(t), outcome.ConnectionError, "", 0},
		{"closed at once", respond(t, sayAndClose("")), outcome.ConnectionError, "", 0},
		{"closed within the header", respond(t, sayAndClose("HTTP/1.1 200 OK\r\nConte")), outcome.ConnectionError, "", 0},
		{"closed within the body", respond(t, sayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")), outcome.ConnectionError, "", 0},
		{"reset", respond(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }), outcome.ConnectionError, "", 0},
		{"unknown host", "http://host.invalid/", outcome.ConnectionError, "", 0},
		{"hanging", respond(t, say("")), outcome.Timeout, "", 0},
		{"hanging within the body", respond(t, say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")), outcome.Timeout, "", 0},
		{"garbage", respond(t, say("garbage")), outcome.Malformed, "", 0},
		{"garbage of one line", respond(t, sayAndClose("\x00\x01\xff\n")), outcome.Malformed, "", 0},
		{"bad status", respond(t, say("HTTP/1.1 2x0 OK\r\n\r\n")), outcome.Malformed, "", 0},
		{"bad header", respond(t, say("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")), outcome.Malformed, "", 0},
		{"bad length", respond(t, say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")), outcome.Malformed, "", 0},
		{"two lengths", respond(t, say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")), outcome.Malformed, "", 0},
		{"bad chunk", respond(t, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")), outcome.Malformed, "", 0},
		{"endless header", respond(t, say("HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 20000))), outcome.Malformed, "", 0},
		{"endless line", respond(t, say("HTTP/1.1 200 "+strings.Repeat("A", 1<<20))), outcome.Malformed, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := 10 * time.Second
			if c.class == outcome.Timeout {
				timeout = 200 * time.Millisecond
			}
			got := once(t, 2, load.Request{URL: c.url}, timeout)
			if got.Outcomes[c.class] != 2 || len(got.Outcomes) != 1 || got.Sent != 2 {
				t.Errorf("outcomes are %v, sent %d, want 2 %s", got.Outcomes, got.Sent, c.class)
			}
			if c.status != "" && (got.Statuses[c.status] != 2 || got.Bytes != 2*c.bytes) {
				t.Errorf("statuses are %v with %d bytes, want 2 of %s with %d", got.Statuses, got.Bytes, c.status, 2*c.bytes)
			}
		})
	}
}

func TestTimeoutCountsFromTheSendOnAReusedConnection(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 4 {
			<-r.Context().Done() // hangs
			return
		}
		time.Sleep(400 * time.Millisecond)
	})
	// The connection's deadline is older than the later requests': it must not
	// cut them off.
	got := once(t, 4, load.Request{URL: url}, time.Second)
	if got.Outcomes[outcome.OK] != 3 || got.Outcomes[outcome.Timeout] != 1 {
		t.Fatalf("outcomes are %v, want 3 ok and 1 timeout", got.Outcomes)
	}
	if got.Latency.Max < 1 {
		t.Errorf("the timeout came after %v s, want 1", got.Latency.Max)
	}
}

func TestOpenLoopSendsWhatIsDue(t *testing.T) {
	var hits atomic.Int64
	ids := sync.Map{}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		ids.Store(r.Header.Get("X-Request-ID"), true)
	})
	profile := load.Profile{
		Requests: []load.Request{{URL: url, Name: "a"}, {URL: url + "/b", Name: "b", Weight: 3}},
		Phases: []load.Phase{
			{Name: "even", Duration: second / 2, Rate: 200},
			{Name: "burst", Duration: second / 5, Rate: 50, Burst: 3},
			{Name: "each", Rate: 100, Count: 5, Burst: 2, Each: true},
		},
	}
	var observed atomic.Int64
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(measure.Outcome) { observed.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{100, 30, 20} {
		if s := report.Phases[i].Stats; s.Arrivals != want || s.Sent != want || s.Outcomes[outcome.OK] != want {
			t.Errorf("phase %q has %d arrivals, %d sent, outcomes %v; want %d", report.Phases[i].Name, s.Arrivals, s.Sent, s.Outcomes, want)
		}
	}
	distinct := 0
	ids.Range(func(any, any) bool { distinct++; return true })
	if hits.Load() != 150 || observed.Load() != 150 || distinct != 150 || report.Total.Sent != 150 || report.Incomplete {
		t.Errorf("hits %d, observed %d, ids %d, report %+v; want 150 of all", hits.Load(), observed.Load(), distinct, report.Total)
	}
	if a, b := report.Requests[0].Stats.Sent, report.Requests[1].Stats.Sent; a+b != 150 || b < 70 {
		t.Errorf("request a was sent %d times, b %d", a, b)
	}
	if report.Elapsed < 740*time.Millisecond {
		t.Errorf("the load took %v, less than its phases", report.Elapsed)
	}
}

func TestSameSeedSendsTheSame(t *testing.T) {
	run := func(seed uint64) []string {
		var mu sync.Mutex
		var seen []string
		url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, r.URL.Path+" "+r.Header.Get("X-Request-ID"))
		})
		profile := load.Profile{
			Requests: []load.Request{{URL: url + "/a"}, {URL: url + "/b"}},
			Phases:   []load.Phase{{Rate: 500, Count: 50, Arrivals: load.Poisson}, {Users: 1, Count: 20}},
		}
		if _, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{Seed: seed}, nil); err != nil {
			t.Fatal(err)
		}
		slices.Sort(seen)
		return seen
	}
	if a, b := run(1), run(1); !slices.Equal(a, b) {
		t.Errorf("one seed sends %v and %v", a, b)
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("seeds make no difference")
	}
}

func TestSlowAnswersDoNotDelayAnOpenLoop(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		if waiting.Add(1) == 20 {
			close(release)
		}
		<-release
	})
	// Every request waits for the twentieth: a closed loop would never end.
	s := generate(t, new(Generator), url, load.Phase{Rate: 200, Count: 20}).Total
	if s.Outcomes[outcome.OK] != 20 {
		t.Errorf("outcomes are %v, want 20 ok", s.Outcomes)
	}
}

func TestArrivalsBeyondMaxInFlightAreDropped(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	profile := load.Profile{MaxInFlight: 3, Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Rate: 1000, Count: 10}}}
	var dropped atomic.Int64
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(o measure.Outcome) {
		if o.Class == outcome.Dropped && dropped.Add(1) == 7 {
			close(release)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Total; s.Arrivals != 10 || s.Sent != 3 || s.Dropped != 7 || s.Outcomes[outcome.Dropped] != 7 {
		t.Errorf("report is %+v, want 3 sent and 7 dropped", s)
	}
}

func TestUsersKeepTheirBeat(t *testing.T) {
	var mu sync.Mutex
	var starts []time.Duration
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	const beat = 20 * time.Millisecond
	profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Users: 2, Count: 20, Every: unit.Duration(beat)}}}
	_, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(o measure.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		starts = append(starts, o.Intended)
	})
	if err != nil || len(starts) != 20 {
		t.Fatalf("requests were due at %v (%v), want 20", starts, err)
	}
	slices.Sort(starts)
	for i, at := range starts {
		if at%beat != 0 || i >= 2 && at == starts[i-2] || i < 2 && at != 0 {
			t.Errorf("requests were due at %v, want at most two on each beat, and two at once", starts)
			break
		}
	}
}

func TestRequestsKeepTheirBeatInAnOpenLoop(t *testing.T) {
	var mu sync.Mutex
	sent := map[int][]int{}
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	profile := load.Profile{
		Requests: []load.Request{{Name: "often", URL: url}, {Name: "seldom", URL: url, Beat: &load.Beat{Every: 3, Burst: 2, Count: 2}}},
		Phases:   []load.Phase{{Rate: 100, Count: 10, Burst: 2, Each: true}},
	}
	_, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(o measure.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		sent[o.Request] = append(sent[o.Request], int(o.Intended/(10*time.Millisecond)))
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sent[0])
	slices.Sort(sent[1])
	if !slices.Equal(sent[0], []int{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9}) || !slices.Equal(sent[1], []int{0, 0, 0, 0, 3, 3, 3, 3}) {
		t.Errorf("the requests were due at arrivals %v", sent)
	}
}

func TestBeatsThatFindTheUserWaitingAreSkipped(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(150 * time.Millisecond) })
	var due []time.Duration
	profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Users: 1, Count: 3, Every: second / 10}}}
	_, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(o measure.Outcome) { due = append(due, o.Intended) })
	if err != nil || len(due) != 3 || due[1]-due[0] < 200*time.Millisecond || due[2]-due[1] < 200*time.Millisecond || (due[1]-due[0])%(100*time.Millisecond) != 0 {
		t.Errorf("requests were due at %v (%v), want every second beat", due, err)
	}
}

func TestUsersAreDealtTheirRequests(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	profile := load.Profile{
		Requests: []load.Request{{URL: url + "/a"}, {URL: url + "/b"}},
		Phases:   []load.Phase{{Duration: second / 2, Users: 4, Every: 10 * second, Each: true}},
	}
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil)
	if err != nil || report.Requests[0].Stats.Sent != 2 || report.Requests[1].Stats.Sent != 0 {
		t.Errorf("%v, report %+v; want 2 of the first request at once, and the second half a beat later", err, report.Requests)
	}
}

func TestThinkTimeAndRampOfUsers(t *testing.T) {
	var now, most atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
	})
	profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{
		{Duration: second / 2, Users: 1, UsersTo: ptr(8), Think: dist.Fixed(time.Millisecond)},
		{Duration: second / 4, Users: 8, UsersTo: ptr(0), Think: dist.Fixed(time.Millisecond)},
	}}
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil)
	if err != nil || most.Load() < 5 || most.Load() > 16 || report.Total.Outcomes[outcome.OK] != report.Total.Sent || report.Total.Sent < 50 {
		t.Errorf("%v: at most %d at once, %v", err, most.Load(), report.Total)
	}
}

func TestTheNextReplicaIsTriedWhereOneRefuses(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/buy" || r.Method != "POST" {
			w.WriteHeader(404)
		}
	})
	svc := topology.NewService("shop")
	svc.Endpoints[0].Path, svc.Endpoints[0].Method = "/buy", "POST"
	target := runner.LoadTarget{
		System: &topology.System{Name: "s", Services: []topology.Service{svc}},
		URLs:   map[string][]string{"shop": {closedPort(t), url, closedPort(t)}},
	}
	// The request is made up: the system's entry at its first endpoint.
	report, err := new(Generator).Load(t.Context(), load.Profile{Phases: []load.Phase{{Users: 4, Count: 40}}}, target, nil)
	if err != nil || report.Total.Outcomes[outcome.OK] != 40 {
		t.Errorf("%v: %+v, want 40 ok", err, report)
	}
	target.URLs["shop"] = []string{closedPort(t), closedPort(t)}
	report, err = new(Generator).Load(t.Context(), load.Profile{Phases: []load.Phase{{Users: 1, Count: 3}}}, target, nil)
	if err != nil || report.Total.Outcomes[outcome.ConnectionError] != 3 {
		t.Errorf("%v: %+v, want 3 connection errors", err, report)
	}
}

func TestChainsAreSampledAndResolved(t *testing.T) {
	var mu sync.Mutex
	bodies := map[string]int{}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies[r.Method+" "+r.URL.Path+" "+string(body)]++
		if strings.Contains(string(body), "b:1") {
			io.WriteString(w, `{"response":[{}]}`)
			return
		}
		io.WriteString(w, `{"response":[]}`)
	})
	target := runner.LoadTarget{URLs: map[string][]string{"a-1": {url}, "b": {"http://b:1"}}, Seed: 3}
	chain := `{"designation":"a_1","probability":100,"routes":[{"designation":"b","probability":50}]}`
	profile := load.Profile{Requests: []load.Request{{Chain: chain}}, Phases: []load.Phase{{Rate: 1000, Count: 20, Burst: 2}}}
	report, err := new(Generator).Load(t.Context(), profile, target, nil)
	if err != nil || report.Total.Outcomes[outcome.OK] != 40 {
		t.Fatalf("%v: %+v", err, report)
	}
	if len(bodies) != 2 {
		t.Fatalf("bodies are %v, want one with and one without b", bodies)
	}
	for body, n := range bodies {
		if !strings.HasPrefix(body, `POST / {"designation":"`+url+`/"`) || n%2 != 0 || n < 8 || strings.Contains(body, "b:1") != strings.Contains(body, `"http://b:1/"`) {
			t.Errorf("%d times %s", n, body)
		}
	}
}

func TestWhatTheTargetHasNotIsRefused(t *testing.T) {
	target := runner.LoadTarget{URLs: map[string][]string{"cart": {"http://127.0.0.1:1"}}}
	for _, r := range []load.Request{{Service: "kart"}, {Chain: `{"designation":"kart"}`}, {Chain: `{"x":1}`}, {Service: "cart", URL: "http://x"}} {
		profile := load.Profile{Requests: []load.Request{r}, Phases: []load.Phase{{Rate: 1, Count: 1}}}
		if report, err := new(Generator).Load(t.Context(), profile, target, nil); err == nil || report != nil {
			t.Errorf("%+v: no error but %+v", r, report)
		} else if r.Service == "kart" && !strings.Contains(err.Error(), `"kart"`) {
			t.Errorf("%v names no service", err)
		}
	}
	if _, err := new(Generator).Load(t.Context(), load.Profile{Phases: []load.Phase{{Rate: 1, Count: 1}}}, runner.LoadTarget{}, nil); err == nil {
		t.Error("a load of nothing passes")
	}
}

// descriptors returns how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors are counted on Linux only")
	}
	return len(files)
}

func TestCancelEndsAtOnceAndLeavesNothing(t *testing.T) {
	for name, phase := range map[string]load.Phase{
		"open":   {Rate: 500},
		"closed": {Users: 20},
		"beat":   {Users: 20, Every: second / 100},
	} {
		t.Run(name, func(t *testing.T) {
			var waiting atomic.Int64
			gone := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			url := respond(t, func(c net.Conn) {
				if waiting.Add(1) == 10 {
					cancel()
				}
				<-gone
			})
			files, routines := descriptors(t), runtime.NumGoroutine()
			began := time.Now()
			profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Duration: second / 1000, Rate: 1000}, phase}}
			report, err := new(Generator).Load(ctx, profile, runner.LoadTarget{}, nil)
			elapsed := time.Since(began)
			close(gone)
			if !errors.Is(err, context.Canceled) || report == nil || !report.Incomplete {
				t.Fatalf("error %v, report %+v", err, report)
			}
			s := report.Total
			if s.Outcomes[outcome.Cancelled] < 10 || s.Outcomes[outcome.Cancelled] != s.Arrivals || elapsed > 5*time.Second {
				t.Errorf("after %v: %+v, want all cancelled", elapsed, s)
			}
			// Those of the server go when they notice.
			for range 500 {
				if descriptors(t) <= files && runtime.NumGoroutine() <= routines {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("descriptors %d, before %d; goroutines %d, before %d", descriptors(t), files, runtime.NumGoroutine(), routines)
		})
	}
}

func TestControlChangesARunningLoad(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		phase  load.Phase
		change func(*Control)
	}{
		"rate from 0": {load.Phase{Rate: 1000, Count: 60}, func(c *Control) { c.SetRate(1) }},
		"rate":        {load.Phase{Rate: 0.001, Count: 60}, func(c *Control) { c.SetRate(1e6) }},
		"burst":       {load.Phase{Rate: 100, Count: 60}, func(c *Control) { c.SetBurst(20) }},
		"users":       {load.Phase{Users: 1, Count: 60, Think: dist.Fixed(time.Millisecond)}, func(c *Control) { c.SetUsers(7) }},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Generator{Control: NewControl()}
			switch name {
			case "rate from 0":
				g.Control.SetRate(0)
			case "users":
				g.Control.SetUsers(0)
			}
			timer := time.AfterFunc(50*time.Millisecond, func() { c.change(g.Control) })
			defer timer.Stop()
			profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{c.phase}}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			report, err := g.Load(ctx, profile, runner.LoadTarget{}, nil)
			if err != nil {
				t.Fatalf("%v: %+v", err, report.Total)
			}
			if n := report.Total.Sent; name == "burst" && n < 200 || name != "burst" && n != 60 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestConnectionsAreKeptOrNot(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
	})
	for _, c := range []struct {
		close bool
		want  int
	}{{false, 1}, {true, 10}} {
		clear(from)
		profile := load.Profile{NoKeepAlive: c.close, Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Users: 1, Count: 10}}}
		if _, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil); err != nil || len(from) != c.want {
			t.Errorf("NoKeepAlive %v: %d connections for 10 requests (%v), want %d", c.close, len(from), err, c.want)
		}
	}
}

// A connection that the server closed while it lay idle is not a failure.
func TestIdleConnectionsThatWereClosedAreReplaced(t *testing.T) {
	url := respond(t, sayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	s := generate(t, new(Generator), url, load.Phase{Users: 1, Count: 5, Think: dist.Fixed(50 * time.Millisecond)}).Total
	if s.Outcomes[outcome.OK] != 5 {
		t.Errorf("outcomes are %v, want 5 ok", s.Outcomes)
	}
}

func TestBodiesAndHeadersAreSent(t *testing.T) {
	var mu sync.Mutex
	var lengths []int
	var last *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		lengths, last = append(lengths, int(n)), r
	})
	for _, size := range []int{1, http1.SmallBody, http1.SmallBody + 1, 1 << 20, 16 << 20} {
		if s := once(t, 1, load.Request{URL: url, BodySize: unit.Size(size)}, 20*time.Second); s.Outcomes[outcome.OK] != 1 || lengths[len(lengths)-1] != size {
			t.Errorf("a body of %d bytes arrived with %d: %v", size, lengths[len(lengths)-1], s.Outcomes)
		}
	}
	spans := span.NewBuffer(1)
	profile := load.Profile{
		Requests: []load.Request{{URL: url + "/p?q=1", Body: "text", Method: "PUT", Headers: map[string]string{"X-A": "1", "host": "other", "x-request-id": "mine"}}},
		Phases:   []load.Phase{{Users: 1, Count: 1}},
	}
	if _, err := (&Generator{Spans: spans, TraceSample: 1}).Load(t.Context(), profile, runner.LoadTarget{}, nil); err != nil {
		t.Fatal(err)
	}
	if last.Method != "PUT" || last.RequestURI != "/p?q=1" || last.Host != "other" || last.Header.Get("X-A") != "1" || !slices.Equal(last.Header.Values("X-Request-ID"), []string{"mine"}) {
		t.Errorf("the request arrived as %+v", last)
	}
	profile.Requests[0].Headers = nil
	if _, err := (&Generator{Spans: spans, TraceSample: 1}).Load(t.Context(), profile, runner.LoadTarget{}, nil); err != nil {
		t.Fatal(err)
	}
	got := spans.Fetch(span.Query{}).Spans
	if len(got) != 2 {
		t.Fatalf("%d spans of 2 requests", len(got))
	}
	root := &got[1]
	if want := "00-" + root.Trace.String() + "-" + root.ID.String() + "-01"; last.Header.Get("traceparent") != want || root.Trace != span.NewTraces(0).Of(last.Header.Get("X-Request-ID")) {
		t.Errorf("traceparent %q, want %q", last.Header.Get("traceparent"), want)
	}
	if root.Kind != span.Root || root.Status != 200 || root.Class != outcome.OK || root.Method != "PUT" || root.Duration <= 0 {
		t.Errorf("the root is %+v", root)
	}
	if got[0].Request != "mine" || got[0].ID == root.ID {
		t.Errorf("a request with an id of the file has the span %+v", got[0])
	}
}

// TestHTTPS loads a server whose certificate no authority of this machine has signed.
func TestHTTPS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for name, tt := range map[string]struct {
		tls *load.TLS
		url string
		ok  int64
	}{
		"unasked":                   {nil, s.URL, 0},
		"with its authority":        {&load.TLS{CA: ca}, s.URL, 3},
		"of another name":           {&load.TLS{CA: ca}, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), 0},
		"unchecked":                 {&load.TLS{Insecure: true}, s.URL, 3},
		"of another name unchecked": {&load.TLS{Insecure: true}, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), 3},
	} {
		t.Run(name, func(t *testing.T) {
			profile := load.Profile{TLS: tt.tls, Requests: []load.Request{{URL: tt.url}}, Phases: []load.Phase{{Users: 1, Count: 3}}}
			report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := report.Total.Outcomes; got[outcome.OK] != tt.ok || tt.ok == 0 && got[outcome.ConnectionError] != 3 {
				t.Errorf("outcomes are %v, want %d ok", got, tt.ok)
			}
			if tt.ok == 0 && (len(report.Failures) != 1 || !strings.Contains(report.Failures[0].Example.Text, "x509: ")) {
				t.Errorf("the failures are %+v", report.Failures)
			}
		})
	}
	profile := load.Profile{TLS: &load.TLS{CA: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, Requests: []load.Request{{URL: s.URL}}, Phases: []load.Phase{{Users: 1, Count: 3}}}
	if _, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil); err == nil || !strings.Contains(err.Error(), "no valid certificate") {
		t.Errorf("with a broken certificate: %v", err)
	}
}

// TestRedirectsAreAnswers loads a server that sends clients elsewhere: nobody comes.
func TestRedirectsAreAnswers(t *testing.T) {
	var visits atomic.Int64
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	got := once(t, 3, load.Request{URL: url, Method: "POST", Body: "x"}, 5*time.Second)
	if got.Statuses["307"] != 3 || visits.Load() != 0 {
		t.Errorf("statuses are %v, and %d requests came elsewhere", got.Statuses, visits.Load())
	}
}

func TestReportAgreesWithWhatWasObserved(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { time.Sleep(3 * time.Millisecond) })
	var mu sync.Mutex
	var seen []float64
	profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{{Users: 5, Count: 600}}}
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, func(o measure.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, o.Latency.Seconds())
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(seen)
	for q, got := range map[float64]float64{0: report.Total.Latency.Min, 0.5: report.Total.Latency.P50, 0.99: report.Total.Latency.P99, 1: report.Total.Latency.Max} {
		at := max(int(math.Ceil(q*float64(len(seen))))-1, 0)
		if want := seen[at]; math.Abs(got-want) > want*0.008 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h, err := hdrhistogram.Decode([]byte(report.Total.Histogram))
	if err != nil || h.TotalCount() != 600 {
		t.Errorf("the histogram reads back with %v (%v)", h, err)
	}
	if want := 600 / report.Elapsed.Seconds(); math.Abs(report.Total.Rate-want) > 1e-6*want {
		t.Errorf("the rate is %v, want %v", report.Total.Rate, want)
	}
}

func TestProcessorsArePutBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	var during atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) { during.CompareAndSwap(0, int64(runtime.GOMAXPROCS(0))) })
	generate(t, &Generator{Processors: before + 1}, url, load.Phase{Users: 1, Count: 2})
	if during.Load() != int64(before+1) || runtime.GOMAXPROCS(0) != before {
		t.Errorf("GOMAXPROCS was %d, then %d, then %d", before, during.Load(), runtime.GOMAXPROCS(0))
	}
}
