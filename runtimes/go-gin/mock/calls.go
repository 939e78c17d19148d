package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A callError is a call that failed, with its class: connection_error, timeout,
// http_error or malformed.
type callError struct {
	outcome, text string
	status        int
}

func (e *callError) Error() string { return e.text }

// A reply is an answer to a call; of one that is longer than wanted, body is the
// beginning.
type reply struct {
	status      int
	contentType string
	body        []byte
	whole       bool
	times       string
	degraded    int
}

// peers say who may be called, by name and by address.
type peers struct {
	system     string
	allowHosts []string

	mu    sync.RWMutex
	known map[string][]*url.URL
}

// set says anew where the services are.
func (p *peers) set(data []byte) error {
	var texts map[string][]string
	if err := json.Unmarshal(data, &texts); err != nil || texts == nil {
		return errors.New("peers are an object of names with lists of base URLs")
	}
	known := map[string][]*url.URL{}
	for name, list := range texts {
		known[name] = []*url.URL{}
		for _, text := range list {
			u := parseURL(text)
			if u == nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
				return fmt.Errorf("%q of %q is no base URL: write one such as http://127.0.0.1:8080", text, name)
			}
			known[name] = append(known[name], u)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
	return nil
}

func (p *peers) all() map[string][]*url.URL {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.known
}

func (p *peers) of(name string) []*url.URL { return p.all()[name] }

// locate finds what a designation of a chain means. The error says why it is not
// called.
func (p *peers) locate(designation string) (name string, urls []*url.URL, err error) {
	for _, name := range []string{designation, strings.ReplaceAll(designation, "_", "-")} {
		if urls := p.of(name); len(urls) > 0 {
			return name, urls, nil
		}
	}
	if !strings.HasPrefix(designation, "http") {
		return "", nil, fmt.Errorf("designation %.130q is not a service of system %q", designation, p.system)
	}
	u := parseURL(designation)
	if u == nil {
		return "", nil, fmt.Errorf("designation %.130q is not a URL", designation)
	}
	if instead := p.of(addressOf(u)); len(instead) > 0 {
		u.Host = instead[0].Host
	}
	for name, urls := range p.all() {
		if !strings.Contains(name, ":") && slices.ContainsFunc(urls, func(known *url.URL) bool { return addressOf(known) == addressOf(u) }) {
			return name, []*url.URL{u}, nil
		}
	}
	if slices.Contains(p.allowHosts, u.Host) || slices.Contains(p.allowHosts, u.Hostname()) {
		return "external", []*url.URL{u}, nil
	}
	return "", nil, fmt.Errorf("designation %q is outside system %q: add %q to its allowHosts to permit it", u.Scheme+"://"+u.Host, p.system, u.Host)
}

// unreachable lists the names to which no connection can be made from here.
func (p *peers) unreachable(ctx context.Context) []string {
	var mu sync.Mutex
	var wait sync.WaitGroup
	names := []string{}
	for name, urls := range p.all() {
		if strings.Contains(name, ":") {
			continue
		}
		wait.Go(func() {
			if !slices.ContainsFunc(urls, func(u *url.URL) bool { return canConnect(ctx, u) }) {
				mu.Lock()
				defer mu.Unlock()
				names = append(names, name)
			}
		})
	}
	wait.Wait()
	slices.Sort(names)
	return names
}

func canConnect(ctx context.Context, u *url.URL) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addressOf(u))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func parseURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil
	}
	return u
}

func addressOf(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// newClient makes a client that keeps connections and follows no redirects.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// once is a body that cannot be had again, so that the client never sends a
// request twice, not even a GET over a connection that was closed meanwhile.
type once struct{ io.Reader }

// send sends a request and reads its whole answer, of which it keeps so much. A
// deadline of zero means none.
func send(client *http.Client, req *http.Request, deadline time.Time, keep int) (*reply, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, classify(ctx, err, connected.Load())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(keep)))
	rest := int64(0)
	if err == nil {
		rest, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return nil, classify(ctx, err, true)
	}
	degraded, _ := strconv.ParseUint(resp.Header.Get("Microsim-Degraded"), 10, 32)
	return &reply{
		status: resp.StatusCode, contentType: resp.Header.Get("Content-Type"), body: body, whole: rest == 0,
		times: resp.Header.Get("Microsim-Times"), degraded: int(min(degraded, 1_000_000)),
	}, nil
}

func classify(ctx context.Context, err error, connected bool) error {
	malformed := textproto.ProtocolError("")
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && connected:
		return &callError{outcome: "timeout", text: "no answer came in time"}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &callError{outcome: "connection_error", text: "no connection was made in time"}
	case errors.As(err, &malformed), strings.Contains(err.Error(), "malformed"):
		return &callError{outcome: "malformed", text: "the answer is no HTTP"}
	}
	return &callError{outcome: "connection_error", text: err.Error()}
}
