package webguard

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestCheck(t *testing.T) {
	own := func(r *http.Request) bool { return r.Method == "GET" && r.URL.Path == "/" }
	for _, tt := range []struct {
		name   string
		method string
		host   string
		header map[string]string
		taken  bool
	}{
		{"a program", "POST", "127.0.0.1:1", nil, true},
		{"another name of it", "POST", "localhost:1", nil, true},
		{"typed by the user", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "none"}, true},
		{"its own page", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		{"its own page, but it never sends that", "POST", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-origin"}, false},
		{"its own page, with its origin", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:1"}, true},
		{"its own page, with another origin", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:2"}, false},
		{"its own origin alone", "GET", "127.0.0.1:1", map[string]string{"Origin": "http://127.0.0.1:1"}, false},
		{"another page", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"a page of another port", "GET", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		{"a form", "POST", "127.0.0.1:1", map[string]string{"Origin": "http://evil.example"}, false},
		{"a page of a file", "POST", "127.0.0.1:1", map[string]string{"Origin": "null"}, false},
		{"a name that was pointed here", "GET", "evil.example:1", nil, false},
		{"no port", "GET", "127.0.0.1", nil, false},
		{"no host", "GET", "", nil, false},
	} {
		r := httptest.NewRequest(tt.method, "/", nil)
		r.Host = tt.host
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		g := Guard{Hosts: []string{"127.0.0.1:1", "localhost:1"}, Name: "this server", OwnPage: own}
		if err := g.Check(r); (err == nil) != tt.taken {
			t.Errorf("%s: %v, want taken %v", tt.name, err, tt.taken)
		}
		g.Hosts = nil
		if err := g.Check(r); (err == nil) != (tt.taken || tt.header == nil) {
			t.Errorf("%s, any host: %v", tt.name, err)
		}
	}
}

func TestLoopbackHosts(t *testing.T) {
	for address, want := range map[string][]string{
		"127.0.0.1:8474":   {"127.0.0.1:8474", "localhost:8474", "[::1]:8474"},
		"[::1]:8474":       {"[::1]:8474", "127.0.0.1:8474", "localhost:8474"},
		"127.0.0.2:80":     {"127.0.0.2:80", "127.0.0.1:80", "127.0.0.1", "localhost:80", "localhost", "[::1]:80", "[::1]"},
		"0.0.0.0:8474":     nil,
		"192.0.2.1:8474":   nil,
		"[2001:db8::1]:80": nil,
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := LoopbackHosts(a); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if got := LoopbackHosts(&net.UnixAddr{Name: "/x", Net: "unix"}); got != nil {
		t.Errorf("a Unix socket has the hosts %q", got)
	}
}
