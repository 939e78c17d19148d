package store_test

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

// TestRelayCountsWhatRedisAnswers sends commands to redis-server through the relay, all
// at once, and compares what the relay counted with what the server itself counted.
func TestRelayCountsWhatRedisAnswers(t *testing.T) {
	address := realServer(t, topology.Redis)
	s, relay := serve(t, store.Config{Service: redisService(topology.Store{Engine: topology.Real, Address: address})})
	conn, err := net.Dial("tcp", relay)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const rounds = 200
	go func() {
		for range rounds {
			_, _ = io.WriteString(conn, "SET text words\r\nGET text\r\nGET none\r\nINCR text\r\nMGET text none\r\nPING\r\n"+
				"MULTI\r\nGET text\r\nSET other 1\r\nEXEC\r\nMULTI\r\nGET text\r\nDISCARD\r\n")
		}
		_, _ = io.WriteString(conn, "INFO commandstats\r\nQUIT\r\n")
	}()
	told, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cmdstat_set:calls=400,", "cmdstat_get:calls=600,", "cmdstat_incr:calls=200,", "cmdstat_mget:calls=200,", "cmdstat_exec:calls=200,"} {
		if !strings.Contains(string(told), want) {
			t.Fatalf("redis-server does not say %q:\n%s", want, told[max(0, len(told)-2000):])
		}
	}
	page := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for label, want := range map[string]int{
		`code="ok",endpoint="read"`: 2 * rounds, `code="ok",endpoint="write"`: rounds, `code="error",endpoint="write"`: rounds,
		`code="ok",endpoint="range"`: rounds, `code="ok",endpoint="transaction"`: rounds, `code="error",endpoint="read"`: 0,
	} {
		if line := fmt.Sprintf("microsim_requests_total{%s,service=\"db\"} %d\n", label, want); !strings.Contains(page.Body.String(), line) {
			t.Errorf("want %q in\n%s", line, page.Body.String())
		}
	}
}

// TestRelayCountsForClientsThatGoAtOnce: a client that ends its connection as soon as it
// has its answer was answered, so that it counts.
func TestRelayCountsForClientsThatGoAtOnce(t *testing.T) {
	address := realServer(t, topology.Redis)
	s, relay := serve(t, store.Config{Service: redisService(topology.Store{Engine: topology.Real, Address: address})})
	const clients = 500
	for range clients {
		conn, err := net.Dial("tcp", relay)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET none\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	line := fmt.Sprintf("microsim_requests_total{code=\"ok\",endpoint=\"read\",service=\"db\"} %d\n", clients)
	page := func() string {
		r := httptest.NewRecorder()
		s.ControlHandler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
		return r.Body.String()
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(page(), line); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("want %q in\n%s", line, page())
		}
	}
}
