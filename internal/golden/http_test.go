package golden

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// busyReplica calls with every policy that has a metric.
const busyReplica = `{"system": "shop", "token": "secret", "peers": {"db": ["http://127.0.0.1:1"]}, "service": {
  "name": "web", "kind": "base", "replicas": 1, "endpoints": [{"path": "/", "errorStatus": 500, "timeout": "5s", "steps": [{"call": {
    "to": "db", "endpoint": "/", "probability": 1, "onError": "propagate", "count": 1, "timeout": "1s",
    "retry": {"attempts": 2}, "breaker": {"failures": 5, "reset": "1s"}, "fallback": {"kind": "empty"}
  }}]}]}}`

// replica serves the mock service.
func replica(t *testing.T) *httptest.Server {
	t.Helper()
	handler, end, err := newReplica([]byte(busyReplica))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() { server.Close(); end() })
	return server
}

var (
	labelName = regexp.MustCompile(`([a-z_]+)="`)
	// series is a line of the exposition format: name, labels, value.
	series = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? \S+$`)
)

// TestMetrics pins names, types and labels of the metrics of a service, and their
// help.
func TestMetrics(t *testing.T) {
	t.Parallel()
	server := replica(t)
	ask(t, server.Client(), "GET", server.URL+"/", "")
	_, text := ask(t, server.Client(), "GET", server.URL+"/metrics", "")
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			found[line] = true
			continue
		}
		parts := series.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("not a series: %s", line)
		}
		var names []string
		for _, name := range labelName.FindAllStringSubmatch(parts[2], -1) {
			names = append(names, name[1])
		}
		found[fmt.Sprintf("%s{%s}", parts[1], strings.Join(names, ","))] = true
		// The bounds are what stored dashboards ask for.
		if _, bound, has := strings.Cut(line, `le="`); has {
			bound, _, _ = strings.Cut(bound, `"`)
			found[fmt.Sprintf("%s le %s", parts[1], bound)] = true
		}
	}
	compareSet(t, "metrics.txt", found)
}

// TestReplica pins the control of a replica: paths, statuses, bodies, headers of
// the token.
func TestReplica(t *testing.T) {
	t.Parallel()
	server := replica(t)
	found := shape{}
	bearer, own := []string{"Authorization", "Bearer secret"}, []string{"Microsim-Token", "secret"}
	for _, r := range []struct {
		method, path, body string
		header             []string
	}{
		{"GET", "/healthz", "", nil},
		{"GET", "/readyz", "", nil},
		{"GET", "/nowhere", "", nil},
		{"GET", "/admin/faults", "", nil},
		{"GET", "/admin/nowhere", "", bearer},
		{"PUT", "/admin/faults/slow", `{"fault": {"type": "latency", "target": {"service": "web"}, "args": {"delay": "1ms"}}, "deadline": "2999-01-01T00:00:00Z"}`, own},
		{"PUT", "/admin/faults/wrong", `{"fault": {"type": "latency", "target": {"service": "web"}}}`, own},
		{"GET", "/admin/faults", "", bearer},
		{"DELETE", "/admin/faults/slow", "", bearer},
		{"PUT", "/admin/peers", `{"db": ["http://127.0.0.1:1"]}`, bearer},
		{"GET", "/admin/peers/unreachable", "", bearer},
		{"POST", "/set-delay", `{"delay": 1}`, bearer},
		{"POST", "/", `{"designation": "web"}`, nil},
	} {
		found.exchange(t, server.Client(), server.URL, r.method, r.path, r.body, r.header...)
	}
	compareSet(t, "replica.txt", found)
}

// exchange adds a request with the status and the shape of its answer.
func (s shape) exchange(t *testing.T, client *http.Client, base, method, path, body string, header ...string) {
	t.Helper()
	status, answer := ask(t, client, method, base+path, body, header...)
	label := fmt.Sprintf("%s %s", method, path)
	if len(header) > 0 {
		label += " with " + header[0]
	}
	label = fmt.Sprintf("%s %s: %d", label, body, status)
	s[label] = true
	if len(answer) > 0 && (answer[0] == '{' || answer[0] == '[') {
		s.add(t, label, answer)
	}
}

// TestGateAPI pins paths, statuses and bodies of the API of gates.
func TestGateAPI(t *testing.T) {
	t.Parallel()
	api, end := gateAPI()
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		server.Close()
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	found := shape{}
	do := func(method, path, body string) {
		t.Helper()
		found.exchange(t, server.Client(), server.URL, method, path, body)
	}
	do("GET", "/version", "")
	do("POST", "/proxies", `{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": true}`)
	do("POST", "/proxies", `{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}`)
	// Attributes that need a value are refused without one.
	do("POST", "/proxies/db/toxics", `{"type": "limit_bps", "attributes": {"bytes_per_second": 1000}, "name": "rate"}`)
	do("POST", "/proxies/db/toxics", `{"type": "smaller_parts", "attributes": {"max_size": 10}, "name": "parts"}`)
	for kind := range strings.FieldsSeq("noop latency bandwidth slow_close timeout reset_peer slicer limit_data delay stop_reading drop retransmit reorder " +
		"close_on_data corrupt limit_bps limit_time limit_bytes smaller_parts concatenate substitute slow_open") {
		do("POST", "/proxies/db/toxics", `{"type": "`+kind+`", "attributes": {}}`)
	}
	do("POST", "/proxies/db/toxics", `{"type": "unknown"}`)
	do("GET", "/proxies/db/toxics/latency_downstream", "")
	do("POST", "/proxies/db/toxics/latency_downstream", `{"attributes": {"latency": 5}}`)
	do("GET", "/proxies/db/toxics/latency_downstream/effect", "")
	do("DELETE", "/proxies/db/toxics/latency_downstream", "")
	do("GET", "/proxies/db/toxics", "")
	do("GET", "/proxies/db/connections", "")
	do("GET", "/proxies/db", "")
	do("GET", "/proxies", "")
	do("POST", "/proxies/db", `{"enabled": false}`)
	do("POST", "/populate", `[{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]`)
	do("POST", "/reset", "")
	do("DELETE", "/proxies/db", "")
	do("GET", "/proxies/db", "")
	compareSet(t, "gate.txt", found)
}
