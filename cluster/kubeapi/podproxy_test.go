package kubeapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// proxied sends a request to the proxy, and returns its status, 0 where the
// connection broke off, and the body.
func proxied(t *testing.T, p *PodProxy, path, host string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.listener.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path // as it is written, dots included
	r.Host = host
	r.Header.Set("Authorization", "Bearer of-the-caller")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestPodProxy(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "lost"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","message":"no route to the pod"}`)
		case strings.HasSuffix(r.URL.Path, "/fails"):
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "the service says so")
		default:
			fmt.Fprintf(w, "%s as %q", r.RequestURI, r.Header.Get("Authorization"))
		}
	}))
	t.Cleanup(api.Close)
	c, err := NewClient(Config{REST: &rest.Config{Host: api.URL, BearerToken: "of-the-cluster"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.ListenForPods("shop")
	if err != nil {
		t.Fatal(err)
	}
	const base = "/api/v1/namespaces/shop/pods/http:"
	own := p.listener.Addr().String()
	for _, tt := range []struct {
		name, path, host string
		status           int
		body             string
	}{
		{"a path and a query", "/cart-1/items?n=2", own, 200, base + `cart-1:8080/proxy/items?n=2 as "Bearer of-the-cluster"`},
		{"a pod alone", "/cart-1", own, 200, base + "cart-1:8080/proxy/ "},
		{"an escaped path", "/cart-1/a%2Fb", own, 200, base + "cart-1:8080/proxy/a%2Fb "},
		{"the port of the control", "/cart-1:control/admin/faults", own, 200, base + "cart-1:8081/proxy/admin/faults "},
		{"an error of the service", "/cart-1/fails", own, 503, "the service says so"},
		{"a pod that does not answer", "/lost/", own, 0, ""},
		{"no pod", "/", own, 404, ""},
		{"another port", "/cart-1:22/", own, 404, ""},
		{"another namespace", "/..%2F..%2Fbank%2Fpods%2Fcart-1/", own, 404, ""},
		{"capitals", "/Cart/", own, 404, ""},
		{"a name that leads here", "/cart-1/", "evil.example:80", 404, ""},
		{"localhost", "/cart-1/", strings.Replace(own, "127.0.0.1", "localhost", 1), 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := proxied(t, p, tt.path, tt.host)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("got %d %q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if status, _ := proxied(t, p, "/cart-1", own); status != 0 {
		t.Errorf("a closed proxy answers %d", status)
	}
}
