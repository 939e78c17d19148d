package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestNetworkMetricsAreOfTheService asks a process for its metrics. They include
// network traffic only if no other program uses the process's network.
func TestNetworkMetricsAreOfTheService(t *testing.T) {
	for _, own := range []bool{false, true} {
		s, err := New(Config{System: "shop", Service: topology.NewService("web"), ProcessMetrics: true, OwnNetwork: own})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		body := w.Body.String()
		if !strings.Contains(body, "process_open_fds") && runtime.GOOS == "linux" || !strings.Contains(body, "microsim_inflight_requests") {
			t.Errorf("own network %v: metrics are missing:\n%s", own, body)
		}
		if got := strings.Contains(body, "process_network_"); got != (own && runtime.GOOS == "linux") {
			t.Errorf("own network %v: the metrics tell of the network: %v", own, got)
		}
	}
}

// TestBytesOfTheNetworkAreCounted sends a request of known bytes to a service that
// calls a server of known bytes: its counters are the sums of both.
func TestBytesOfTheNetworkAreCounted(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	var called atomic.Int64
	leaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer leaf.Close()
	go func() {
		conn, err := leaf.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		called.Store(int64(n))
		_, _ = io.WriteString(conn, answer)
		_, _ = conn.Read(buf) // until the service closes it
	}()
	config := Config{System: "shop", Service: topology.NewService("web", topology.CallTo("leaf"))}
	config.Peers = map[string][]string{"leaf": {"http://" + leaf.Addr().String()}}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { served <- s.Serve(ctx, ln) }()
	defer func() { cancel(); <-served }()

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200") {
		t.Fatalf("got %q, %v", got, err)
	}
	w := httptest.NewRecorder()
	s.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		fmt.Sprintf("microsim_network_receive_bytes_total{service=\"web\"} %d\n", len(request)+len(answer)),
		fmt.Sprintf("microsim_network_transmit_bytes_total{service=\"web\"} %d\n", int64(len(got))+called.Load()),
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("want %q in\n%s", want, w.Body.String())
		}
	}
}
