package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// TokenHeader carries the system's token past the API server, which keeps the
// header Authorization for itself.
const TokenHeader = "Microsim-Token"

// base is the URL of the API server.
func (c *Cluster) base() (*url.URL, error) {
	u, _, err := rest.DefaultServerUrlFor(c.config.REST)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the cluster %q: %w", c.config.REST.Host, err)
	}
	return u, nil
}

// podURL is where the API server passes requests on to a port of a pod.
func (c *Cluster) podURL(namespace, pod string, port int, path string) (string, error) {
	return c.proxyURL("pods", namespace, fmt.Sprintf("http:%s:%d", pod, port), path)
}

func (c *Cluster) proxyURL(kind, namespace, name, path string) (string, error) {
	u, err := c.base()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(u.String(), "/") + "/api/v1/namespaces/" + namespace + "/" + kind + "/" + name + "/proxy" + path, nil
}

// Do sends a request to a service of the system through the API server, which
// passes it on to one of its pods. The path, with a query, is that of the URL.
func (d *Deployment) Do(req *http.Request, service string) (*http.Response, error) {
	if d.system.Service(service) == nil {
		return nil, fmt.Errorf("there is no service %q in system %q", service, d.system.Name)
	}
	to, err := d.c.proxyURL("services", d.namespace, fmt.Sprintf("http:%s:%d", service, manifest.ServicePort), req.URL.RequestURI())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("making the address of service %q: %w", service, err)
	}
	req = req.Clone(req.Context())
	req.URL, req.Host = u, ""
	resp, err := d.c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reaching service %q through the API server: %w", service, explain(err))
	}
	if said := serverSaid(resp); said != "" {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
		resp.Body.Close()
		if denied := deniedBy(text); denied != nil {
			return nil, fmt.Errorf("reaching service %q through the API server: %w", service, explain(denied))
		}
		return nil, fmt.Errorf("reaching service %q through the API server: it answers %s: %s", service, resp.Status, said)
	}
	return resp, nil
}

// maxStatus bounds how much of an answer is read to see who it is from.
const maxStatus = 64 << 10

// serverSaid returns what the API server itself answered; "" where the answer
// is that of a service. The body can still be read.
func serverSaid(resp *http.Response) string {
	if resp.StatusCode < 400 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && resp.Header.Get("Content-Type") != "" && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	var status metav1.Status
	if err != nil || json.Unmarshal(start, &status) != nil || status.Kind != "Status" || status.APIVersion != "v1" {
		return ""
	}
	return status.Message
}

// orderTimeout bounds one order to a pod.
const orderTimeout = 10 * time.Second

// An orderError is an answer of a pod that is no success.
type orderError struct {
	status int
	text   string
}

func (e *orderError) Error() string {
	return fmt.Sprintf("it answers %d: %s", e.status, e.text)
}

// order sends a control request to a pod, and reads the answer where one is
// wanted.
func (d *Deployment) order(ctx context.Context, pod, method, path string, body, answer any) error {
	token, err := d.tokenOf(ctx)
	if err != nil {
		return err
	}
	return d.c.order(ctx, podAddress{d.namespace, pod, token}, method, path, body, answer)
}

// A podAddress is what it takes to give orders to a pod.
type podAddress struct{ namespace, name, token string }

func (c *Cluster) order(ctx context.Context, pod podAddress, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	to, err := c.podURL(pod.namespace, pod.name, manifest.ControlPort, path)
	if err != nil {
		return err
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing an order: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, to, content)
	if err != nil {
		return err
	}
	req.Header.Set(TokenHeader, pod.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return explain(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.name, err)
	}
	if denied := deniedBy(text); denied != nil && resp.StatusCode == http.StatusForbidden {
		return explain(denied)
	}
	if resp.StatusCode/100 != 2 {
		return &orderError{resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), 500)]))}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.name, err)
	}
	return nil
}

// tokenOf returns the system's token, from its Secret where it is not known yet.
func (d *Deployment) tokenOf(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token != "" {
		return d.token, nil
	}
	secret, err := d.c.client.CoreV1().Secrets(d.namespace).Get(ctx, manifest.ObjectName(d.system.Name), metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the token of system %q: %w", d.system.Name, explain(err))
	}
	d.token = string(secret.Data[manifest.TokenKey])
	return d.token, nil
}

var podName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`) //nolint:gochecknoglobals // a constant

// controlSuffix on a pod's name leads to the port of health, metrics and control.
// No pod's name has a colon.
const controlSuffix = ":control"

// A podProxy listens on this machine and passes requests on to the pods of one
// system through the API server: http://127.0.0.1:PORT/POD/path.
type podProxy struct {
	listener net.Listener
	server   *http.Server
	done     chan error
}

func (d *Deployment) newProxy() (*podProxy, error) {
	target, err := d.c.base()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for requests to system %q: %w", d.system.Name, err)
	}
	// Whoever sent a request that breaks off sees that by himself.
	quiet := log.New(io.Discard, "", 0)
	reverse := &httputil.ReverseProxy{
		Transport: d.c.http.Transport,
		ErrorLog:  quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			pod, path, _ := strings.Cut(strings.TrimPrefix(r.In.URL.EscapedPath(), "/"), "/")
			port := manifest.HTTPPort
			if name, control := strings.CutSuffix(pod, controlSuffix); control {
				pod, port = name, manifest.ControlPort
			}
			to, err := d.c.podURL(d.namespace, pod, port, "/"+path)
			if u, parseErr := url.Parse(to); err == nil && parseErr == nil {
				u.RawQuery = r.In.URL.RawQuery
				r.Out.URL = u
			}
			r.Out.Host = target.Host
			// The credentials are those of the cluster.
			r.Out.Header.Del("Authorization")
		},
		ModifyResponse: func(resp *http.Response) error {
			if said := serverSaid(resp); said != "" {
				return errors.New(said)
			}
			return nil
		},
		// A pod that gave no answer is met as one that gave no answer.
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval: -1,
	}
	guard := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pod, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		// Whoever got another name to lead here, as web pages can, is not served.
		if r.Host != ln.Addr().String() || !podName.MatchString(strings.TrimSuffix(pod, controlSuffix)) {
			http.NotFound(w, r)
			return
		}
		reverse.ServeHTTP(w, r)
	})
	p := &podProxy{listener: ln, server: &http.Server{Handler: guard, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}, done: make(chan error, 1)}
	go func() { p.done <- p.server.Serve(ln) }()
	return p, nil
}

func (p *podProxy) url(pod string) string { return "http://" + p.listener.Addr().String() + "/" + pod }

func (p *podProxy) controlURL(pod string) string { return p.url(pod) + controlSuffix }

func (p *podProxy) close() error {
	_ = p.server.Close()
	if err := <-p.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving requests on %s: %w", p.listener.Addr(), err)
	}
	return nil
}
