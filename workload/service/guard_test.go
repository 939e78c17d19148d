package service

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/workers"
)

func TestPagesAndForeignHostsAreRefused(t *testing.T) {
	s, url := start(t, Config{Service: topology.NewService("web"), Token: "secret"})
	send := func(base, method, path string, header map[string]string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(`{"designation":"web"}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			if name == "Host" {
				r.Host = value
			} else {
				r.Header.Set(name, value)
			}
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	for _, path := range []string{"/", "/metrics", "/healthz"} {
		method := map[bool]string{true: "POST", false: "GET"}[path == "/"]
		for _, tt := range []struct {
			name, value string
			want        int
		}{
			{"", "", 200}, {"Sec-Fetch-Site", "none", 200}, {"Host", "localhost:" + port, 200}, {"Host", "[::1]:" + port, 200}, {"Host", "127.0.0.2", 200},
			{"Origin", "https://evil.example", 403}, {"Origin", "null", 403}, {"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403},
			{"Host", "evil.example:" + port, 403}, {"Host", "localhost.evil.example", 403}, {"Host", "192.0.2.1:" + port, 403},
		} {
			header := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
			if tt.name != "" {
				header[tt.name] = tt.value
			}
			if got := send(url, method, path, header); got != tt.want {
				t.Errorf("%s %s with %s %q: %d, want %d", method, path, tt.name, tt.value, got, tt.want)
			}
		}
	}
	// A service that is reached by others does not know its names.
	s.loopback.Store(false)
	if got := send(url, "POST", "/", map[string]string{"Host": "web.default.svc"}); got != 200 {
		t.Errorf("a name of a cluster: %d", got)
	}
	if got := send(url, "POST", "/", map[string]string{"Host": "web.default.svc", "Origin": "http://a"}); got != 403 {
		t.Errorf("a page: %d", got)
	}
	s.loopback.Store(true)
}

func TestAllowAndRequestID(t *testing.T) {
	service := topology.NewService("web")
	service.Endpoints[0].Path, service.Endpoints[0].Method = "/get", "GET"
	service.Endpoints = append(service.Endpoints, topology.NewEndpoint("/any"), topology.NewEndpoint("/users/{id}"))
	service.Endpoints[2].Method = "PUT"
	_, url := start(t, Config{Service: service, Token: "secret"})
	token := http.Header{"Authorization": {"Bearer secret"}}
	for _, tt := range []struct {
		method, path string
		header       http.Header
		status       int
		allow        string
	}{
		{"GET", "/get", nil, 200, ""}, {"POST", "/get", nil, 405, "GET"}, {"TRACE", "/get", nil, 405, "GET"},
		{"TRACE", "/any", nil, 405, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}, {"GET", "/users/7", nil, 405, "PUT"}, {"PUT", "/users/7", nil, 200, ""},
		{"GET", "/nothing", nil, 404, ""},
		{"POST", "/metrics", nil, 405, "GET, HEAD"}, {"DELETE", "/healthz", nil, 405, "GET, HEAD"}, {"HEAD", "/readyz", nil, 200, ""},
		{"POST", "/admin/faults", token, 405, "GET"}, {"GET", "/admin/faults/x", token, 405, "DELETE, PUT"}, {"GET", "/admin/peers", token, 405, "PUT"},
		{"GET", "/admin/other", token, 404, ""}, {"GET", "/admin/faults", nil, 401, ""},
	} {
		for _, id := range []string{"", "my-id"} {
			header := tt.header.Clone()
			if header == nil {
				header = http.Header{}
			}
			if id != "" {
				header.Set("X-Request-ID", id)
			}
			r := request(t, tt.method, url+tt.path, nil, header)
			if r.status != tt.status || r.header.Get("Allow") != tt.allow {
				t.Errorf("%s %s: %d with Allow %q, want %d with %q", tt.method, tt.path, r.status, r.header.Get("Allow"), tt.status, tt.allow)
			}
			if got := r.header.Get("X-Request-ID"); id != "" && got != id || id == "" && len(got) != 36 {
				t.Errorf("%s %s with the id %q: the answer has %q", tt.method, tt.path, id, got)
			}
		}
	}
}

// pipes is a listener of connections that begin and end in this process, so that
// the time of a test need not pass.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

// A client that sends its header or body drop by drop loses its connection, one
// that waits for an answer or rests between requests does not.
func TestSlowClientsAreBounded(t *testing.T) {
	const get, half = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"
	for name, tt := range map[string]struct {
		send  []string
		lives time.Duration // at least
		dies  time.Duration // at most; 0: it does not
		got   string
	}{
		"silent":           {nil, 0, 2 * workers.HeaderPatience, ""},
		"half a header":    {[]string{"GET / HTTP/1.1\r\nHost: a\r\n"}, 0, 3 * workers.HeaderPatience, ""},
		"half, afterwards": {[]string{get, "GET / HT"}, 0, 3 * workers.HeaderPatience, "200 OK"},
		"half a body":      {[]string{half}, 0, 2 * bodyPatience, "408 Request Timeout"},
		"resting":          {[]string{get}, workers.IdlePatience - time.Second, workers.IdlePatience + 3*workers.HeaderPatience, "200 OK"},
		"long answer":      {[]string{"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"}, 100 * time.Second, 100*time.Second + workers.IdlePatience + time.Minute, "200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { slowClient(t, tt.send, tt.lives, tt.dies, tt.got) })
		})
	}
}

func slowClient(t *testing.T, send []string, lives, dies time.Duration, want string) {
	service := topology.NewService("web")
	service.Endpoints = append(service.Endpoints, slowEndpoint())
	s, err := New(Config{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	ctx, stop := withCancel(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	client, server := net.Pipe()
	ln.conns <- server
	begun := time.Now()
	var got strings.Builder
	ended := make(chan time.Duration, 1)
	go func() {
		_, _ = io.Copy(&got, bufio.NewReader(client))
		ended <- time.Since(begun)
	}()
	go func() {
		for _, text := range send {
			_, _ = io.WriteString(client, text)
			time.Sleep(time.Second)
		}
	}()
	limit := dies
	if limit == 0 {
		limit = lives + time.Minute
	}
	select {
	case lived := <-ended:
		if lived < lives {
			t.Errorf("it was closed after %v, want at least %v", lived, lives)
		}
	case <-time.After(limit):
		if dies != 0 {
			t.Errorf("it lives after %v", limit)
		}
	}
	client.Close()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if want != "" && !strings.Contains(got.String(), fmt.Sprintf("HTTP/1.1 %s\r\n", want)) {
		t.Errorf("it got %q, want %q", got.String(), want)
	}
}

func slowEndpoint() topology.Endpoint {
	return topology.NewEndpoint("/slow", topology.Step{Work: &topology.Work{Sleep: dist.Fixed(100 * time.Second)}})
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
