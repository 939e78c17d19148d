package kubeapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// controlSuffix on a pod's name leads to the port of health, metrics and control.
// No pod's name has a colon.
const controlSuffix = ":control"

// A PodProxy listens on this machine and passes requests on to the pods of one
// system through the API server: http://127.0.0.1:PORT/SECRET/POD/path. They are sent
// with the credentials of the cluster, so three things limit who can use them for what:
// the secret, which only this program knows; the pods, which SetPods names; and the
// guard against web pages. Its methods may be called at the same time.
type PodProxy struct {
	client    *Client
	namespace string
	listener  net.Listener
	server    *http.Server
	done      chan error
	secret    string
	web       webguard.Guard
	reverse   *httputil.ReverseProxy

	mu   sync.Mutex
	pods map[string]manifest.Ports
	// denied is what the API server said when it refused the last request; nil after
	// one that it has passed on.
	denied error
}

// ListenForPods starts a proxy, which leads to no pod before SetPods.
func (c *Client) ListenForPods(namespace string) (*PodProxy, error) {
	if _, err := c.base(); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for requests to the pods of namespace %q: %w", namespace, err)
	}
	// The client sees a request that breaks off, so nothing is logged.
	quiet := log.New(io.Discard, "", 0)
	p := &PodProxy{
		client: c, namespace: namespace, listener: ln, done: make(chan error, 1), secret: rand.Text(),
		web: webguard.Guard{Hosts: []string{ln.Addr().String()}, Name: "the proxy to pods"},
	}
	p.reverse = &httputil.ReverseProxy{
		Transport: c.HTTP.Transport,
		ErrorLog:  quiet,
		Rewrite:   p.rewrite,
		ModifyResponse: func(resp *http.Response) error {
			said := ServerSaid(resp)
			p.noteDenied(resp, said)
			if said != "" {
				return errors.New(said)
			}
			return nil
		},
		// Abort the connection, so the client sees a pod that does not answer rather than
		// an answer of the pod.
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval: -1,
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	go func() { p.done <- p.server.Serve(ln) }()
	return p, nil
}

// noteDenied remembers whether the API server has refused the request of an answer.
func (p *PodProxy) noteDenied(resp *http.Response, said string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied = nil
	if said != "" && resp.StatusCode == http.StatusForbidden {
		p.denied = Explain(&apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: said}})
	}
}

// Denied says why the API server refused the last request, because its user lacks a
// right; nil if it passed the request on. A client of the proxy only sees a pod that
// does not answer.
func (p *PodProxy) Denied() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.denied
}

// SetPods names the pods that the proxy leads to, those of the system, with their ports.
// Others are not found. The map must not be changed afterwards.
func (p *PodProxy) SetPods(pods map[string]manifest.Ports) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pods = pods
}

// ServeHTTP passes a request on if it is one of this program, to a pod of the system.
func (p *PodProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := p.web.Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	secret, pod, _ := split(r.URL.EscapedPath())
	if !same(secret, p.secret) || !plainPath(r.URL.EscapedPath()) {
		http.NotFound(w, r)
		return
	}
	if _, port := p.find(pod); port == 0 {
		http.NotFound(w, r)
		return
	}
	p.reverse.ServeHTTP(w, r)
}

// rewrite turns the request into one to the API server, with the rights of this
// program and nothing of the caller's that the API server could take for its own.
func (p *PodProxy) rewrite(r *httputil.ProxyRequest) {
	_, pod, rest := split(r.In.URL.EscapedPath())
	pod, port := p.find(pod)
	to, err := p.client.PodURL(p.namespace, pod, port, "/"+rest)
	if u, parseErr := url.Parse(to); err == nil && parseErr == nil {
		u.RawQuery = r.In.URL.RawQuery
		r.Out.URL = u
		r.Out.Host = u.Host
	}
	for name := range r.Out.Header {
		if name == control.AuthorizationHeader || strings.HasPrefix(name, "Impersonate-") || strings.HasPrefix(name, "X-Remote-") {
			r.Out.Header.Del(name)
		}
	}
}

// find returns the pod that a part of a path means and the port there; 0 if the pod has
// none, or is not of the system.
func (p *PodProxy) find(part string) (pod string, port int) {
	pod, control := strings.CutSuffix(part, controlSuffix)
	p.mu.Lock()
	defer p.mu.Unlock()
	if control {
		return pod, p.pods[pod].Control
	}
	return pod, p.pods[pod].HTTP
}

// split takes the path of a request apart: /SECRET/POD/rest.
func split(escaped string) (secret, pod, rest string) {
	secret, rest, _ = strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	pod, rest, _ = strings.Cut(rest, "/")
	return secret, pod, rest
}

// same compares secrets in a time that says nothing about them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// plainPath reports whether no server on the way could read another path into this
// one: it has no dot segments and no empty segments, however often it is decoded.
func plainPath(escaped string) bool {
	for {
		if trimmed := strings.TrimSuffix(escaped, "/"); trimmed != "" && path.Clean(trimmed) != trimmed || strings.Contains(escaped, `\`) {
			return false
		}
		decoded, err := url.PathUnescape(escaped)
		if err != nil || decoded == escaped {
			// A percent sign that begins no escape can only come from decoding once.
			return true
		}
		escaped = decoded
	}
}

// URL returns the base URL of the pod's service. Do not print or store it: anyone who
// knows it can reach all pods of the system.
func (p *PodProxy) URL(pod string) string {
	return "http://" + p.listener.Addr().String() + "/" + p.secret + "/" + pod
}

// ControlURL is where the health, metrics and control of a pod are reached.
func (p *PodProxy) ControlURL(pod string) string { return p.URL(pod) + controlSuffix }

// Close ends the proxy and the requests that it passes on.
func (p *PodProxy) Close() error {
	_ = p.server.Close()
	if err := <-p.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving requests on %s: %w", p.listener.Addr(), err)
	}
	return nil
}
