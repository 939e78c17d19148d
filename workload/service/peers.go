package service

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

// A peerBook knows who may be called, by name and by host. SetPeers puts
// another in its place. All services of a process may share one map of
// addresses, however large, so a book parses only what is asked for.
type peerBook struct {
	urls map[string][]string
	// byName has []*replica; byHost names of services by host:port.
	byName, byHost sync.Map
}

// A replica is one address of a service.
type replica struct {
	url *url.URL
	// addr is host:port, to dial.
	addr string
}

// external is the callee in metrics of all hosts outside the system.
const external = "external"

// SetPeers says anew where the services of the system are: base URLs for each
// name, without a path. Beside names, a host:port of the system leads to another
// address by which it is to be reached. The map must not be changed afterwards.
// Requests in flight finish with what they have begun; connections to addresses
// that are not in the map any more are not used again.
func (s *Service) SetPeers(peers map[string][]string) error {
	for name, urls := range peers {
		for _, text := range urls {
			if host := hostOf(text); host == "" || strings.ContainsAny(host, " @/?#") {
				return fmt.Errorf("reading the peers of service %q: %q of %q is not a base URL: write one such as http://127.0.0.1:8080", s.Name(), text, name)
			}
		}
	}
	s.peers.Store(&peerBook{urls: peers})
	if own, ok := s.caller.own.(*client); ok {
		own.keepOnly(peers)
	}
	return nil
}

// hostOf is the host of a base URL, cheaply; "" where it is none.
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

// replicas returns the addresses of a service; none where it is not known.
func (b *peerBook) replicas(name string) []*replica {
	if list, ok := b.byName.Load(name); ok {
		return list.([]*replica)
	}
	urls := b.urls[name]
	if len(urls) == 0 {
		return nil
	}
	list := make([]*replica, 0, len(urls))
	for _, text := range urls {
		if r, err := newReplica(text); err == nil {
			list = append(list, r)
		}
	}
	b.byName.Store(name, list)
	return list
}

// serviceAt returns the service that has a host:port.
func (b *peerBook) serviceAt(addr string) (name string, ok bool) {
	if name, ok := b.byHost.Load(addr); ok {
		return name.(string), true
	}
	for name, urls := range b.urls {
		if strings.Contains(name, ":") {
			continue // an address, and no service
		}
		for _, text := range urls {
			// Parsing is left to those that can be meant.
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

func newReplica(text string) (*replica, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	return &replica{url: u, addr: dialAddress(u)}, nil
}

// dialAddress is the URL's host with its port.
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

// A refusal is why a designation is not called.
type refusal string

func (r refusal) Error() string { return string(r) }

// locate finds the service that a designation of a chain means: a name of the
// system, or a URL of one of its services or of an allowed host. For a name it
// returns the replicas, for a URL the address alone.
func (s *Service) locate(designation string) (name string, replicas []*replica, err error) {
	book := s.peers.Load()
	// Names come first: a service may be called http-gateway.
	for _, name := range []string{designation, chain.ServiceName(designation)} {
		if replicas := book.replicas(name); len(replicas) > 0 {
			return name, replicas, nil
		}
	}
	if !chain.IsURL(designation) {
		return "", nil, refusal(fmt.Sprintf("designation %q is not a service of system %q", shorten(designation), s.cfg.System))
	}
	u, err := url.Parse(designation)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", nil, refusal(fmt.Sprintf("designation %q is no URL", shorten(designation)))
	}
	r := &replica{url: u, addr: dialAddress(u)}
	if instead := book.replicas(r.addr); len(instead) > 0 {
		u.Host, r.addr = instead[0].url.Host, instead[0].addr
	}
	if name, ok := book.serviceAt(r.addr); ok {
		return name, []*replica{r}, nil
	}
	if slices.Contains(s.cfg.AllowHosts, u.Host) || slices.Contains(s.cfg.AllowHosts, u.Hostname()) {
		return external, []*replica{r}, nil
	}
	return "", nil, refusal(fmt.Sprintf("designation %q is outside system %q: add %q to its allowHosts to permit it", shorten(designation), s.cfg.System, u.Host))
}

// shorten bounds how much of a sender's word a text repeats, and leaves passwords out.
func shorten(s string) string {
	s = problem.CleanURL(s)
	if len(s) > maxID {
		return s[:maxID] + "..."
	}
	return s
}
