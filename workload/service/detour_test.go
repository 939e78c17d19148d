package service

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A countedServer is a server that knows how many connections are open to it.
type countedServer struct {
	*httptest.Server
	requests, open atomic.Int64
}

func newCountedServer(t *testing.T) *countedServer {
	c := &countedServer{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.requests.Add(1)
		w.Header().Set("Content-Type", jsonType)
		_, _ = w.Write([]byte("{}"))
	}))
	c.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			c.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			c.open.Add(-1)
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// Callers that are told of another address use it from then on, also for requests
// that name the first by its URL, and let go of connections to the first.
func TestDetours(t *testing.T) {
	direct, gate := newCountedServer(t), newCountedServer(t)
	s, err := New(Config{System: "s", Service: topology.NewService("web", topology.CallTo("db")), Peers: map[string][]string{"db": {direct.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	defer func() {
		cancel()
		<-served
	}()
	ask := func(chain string) {
		t.Helper()
		var resp *http.Response
		var err error
		if chain == "" {
			resp, err = http.Get("http://" + ln.Addr().String() + "/")
		} else {
			resp, err = http.Post("http://"+ln.Addr().String()+"/", jsonType, strings.NewReader(chain))
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the answer is %d", resp.StatusCode)
		}
	}
	byURL := `{"designation": "web", "routes": [{"designation": "` + direct.URL + `/"}]}`
	expect := func(when string, onDirect, onGate int64) {
		t.Helper()
		if d, g := direct.requests.Load(), gate.requests.Load(); d != onDirect || g != onGate {
			t.Errorf("%s %d requests came directly and %d by the gate, want %d and %d", when, d, g, onDirect, onGate)
		}
	}
	gone := func(c *countedServer) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); c.open.Load() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d connections are kept", c.open.Load())
			}
		}
	}
	ask("")
	ask(byURL)
	expect("at first", 2, 0)
	address := strings.TrimPrefix(direct.URL, "http://")
	if err := s.SetPeers(map[string][]string{"db": {gate.URL}, address: {gate.URL}}); err != nil {
		t.Fatal(err)
	}
	gone(direct)
	ask("")
	ask(byURL)
	expect("with a gate", 2, 2)
	if err := s.SetPeers(map[string][]string{"db": {direct.URL}}); err != nil {
		t.Fatal(err)
	}
	gone(gate)
	ask("")
	ask(byURL)
	expect("afterwards", 4, 2)
}
