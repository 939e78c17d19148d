package kubeapi

import (
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

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

var podName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`) //nolint:gochecknoglobals // a constant

// controlSuffix on a pod's name leads to the port of health, metrics and control.
// No pod's name has a colon.
const controlSuffix = ":control"

// A PodProxy listens on this machine and passes requests on to the pods of one
// system through the API server: http://127.0.0.1:PORT/POD/path.
type PodProxy struct {
	listener net.Listener
	server   *http.Server
	done     chan error
}

func (c *Client) ListenForPods(namespace string) (*PodProxy, error) {
	target, err := c.base()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for requests to the pods of namespace %q: %w", namespace, err)
	}
	// The client sees a request that breaks off, so nothing is logged.
	quiet := log.New(io.Discard, "", 0)
	reverse := &httputil.ReverseProxy{
		Transport: c.HTTP.Transport,
		ErrorLog:  quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			pod, path, _ := strings.Cut(strings.TrimPrefix(r.In.URL.EscapedPath(), "/"), "/")
			port := manifest.HTTPPort
			if name, control := strings.CutSuffix(pod, controlSuffix); control {
				pod, port = name, manifest.ControlPort
			}
			to, err := c.PodURL(namespace, pod, port, "/"+path)
			if u, parseErr := url.Parse(to); err == nil && parseErr == nil {
				u.RawQuery = r.In.URL.RawQuery
				r.Out.URL = u
			}
			r.Out.Host = target.Host
			// The credentials are those of the cluster.
			r.Out.Header.Del(control.AuthorizationHeader)
		},
		ModifyResponse: func(resp *http.Response) error {
			if said := ServerSaid(resp); said != "" {
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
	p := &PodProxy{listener: ln, server: &http.Server{Handler: guard, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}, done: make(chan error, 1)}
	go func() { p.done <- p.server.Serve(ln) }()
	return p, nil
}

func (p *PodProxy) URL(pod string) string { return "http://" + p.listener.Addr().String() + "/" + pod }

func (p *PodProxy) ControlURL(pod string) string { return p.URL(pod) + controlSuffix }

func (p *PodProxy) Close() error {
	_ = p.server.Close()
	if err := <-p.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving requests on %s: %w", p.listener.Addr(), err)
	}
	return nil
}
