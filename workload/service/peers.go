package service

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
)

// A peerBook knows who may be called, by name and by host. It does not change:
// SetPeers puts another in its place.
type peerBook struct {
	byName map[string][]*replica
	byHost map[string]string
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
// name, without a path. Requests in flight finish with what they have begun.
func (s *Service) SetPeers(peers map[string][]string) error {
	book := &peerBook{byName: make(map[string][]*replica, len(peers)), byHost: make(map[string]string, len(peers))}
	for name, urls := range peers {
		for _, text := range urls {
			r, err := newReplica(text)
			if err != nil {
				return fmt.Errorf("reading the peers of service %q: %s: %w", s.Name(), name, err)
			}
			book.byName[name] = append(book.byName[name], r)
			book.byHost[r.addr] = name
		}
	}
	s.peers.Store(book)
	return nil
}

func newReplica(text string) (*replica, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no base URL: write one such as http://127.0.0.1:8080", text)
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
	for _, name := range []string{designation, behave.ServiceName(designation)} {
		if replicas := book.byName[name]; len(replicas) > 0 {
			return name, replicas, nil
		}
	}
	if !behave.IsURL(designation) {
		return "", nil, refusal(fmt.Sprintf("designation %q is no service of system %q", shorten(designation), s.cfg.System))
	}
	u, err := url.Parse(designation)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", nil, refusal(fmt.Sprintf("designation %q is no URL", shorten(designation)))
	}
	r := &replica{url: u, addr: dialAddress(u)}
	if name, ok := book.byHost[r.addr]; ok {
		return name, []*replica{r}, nil
	}
	if slices.Contains(s.cfg.AllowHosts, u.Host) || slices.Contains(s.cfg.AllowHosts, u.Hostname()) {
		return external, []*replica{r}, nil
	}
	return "", nil, refusal(fmt.Sprintf("designation %q is outside system %q: add %q to its allowHosts to permit it", shorten(designation), s.cfg.System, u.Host))
}

// shorten bounds how much of a sender's word a text repeats.
func shorten(s string) string {
	if len(s) > maxID {
		return s[:maxID] + "..."
	}
	return s
}
