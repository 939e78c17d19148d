package kubeapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// proxied sends a request to the proxy, and returns its status, 0 where the
// connection broke off, and the body.
func proxied(t *testing.T, p *PodProxy, path string, change func(*http.Request)) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.listener.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path // as it is written, dots included
	r.Header.Set("Authorization", "Bearer of-the-caller")
	if change != nil {
		change(r)
	}
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

// newPodProxy returns a proxy to the pods cart-1 and lost-1 of namespace shop. The API
// server answers with what it was asked, in which path and by whom.
func newPodProxy(t *testing.T) *PodProxy {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "lost"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","message":"no route to the pod"}`)
		case strings.HasSuffix(r.URL.Path, "/denied"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","reason":"Forbidden","code":403,"message":"pods \"http:cart-1:8080\" is forbidden: User \"ann\" cannot get resource \"pods/proxy\" in API group \"\" in the namespace \"shop\""}`)
		case strings.HasSuffix(r.URL.Path, "/fails"):
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "the service says so")
		default:
			fmt.Fprintf(w, "%s as %q for %q%q", r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Impersonate-User"), r.Header.Get("X-Remote-Group"))
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
	p.SetPods(map[string]manifest.Ports{"cart-1": {HTTP: 8080, Control: 8081}, "lost-1": {HTTP: 8080, Control: 8081}})
	return p
}

func TestPodProxy(t *testing.T) {
	p := newPodProxy(t)
	const base = "/api/v1/namespaces/shop/pods/http:"
	own := "/" + p.secret
	for _, tt := range []struct {
		name, path string
		status     int
		body       string
	}{
		{"a path and a query", own + "/cart-1/items?n=2", 200, base + `cart-1:8080/proxy/items?n=2 as "Bearer of-the-cluster" for ""`},
		{"a pod alone", own + "/cart-1", 200, base + "cart-1:8080/proxy/ "},
		{"an escaped path", own + "/cart-1/a%2Fb", 200, base + "cart-1:8080/proxy/a%2Fb "},
		{"a percent sign", own + "/cart-1/10%25", 200, base + "cart-1:8080/proxy/10%25 "},
		{"dots in names", own + "/cart-1/a..b/...", 200, base + "cart-1:8080/proxy/a..b/... "},
		{"the port of the control", own + "/cart-1:control/admin/faults", 200, base + "cart-1:8081/proxy/admin/faults "},
		{"an error of the service", own + "/cart-1/fails", 503, "the service says so"},
		{"a pod that does not answer", own + "/lost-1/", 0, ""},
		{"no pod", own + "/", 404, ""},
		{"the secret alone", own, 404, ""},
		{"another port", own + "/cart-1:22/", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := proxied(t, p, tt.path, nil)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("got %d %q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if status, _ := proxied(t, p, own+"/cart-1", nil); status != 0 {
		t.Errorf("a closed proxy answers %d", status)
	}
}

// TestPodProxyTellsOfADenial tells a pod that does not answer from one that the user may
// not reach.
func TestPodProxyTellsOfADenial(t *testing.T) {
	p := newPodProxy(t)
	defer p.Close()
	for _, step := range []struct {
		path string
		want string
	}{
		{"/lost-1/", ""}, {"/cart-1/denied", "kubectl create role microsim-pods-proxy-get --verb=get --resource=pods/proxy -n shop"}, {"/cart-1/fails", ""},
	} {
		proxied(t, p, "/"+p.secret+step.path, nil)
		if err := p.Denied(); (err != nil) != (step.want != "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("after %s, the denial is %v; want one with %q", step.path, err, step.want)
		}
	}
}

// TestPodProxyNeedsItsSecret stands for other users of this machine, who find the
// port.
func TestPodProxyNeedsItsSecret(t *testing.T) {
	p, other := newPodProxy(t), newPodProxy(t)
	defer p.Close()
	defer other.Close()
	for _, path := range []string{
		"/cart-1/metrics", "/" + p.secret[1:] + "/cart-1/", "/" + p.secret + "x/cart-1/",
		"/" + other.secret + "/cart-1/", "/" + strings.ToLower(p.secret) + "/cart-1/", "/?" + p.secret,
	} {
		if status, body := proxied(t, p, path, nil); status != http.StatusNotFound {
			t.Errorf("without the secret, %q is answered with %d %q", path, status, body)
		}
	}
	if len(p.secret) < 26 || p.secret == other.secret {
		t.Errorf("the secrets are %q and %q", p.secret, other.secret)
	}
}

// TestPodProxyLeadsToPodsOfTheSystemAlone asks for other pods of the namespace, and for
// those that have left the system.
func TestPodProxyLeadsToPodsOfTheSystemAlone(t *testing.T) {
	p := newPodProxy(t)
	defer p.Close()
	for _, pod := range []string{"bank-1", "bank-1:control", "cart", "cart-11", "Cart-1", "cart-1:control:control", ":control"} {
		if status, body := proxied(t, p, "/"+p.secret+"/"+pod+"/", nil); status != http.StatusNotFound {
			t.Errorf("%s: %d %q", pod, status, body)
		}
	}
	p.SetPods(map[string]manifest.Ports{"cart-2": {HTTP: 3000}})
	for pod, want := range map[string]int{"cart-1": http.StatusNotFound, "cart-2": http.StatusOK} {
		if status, body := proxied(t, p, "/"+p.secret+"/"+pod+"/", nil); status != want {
			t.Errorf("%s: %d %q, want %d", pod, status, body, want)
		}
	}
}

// TestPodProxyTakesPlainPathsOnly sends paths that a server on the way could read as
// those of other objects.
func TestPodProxyTakesPlainPathsOnly(t *testing.T) {
	p := newPodProxy(t)
	defer p.Close()
	for _, rest := range []string{
		"cart-1/../bank-1/proxy/", "cart-1/..", "cart-1/./x", "cart-1//x", "../cart-1/", "cart-1/%2e%2e/%2e%2e/secrets", "cart-1/%2E./x",
		"cart-1/..%2f..%2fsecrets", "cart-1/%252e%252e/x", "cart-1/%25252e%25252e/x", `cart-1/..\..\x`, "cart-1/%5c..%5cx",
		"..%2F..%2Fbank%2Fpods%2Fcart-1/", "cart-1%2F..%2Fbank-1/",
	} {
		if status, body := proxied(t, p, "/"+p.secret+"/"+rest, nil); status != http.StatusNotFound && status != http.StatusBadRequest {
			t.Errorf("%s: %d %q", rest, status, body)
		}
	}
}

// TestPodProxyRefusesWebPages sends requests as browsers do, with the secret, which a
// page cannot know.
func TestPodProxyRefusesWebPages(t *testing.T) {
	p := newPodProxy(t)
	defer p.Close()
	for name, change := range map[string]func(*http.Request){
		"a page of another site":   func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"an image of another site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a name that leads here":   func(r *http.Request) { r.Host = "evil.example:80" },
		"localhost": func(r *http.Request) {
			r.Host = strings.Replace(p.listener.Addr().String(), "127.0.0.1", "localhost", 1)
		},
		"no name": func(r *http.Request) { r.Host = "127.0.0.1" },
	} {
		if status, body := proxied(t, p, "/"+p.secret+"/cart-1/", change); status != http.StatusForbidden {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
}

// TestPodProxyPassesNoIdentityOn sends headers by which a client of the API server acts
// as another user.
func TestPodProxyPassesNoIdentityOn(t *testing.T) {
	p := newPodProxy(t)
	defer p.Close()
	status, body := proxied(t, p, "/"+p.secret+"/cart-1/", func(r *http.Request) {
		r.Header.Set("Impersonate-User", "system:admin")
		r.Header.Set("X-Remote-Group", "system:masters")
	})
	if status != http.StatusOK || !strings.HasSuffix(body, `as "Bearer of-the-cluster" for """"`) {
		t.Errorf("%d %q", status, body)
	}
}
