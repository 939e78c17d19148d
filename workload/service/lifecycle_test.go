package service

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func TestNewRefuses(t *testing.T) {
	for _, kind := range []topology.Kind{topology.MongoDB, topology.MySQL, topology.Redis} {
		_, err := New(Config{Service: topology.Service{Name: "db", Kind: kind}})
		if err == nil || !strings.Contains(err.Error(), string(kind)) || !strings.Contains(err.Error(), `"db"`) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a service without a name was made")
	}
	if _, err := New(Config{Service: topology.NewService("a"), Peers: map[string][]string{"b": {"b:80"}}}); err == nil {
		t.Error("a peer that is not a base URL was taken")
	}
}

// serving is a service whose end the test decides.
type serving struct {
	*Service
	url    string
	cancel context.CancelFunc
	done   chan error
}

func serve(t *testing.T, cfg Config) *serving {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, cfg, ln)
}

func serveOn(t *testing.T, cfg Config, ln net.Listener) *serving {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &serving{s, "http://" + ln.Addr().String(), cancel, make(chan error, 1)}
	t.Cleanup(cancel)
	go func() { v.done <- s.Serve(ctx, ln) }()
	return v
}

// end stops the service and reports how long that took.
func (v *serving) end(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	v.cancel()
	select {
	case err := <-v.done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve did not return")
	}
	if n := v.working.Load(); n != 0 {
		t.Errorf("%d pieces of work were left", n)
	}
	if n := v.held.Load() + v.served.Load().replica.Memory.Reserved(); n != 0 {
		t.Errorf("%d bytes were left", n)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(v.url, "http://")); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
	return time.Since(start)
}

func TestServeGivesTheGrace(t *testing.T) {
	service := topology.NewService("slow", topology.Step{Work: &topology.Work{Sleep: dist.Fixed(200 * time.Millisecond)}})
	v := serve(t, Config{Service: service, Grace: 10 * time.Second})
	got := make(chan error, 1)
	go func() {
		r, err := tryRequest("GET", v.url+"/", nil, nil)
		if err == nil && r.status != 200 {
			err = fmt.Errorf("status %d", r.status)
		}
		got <- err
	}()
	waitForMetric(t, v.Service, `microsim_inflight_requests{service="slow"}`, "1")
	if took := v.end(t); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := <-got; err != nil {
		t.Errorf("a request in flight got %v", err)
	}
}

// TestServeEndsEverything stops a service while requests wait in every way a
// request can wait.
func TestServeEndsEverything(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	endpoint := func(path string, w topology.Work) topology.Endpoint {
		return topology.NewEndpoint(path, topology.Step{Work: &w})
	}
	calling := topology.NewEndpoint("/call", topology.CallTo("silent"))
	service := topology.Service{Name: "all", Kind: topology.Base, Memory: 1 << 20, Endpoints: []topology.Endpoint{
		endpoint("/sleep", topology.Work{Sleep: dist.Fixed(time.Hour)}),
		endpoint("/cpu", topology.Work{CPU: dist.Fixed(time.Hour)}),
		endpoint("/units", topology.Work{CPUUnits: 1e6}),
		endpoint("/memory", topology.Work{Memory: 1 << 20, Sleep: dist.Fixed(time.Hour)}),
		topology.NewEndpoint("/parallel", topology.Step{Parallel: []topology.Step{{Work: &topology.Work{Sleep: dist.Fixed(time.Hour)}}, topology.CallTo("silent")}}),
		calling, topology.NewEndpoint("/hang"),
	}}
	v := serve(t, Config{Service: service, Grace: 50 * time.Millisecond, Peers: map[string][]string{"silent": {"http://" + silent.Addr().String()}}})
	f := hang()
	f.Target.Endpoint = "/hang"
	if err := v.AddFault("h", f, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for _, e := range service.Endpoints {
		clients.Go(func() {
			if r, err := tryRequest("GET", v.url+e.Path, nil, nil); err == nil {
				t.Errorf("%s was answered %d", e.Path, r.status)
			}
		})
	}
	for _, chain := range []string{
		`{"designation":"all","routes":[{"designation":"silent"}]}`,
		`{"designation":"all","faults":{"before":[{"type":"cpu","args":{"cores":1.5,"duration":3600000}}]}}`,
	} {
		clients.Go(func() {
			if r, err := tryRequest("POST", v.url+"/", strings.NewReader(chain), nil); err == nil {
				t.Errorf("%s was answered %d", chain, r.status)
			}
		})
	}
	idle, err := net.Dial("tcp", strings.TrimPrefix(v.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if r := post(t, v.url+"/", `{"designation":"all","faults":{"before":[{"type":"memory-leak","args":{"size":1,"duration":3600000}}]}}`); r.status != 200 {
		t.Errorf("leaking: %d", r.status)
	}
	waitForMetric(t, v.Service, `microsim_inflight_requests{service="all"}`, fmt.Sprint(len(service.Endpoints)+2))
	if took := v.end(t); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	clients.Wait()
	if len(v.Faults()) != 0 {
		t.Error("faults were left")
	}
}

func TestServeReportsALostListener(t *testing.T) {
	s, err := New(Config{Service: topology.NewService("a")})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := s.Serve(context.Background(), ln); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("got %v", err)
	}
}

func TestMemoryIsHeldAndFreed(t *testing.T) {
	service := topology.NewService("fat", topology.Step{Work: &topology.Work{Memory: 3 << 20}})
	service.Memory = 2 << 20
	v := serve(t, Config{Service: service, Limits: chain.Limits{Leak: 8 << 20}})
	held := `microsim_held_memory_bytes{service="fat"}`
	waitForMetric(t, v.Service, held, "2.097152e+06")
	if r := get(t, v.url+"/"); r.status != 200 {
		t.Errorf("got %d", r.status)
	}
	waitForMetric(t, v.Service, held, "2.097152e+06")
	leak := func(mb, ms int) string {
		return fmt.Sprintf(`{"designation":"fat","faults":{"before":[{"type":"memory-leak","args":{"size":%d,"duration":%d}}]}}`, mb, ms)
	}
	if r := post(t, v.url+"/", leak(6, 3600e3)); len(r.response(t).Errors) != 0 {
		t.Errorf("got %s", r.body)
	}
	waitForMetric(t, v.Service, held, "8.388608e+06")
	if r := post(t, v.url+"/", leak(3, 1)); r.status != 200 || len(r.response(t).Errors) != 1 || !strings.Contains(r.body, "8Mi") {
		t.Errorf("leaks past the bound: %d %s", r.status, r.body)
	}
	if r := get(t, v.url+"/"); r.status != 503 || !strings.Contains(r.body, "8Mi") {
		t.Errorf("a request past the bound: %d %s", r.status, r.body)
	}
	if r := post(t, v.url+"/", leak(2, 1)); len(r.response(t).Errors) != 0 {
		t.Errorf("got %s", r.body)
	}
	waitForMetric(t, v.Service, held, "8.388608e+06")
	v.end(t)
}

func TestPayloadIsExact(t *testing.T) {
	for size := range int64(300) {
		body, _ := payload(size)
		want := size
		if size == 0 {
			want = 15
		}
		if int64(len(body)) != want {
			t.Errorf("%d bytes, want %d", len(body), want)
		}
		if damaged := damage(body); len(damaged) != len(body) || string(damaged) == string(body) {
			t.Errorf("%q was damaged to %q", body, damaged)
		}
	}
}

// TestRunTimeFaultsHitTheirRate sends real requests and counts.
func TestRunTimeFaultsHitTheirRate(t *testing.T) {
	s, url := start(t, Config{Service: topology.NewService("a")})
	if err := s.AddFault("e", fault.Fault{Type: fault.Error, Probability: 0.3}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	failed := 0
	for range n {
		if get(t, url+"/").status == 500 {
			failed++
		}
	}
	// Five standard deviations of the binomial distribution are 72.
	if failed < 300-73 || failed > 300+73 {
		t.Errorf("%d of %d requests failed at 30 %%", failed, n)
	}
	if hits := s.Faults()[0].Hits; hits != int64(failed) {
		t.Errorf("%d hits were counted, %d requests failed", hits, failed)
	}
}

// TestOwnTransport sends the calls by a transport from outside.
func TestOwnTransport(t *testing.T) {
	callee := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeBody(w, 200, jsonType, []byte(`{"service":"b","address":"b","errors":[],"response":[]}`))
	}))
	defer callee.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	_, url := start(t, Config{Service: topology.NewService("a", topology.CallTo("b")), Peers: map[string][]string{"b": {callee.URL}}, Transport: transport})
	if r := get(t, url+"/"); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	if r := post(t, url+"/", `{"designation":"a","routes":[{"designation":"b"}]}`).response(t); len(r.Errors) != 0 || r.Response[0] == nil {
		t.Errorf("got %+v", r)
	}
}

