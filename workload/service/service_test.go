package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestMain counts goroutines: every test ends what it began.
func TestMain(m *testing.M) {
	if what := os.Getenv(serveEnv); what != "" {
		if err := serveForBenchmark(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		code = leftGoroutines()
	}
	os.Exit(code)
}

// leftGoroutines waits for the goroutines of closed connections to end, and
// reports those of the package that stay.
func leftGoroutines() int {
	stacks := ""
	for range 100 {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "workload/service.(") || strings.Count(stacks, "workload/service.(") == 0 {
			return 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "goroutines were left behind:\n"+stacks)
	return 1
}

// start serves a service on a port of its own and returns its base URL; the
// test's end stops it.
func start(t testing.TB, cfg Config) (*Service, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, cfg, ln)
}

func startOn(t testing.TB, cfg Config, ln net.Listener) (*Service, string) {
	t.Helper()
	if cfg.System == "" {
		cfg.System = "test"
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.working.Load(); n != 0 {
			t.Errorf("%d pieces of work were left", n)
		}
		if n := s.held.Load() + s.served.Load().replica.Memory.Reserved(); n != 0 {
			t.Errorf("%d bytes were left", n)
		}
	})
	url := "http://" + ln.Addr().String()
	for get(t, url+"/readyz").status != 200 {
		runtime.Gosched()
	}
	return s, url
}

type result struct {
	status int
	header http.Header
	body   string
}

func (r result) response(t testing.TB) chain.Response {
	t.Helper()
	var response chain.Response
	if err := json.Unmarshal([]byte(r.body), &response); err != nil {
		t.Fatalf("reading %q: %v", r.body, err)
	}
	return response
}

func get(t testing.TB, url string) result { return request(t, "GET", url, nil, nil) }

func post(t testing.TB, url, body string) result {
	return request(t, "POST", url, strings.NewReader(body), nil)
}

func request(t testing.TB, method, url string, body io.Reader, header http.Header) result {
	t.Helper()
	r, err := tryRequest(method, url, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRequest(method, url string, body io.Reader, header http.Header) (result, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return result{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return result{}, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return result{resp.StatusCode, resp.Header, b.String()}, err
}

func TestLeafAnswers(t *testing.T) {
	_, url := start(t, Config{Service: topology.NewService("leaf")})
	if r := get(t, url+"/"); r.status != 200 || r.body != emptyPayload {
		t.Errorf("got %+v", r)
	}
}

func TestChainOfServices(t *testing.T) {
	peers := map[string][]string{}
	listeners := map[string]net.Listener{}
	for _, name := range []string{"service-1", "service-2", "service-3"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[name], peers[name] = ln, []string{"http://" + ln.Addr().String()}
	}
	for name, ln := range listeners {
		startOn(t, Config{Service: topology.NewService(name), Peers: peers}, ln)
	}
	r := post(t, peers["service-1"][0], `{"designation":"service_1","routes":[{"designation":"service_2","routes":[{"designation":"service_3"}]},{"designation":"nobody"}]}`)
	if r.status != 200 {
		t.Errorf("got %+v", r)
	}
	got := r.response(t)
	if got.Service != "service-1" || len(got.Response) != 2 || got.Response[0].Response[0].Service != "service-3" || got.Response[1] != nil || len(got.Errors) != 1 {
		t.Errorf("got %s", r.body)
	}
}
