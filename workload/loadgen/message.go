package loadgen

import (
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A message is a request in the form that is sent, without its id.
type message struct {
	isHead bool
	method string
	places []place
	body   []byte
	// tree is the drawn chain, which is the body; nil for other requests.
	tree *chain.Chain
}

// A place is one replica to which a message may be sent, with the head for it:
// everything up to the value of X-Request-ID.
type place struct {
	endpoint *http1.Endpoint
	head     []byte
	url      string // for people
}

// appendHead appends the head, and the body if it is small. It omits an empty id.
func (m *message) appendHead(dst []byte, p *place, id []byte, trace *rootTrace) []byte {
	dst = append(dst, p.head...)
	if len(id) > 0 {
		dst = append(append(append(dst, control.RequestIDHeader+": "...), id...), "\r\n"...)
	}
	if trace.tells {
		dst = append(trace.Append(append(dst, "traceparent: "...)), "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if len(m.body) <= http1.SmallBody {
		dst = append(dst, m.body...)
	}
	return dst
}

func (m *message) bodyApart() []byte {
	if len(m.body) <= http1.SmallBody {
		return nil
	}
	return m.body
}

// A source makes the messages of one request of the mix.
type source struct {
	fixed *message
	chain *chain.Chain
	spec  *load.Request
	// name is the name of the request, without passwords.
	name  string
	ownID bool // the file gives the X-Request-ID
	urls  map[string][]string
	dests map[string]*http1.Endpoint
	// tls says how certificates are checked; it lacks the name of the server.
	tls *tls.Config
}

// newSources resolves the requests of a profile against a target. Endpoints are
// shared by all requests, so that connections are, too.
func newSources(profile *load.Profile, target runner.LoadTarget) ([]*source, error) {
	requests := profile.Requests
	checked, err := TLSConfig(profile.TLS)
	if err != nil {
		return nil, err
	}
	dests := map[string]*http1.Endpoint{}
	sources := make([]*source, len(requests))
	for i := range requests {
		s := &source{spec: &requests[i], name: problem.CleanText(requests[i].Name), urls: target.URLs, dests: dests, tls: checked}
		s.ownID = slices.ContainsFunc(slices.Collect(maps.Keys(s.spec.Headers)), func(name string) bool {
			return strings.EqualFold(name, control.RequestIDHeader)
		})
		if err := s.prepare(target.System); err != nil {
			return nil, fmt.Errorf("preparing request %q: %w", s.spec.Name, err)
		}
		sources[i] = s
	}
	return sources, nil
}

func (s *source) prepare(system *topology.System) (err error) {
	r := s.spec
	switch {
	case r.Chain != "":
		if s.chain, err = chain.Parse([]byte(r.Chain), chain.Limits{}); err != nil {
			return err
		}
		// Make the endpoints here, because the workers share the map later.
		for _, name := range s.chain.Designations() {
			bases := s.replicas(name)
			if chain.IsURL(name) {
				bases = []string{name}
			}
			for _, base := range bases {
				if _, _, err := s.endpoint(base); err != nil {
					return err
				}
			}
		}
		if name := s.chain.Designation; !chain.IsURL(name) && len(s.replicas(name)) == 0 {
			return fmt.Errorf("the chain designates %q, which is not a ready service of the system: name one of %s, or a URL", name, s.known())
		}
		return nil
	case r.URL != "":
		s.fixed, err = s.message([]string{r.URL}, cmp.Or(r.Method, s.defaultMethod()), s.body())
		return err
	}
	bases := s.replicas(r.Service)
	if len(bases) == 0 {
		return fmt.Errorf("service %q has no ready replica: name one of %s", r.Service, s.known())
	}
	method, path := r.Method, r.Endpoint
	if system != nil {
		if svc := system.Service(r.Service); svc != nil {
			where, _, _ := strings.Cut(path, "?")
			if e := svc.Endpoint(method, where); e != nil {
				method, path = cmp.Or(method, e.Method), cmp.Or(path, e.Path)
			}
			path = svc.RequestPath(path)
		}
	}
	urls := make([]string, len(bases))
	for i, base := range bases {
		urls[i] = strings.TrimSuffix(base, "/") + cmp.Or(path, topology.DefaultPath)
	}
	s.fixed, err = s.message(urls, cmp.Or(method, s.defaultMethod()), s.body())
	return err
}

func (s *source) known() string {
	return strings.Join(slices.Sorted(maps.Keys(s.urls)), ", ")
}

// replicas returns the base URLs of a service that a chain or a file names.
func (s *source) replicas(name string) []string {
	if urls := s.urls[name]; len(urls) > 0 {
		return urls
	}
	return s.urls[chain.ServiceName(name)]
}

func (s *source) defaultMethod() string {
	if s.spec.Body != "" || s.spec.BodySize > 0 {
		return "POST"
	}
	return "GET"
}

func (s *source) body() []byte {
	if s.spec.BodySize > 0 {
		return make([]byte, s.spec.BodySize)
	}
	return []byte(s.spec.Body)
}

func (s *source) message(urls []string, method string, body []byte) (*message, error) {
	m := &message{isHead: method == "HEAD", method: method, body: body, places: make([]place, len(urls))}
	for i, text := range urls {
		to, u, err := s.endpoint(text)
		if err != nil {
			return nil, err
		}
		m.places[i] = place{to, s.head(u, method, len(body)), problem.CleanURL(text)}
	}
	return m, nil
}

// sample returns the message of an arrival, or nil if the chain's probabilities
// leave nothing to send. The key is load.Phase.ChainKey's, so that all requests of
// a burst are alike.
func (s *source) sample(key dist.Key) (*message, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	tree := chain.Sample(s.chain, key)
	if tree == nil {
		return nil, nil
	}
	resolved, _ := chain.Resolve(tree, func(name string) (string, bool) {
		urls := s.urls[name]
		if len(urls) == 0 {
			return "", false
		}
		return urls[key.With(name).IntN(len(urls))] + "/", true
	})
	body, err := json.Marshal(resolved)
	if err != nil {
		return nil, fmt.Errorf("writing the chain to %q: %w", problem.CleanURL(resolved.Designation), err)
	}
	urls := []string{resolved.Designation}
	if !chain.IsURL(tree.Designation) {
		urls = slices.Clone(s.replicas(tree.Designation))
		at := slices.IndexFunc(urls, func(u string) bool { return u+"/" == resolved.Designation })
		urls = slices.Concat(urls[at:], urls[:at])
	}
	m, err := s.message(urls, "POST", body)
	if err != nil {
		return nil, err
	}
	m.tree = tree
	return m, nil
}

// endpoint returns the endpoint of a URL's host, and the parsed URL.
func (s *source) endpoint(text string) (*http1.Endpoint, *url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%q is not an http or https URL", problem.CleanURL(text))
	}
	id := u.Scheme + "://" + u.Host
	if to := s.dests[id]; to != nil {
		return to, u, nil
	}
	to := &http1.Endpoint{}
	port := "80"
	if u.Scheme == "https" {
		to.TLS, port = s.tls.Clone(), "443"
		to.TLS.ServerName = u.Hostname()
	}
	to.Addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	s.dests[id] = to
	return to, u, nil
}

func basic(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}

func (s *source) head(u *url.URL, method string, bodyLength int) []byte {
	head := []byte(method + " " + u.RequestURI() + " HTTP/1.1\r\n")
	field := func(name, value string) {
		for given := range s.spec.Headers {
			if strings.EqualFold(given, name) {
				return // the file has its own
			}
		}
		head = append(head, name+": "+value+"\r\n"...)
	}
	field("Host", u.Host)
	if u.User != nil {
		field("Authorization", basic(u.User))
	}
	if bodyLength > 0 || method == "POST" || method == "PUT" || method == "PATCH" {
		field("Content-Length", strconv.Itoa(bodyLength))
	}
	if s.chain != nil {
		field("Content-Type", "application/json")
	}
	for _, name := range slices.Sorted(maps.Keys(s.spec.Headers)) {
		head = append(head, name+": "+s.spec.Headers[name]+"\r\n"...)
	}
	return head
}