// TestAClosedIdleConnectionIsNotUsed restarts the callee between calls, at the
// same address.
func TestAClosedIdleConnectionIsNotUsed(t *testing.T) {
	callee := serve(t, Config{Service: topology.NewService("b")})
	waitReady(t, callee.url)
	_, url := start(t, Config{Service: topology.NewService("a", topology.CallTo("b")), Peers: map[string][]string{"b": {callee.url}}})
	for range 3 {
		if r := get(t, url+"/"); r.status != 200 {
			t.Fatalf("got %+v", r)
		}
		callee.end(t)
		ln, err := net.Listen("tcp", strings.TrimPrefix(callee.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		callee = serveOn(t, Config{Service: topology.NewService("b")}, ln)
		waitReady(t, callee.url)
	}
	callee.end(t)
	if r := get(t, url+"/"); r.status != 502 || !strings.Contains(r.body, "connection_error") {
		t.Errorf("without a callee: %+v", r)
	}
}

func waitReady(t *testing.T, url string) {
	t.Helper()
	for get(t, url+"/readyz").status != 200 {
		time.Sleep(time.Millisecond)
	}
}

func TestAddFaultBounds(t *testing.T) {
	s, err := New(Config{Service: topology.NewService("a")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxFaults {
		if err := s.AddFault(fmt.Sprint(i), hang(), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddFault("more", hang(), time.Time{}); err == nil {
		t.Error("there is no bound")
	}
	if err := s.AddFault("0", fault.Fault{Type: fault.IO, Probability: 1, Args: fault.Args{Size: unit.Size(1)}}, time.Time{}); err != nil {
		t.Errorf("replacing a fault: %v", err)
	}
	s.Close()
	if err := s.AddFault("late", hang(), time.Time{}); err == nil {
		t.Error("a closed service took a fault")
	}
}

// Work that the machine refuses is told once: callers see a 500 each time, which does not
// say that the system is not to blame.
func TestWorkThatCannotBeDoneIsLogged(t *testing.T) {
	spec := topology.NewService("a")
	spec.Endpoints[0].Steps = []topology.Step{{Work: &topology.Work{IO: 1 << 10}}}
	var log bytes.Buffer
	v := serve(t, Config{Service: spec, TempDir: t.TempDir() + "/missing", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		resp, err := http.Get(v.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusInternalServerError {
			t.Errorf("answered %s", resp.Status)
		}
	}
	v.cancel()
	<-v.done
	if text := log.String(); strings.Count(text, "work cannot be done") != 1 || !strings.Contains(text, "no such file") {
		t.Errorf("the log says\n%s", text)
	}
}
