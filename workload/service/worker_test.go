package service

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// metric reads one series without going through the service's own listener.
func metric(t testing.TB, s *Service, series string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Host = "localhost"
	s.ControlHandler().ServeHTTP(w, r)
	for line := range strings.Lines(w.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("there is no series %s", series)
	return ""
}

// waitForMetric waits until a series has a value, for at most ten seconds.
func waitForMetric(t testing.TB, s *Service, series, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if got = metric(t, s, series); got == want {
			return
		}
	}
	t.Fatalf("%s is %s, not %s", series, got, want)
}

func hang() fault.Fault { return fault.Fault{Type: fault.Hang, Probability: 1} }

func TestWorkersAndBacklogAreBounded(t *testing.T) {
	const workers, backlog = 2, 3
	service := topology.NewService("busy")
	service.Workers, service.Backlog = workers, backlog
	s, url := start(t, Config{Service: service})
	if err := s.AddFault("h", hang(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(url, "http://")
	var conns []net.Conn
	open := func(patience time.Duration) error {
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		conns = append(conns, conn)
		_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		return err
	}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for range workers {
		if err := open(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	waitForMetric(t, s, `microsim_inflight_requests{service="busy"}`, fmt.Sprint(workers))
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the accept queue")
	}
	// Linux lets in one more than the backlog.
	for range backlog + 1 {
		if err := open(10 * time.Second); err != nil {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
	}
	waitForMetric(t, s, `microsim_queue_length{service="busy"}`, fmt.Sprint(backlog+1))
	err := open(300 * time.Millisecond)
	var netErr net.Error
	if !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("one connection more than fits: %v, want a timeout", err)
	}
	if got := metric(t, s, `microsim_inflight_requests{service="busy"}`); got != fmt.Sprint(workers) {
		t.Errorf("%s requests are worked on by %d workers", got, workers)
	}
	s.ClearFault("h")
	for i, conn := range conns {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		text, err := readAll(conn)
		if err != nil || !strings.HasPrefix(text, "HTTP/1.1 200") || !strings.Contains(text, "Connection: close") {
			t.Errorf("connection %d got %q, %v", i, text, err)
		}
	}
}

func readAll(conn net.Conn) (string, error) {
	var b strings.Builder
	_, err := bufio.NewReader(conn).WriteTo(&b)
	return b.String(), err
}

func TestAbandonedWorkIsFinished(t *testing.T) {
	service := topology.NewService("dutiful")
	service.Workers = 1
	s, url := start(t, Config{Service: service})
	if err := s.AddFault("h", hang(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	// The first holds the only worker, the second leaves while it waits.
	first, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fmt.Fprintf(first, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	waitForMetric(t, s, `microsim_inflight_requests{service="dutiful"}`, "1")
	before := metric(t, s, `microsim_request_duration_seconds_count{endpoint="/",service="dutiful"}`)
	second, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(second, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_ = second.Close()
	s.ClearFault("h")
	if before != "0" {
		t.Errorf("%s requests were counted too early", before)
	}
	waitForMetric(t, s, `microsim_request_duration_seconds_count{endpoint="/",service="dutiful"}`, "2")
}

func TestAConnectionWithoutARequestGivesItsWorkerBack(t *testing.T) {
	service := topology.NewService("patient")
	service.Workers = 1
	_, url := start(t, Config{Service: service})
	silent, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if r := get(t, url+"/"); r.status != 200 {
		t.Errorf("got %d", r.status)
	}
}
