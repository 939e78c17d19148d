package peer

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A Book has the services that may be called, by name and by host. All services of a
// process may share one large map of addresses, so a book parses only the addresses
// that it is asked for.
type Book struct {
	system     string
	urls       map[string][]string
	allowHosts []string
	// byName has []*Replica by the names of services; byHost has the names of
	// services by host:port.
	byName, byHost sync.Map
}

// A Replica is one address of a service.
type Replica struct {
	url *url.URL
	// addr is host:port, to dial.
	addr string
}

// External is the callee in metrics of all hosts outside the system.
const External = "external"

// NewBook returns the book of a system's services: base URLs for each name, without a
// path. The map may also have a host:port of the system as a key, with the address at
// which it is to be reached. Chains may name the allowed hosts, or host:port, outside
// the system by URL. The map must not be changed afterwards.
func NewBook(system string, urls map[string][]string, allowHosts []string) (*Book, error) {
	for name, list := range urls {
		for _, text := range list {
			if host := hostOf(text); host == "" || strings.ContainsAny(host, " @/?#") {
				return nil, fmt.Errorf("%q of %q is not a base URL: write one such as http://127.0.0.1:8080", text, name)
			}
		}
	}
	return &Book{system: system, urls: urls, allowHosts: allowHosts}, nil
}

// hostOf returns the host of a base URL without parsing all of it; "" if the text
// is not a base URL.
func hostOf(text string) string {
	host, ok := strings.CutPrefix(text, "http://")
	if !ok {
		host, _ = strings.CutPrefix(text, "https://")
		if host == text {
			return ""
		}
	}
	return strings.TrimSuffix(host, "/")
}

// Replicas returns the addresses of a service; none if it is not known.
func (b *Book) Replicas(name string) []*Replica {
	if list, ok := b.byName.Load(name); ok {
		return list.([]*Replica)
	}
	urls := b.urls[name]
	if len(urls) == 0 {
		return nil
	}
	list := make([]*Replica, 0, len(urls))
	for _, text := range urls {
		if r, err := newReplica(text); err == nil {
			list = append(list, r)
		}
	}
	b.byName.Store(name, list)
	return list
}

// serviceAt returns the service that has a host:port.
func (b *Book) serviceAt(addr string) (name string, ok bool) {
	if name, ok := b.byHost.Load(addr); ok {
		return name.(string), true
	}
	for name, urls := range b.urls {
		if strings.Contains(name, ":") {
			continue // an address, and no service
		}
		for _, text := range urls {
			// Parse only the URLs that can have the host.
			host := hostOf(text)
			if _, port, found := strings.Cut(host[strings.LastIndexByte(host, ']')+1:], ":"); found && port != "" && !strings.EqualFold(host, addr) {
				continue
			}
			if r, err := newReplica(text); err == nil && r.addr == addr {
				b.byHost.Store(addr, name)
				return name, true
			}
		}
	}
	return "", false
}

// RequestURI returns the request target of the URL by which the replica was found.
func (r *Replica) RequestURI() string { return r.url.RequestURI() }

// Addr returns the host:port of the replica.
func (r *Replica) Addr() string { return r.addr }

func newReplica(text string) (*Replica, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	return &Replica{url: u, addr: dialAddress(u)}, nil
}

// dialAddress returns the URL's host with its port.
func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// A refusal is the reason why a designation is not called.
type refusal string

func (r refusal) Error() string { return string(r) }

// Locate finds the service that a designation of a chain means: a name of the
// system, or a URL of one of its services or of an allowed host. For a name it
// returns all replicas, for a URL only the address.
func (b *Book) Locate(designation string) (name string, replicas []*Replica, err error) {
	// Names come first: a service may be called http-gateway.
	for _, name := range []string{designation, chain.ServiceName(designation)} {
		if replicas := b.Replicas(name); len(replicas) > 0 {
			return name, replicas, nil
		}
	}
	if !chain.IsURL(designation) {
		return "", nil, refusal(fmt.Sprintf("designation %q is not a service of system %q", problem.Excerpt(designation), b.system))
	}
	u, err := url.Parse(designation)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", nil, refusal(fmt.Sprintf("designation %q is no URL", problem.Excerpt(designation)))
	}
	r := &Replica{url: u, addr: dialAddress(u)}
	if instead := b.Replicas(r.addr); len(instead) > 0 {
		u.Host, r.addr = instead[0].url.Host, instead[0].addr
	}
	if name, ok := b.serviceAt(r.addr); ok {
		return name, []*Replica{r}, nil
	}
	if slices.Contains(b.allowHosts, u.Host) || slices.Contains(b.allowHosts, u.Hostname()) {
		return External, []*Replica{r}, nil
	}
	return "", nil, refusal(fmt.Sprintf("designation %q is outside system %q: add %q to its allowHosts to permit it", problem.Excerpt(designation), b.system, u.Host))
}
