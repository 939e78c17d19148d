package gateapi

import (
	"encoding/json"
	"errors"
	"net"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// A proxy is a gate with a name and named conditions.
type proxy struct {
	settings
	gate   *gate.Gate
	toxics []*toxic
}

// settings are what a client may say about a proxy.
type settings struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	Enabled  bool   `json:"enabled"`
	// Accepting is shown only while it is false.
	Accepting *bool `json:"accepting,omitempty"`
}

// shown is what a client sees of a proxy.
type shown struct {
	settings
	Toxics []*toxic `json:"toxics"`
}

func (p *proxy) show() shown {
	s := shown{settings: p.settings, Toxics: []*toxic{}}
	s.Accepting = nil
	if s.Enabled && !p.gate.Accepting() {
		s.Accepting = new(bool)
	}
	for _, stream := range []string{"upstream", "downstream"} {
		for _, t := range p.toxics {
			if t.Stream == stream {
				s.Toxics = append(s.Toxics, t)
			}
		}
	}
	return s
}

// newProxy makes a proxy that is not started.
func (a *API) newProxy(s settings, toxics []json.RawMessage) (*proxy, error) {
	if err := checkName(s.Name); err != nil {
		return nil, err
	}
	list, err := decodeToxics(toxics)
	if err != nil {
		return nil, err
	}
	p := &proxy{settings: s}
	p.Enabled = false
	c := a.config.Gate
	c.Listen, c.Upstream, c.Relay = s.Listen, s.Upstream, a.relay
	if c.Seed != 0 {
		c.Seed = dist.Seed(c.Seed).With("gate").With(s.Name).Uint64()
	}
	if c.Log != nil {
		c.Log = c.Log.With("name", s.Name)
	}
	if p.gate, err = gate.New(c); err != nil {
		return nil, failure(badRequest, "%v", err)
	}
	for _, t := range list {
		if err := p.add(t); err != nil {
			return nil, errors.Join(err, p.gate.Close())
		}
	}
	return p, nil
}

// add puts a toxic in force.
func (p *proxy) add(t *toxic) error {
	if _, _, err := p.find(t.Name); err == nil {
		return failure(conflict, "toxic already exists")
	}
	c, err := t.condition()
	if err == nil {
		t.active, err = direction(p.gate, t.Stream).Add(c)
	}
	if err != nil {
		return failure(badRequest, "bad request body: %v", err)
	}
	p.toxics = append(p.toxics, t)
	return nil
}

func direction(g *gate.Gate, stream string) *gate.Direction {
	if stream == "upstream" {
		return g.ToServer()
	}
	return g.ToClient()
}

// start enables the proxy; the address it got is kept.
func (p *proxy) start() error {
	if err := p.gate.Start(); err != nil {
		var network *net.OpError
		if errors.As(err, &network) {
			return failure(serverError, "%v", network) // what clients compare with
		}
		return failure(serverError, "%v", err)
	}
	p.Enabled = true
	p.Listen = p.gate.Addr()
	p.Listen = scheme(p.gate.String()) + p.Listen
	return nil
}

// scheme returns the "udp:" or "unix:" that an address begins with, or nothing.
func scheme(address string) string {
	for _, s := range []string{"udp:", "unix:"} {
		if strings.HasPrefix(address, s) {
			return s
		}
	}
	return ""
}

func (p *proxy) stop() error {
	p.Enabled = false
	return p.gate.Stop()
}

// differs says whether other settings need another gate.
func (p *proxy) differs(s settings) (bool, error) {
	listen := s.Listen
	if scheme(listen) == "" {
		address, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(listen, "tcp:"))
		if err != nil {
			return false, failure(serverError, "%v", err)
		}
		listen = address.String()
	}
	return p.Listen != listen || p.Upstream != s.Upstream, nil
}

// updateProxy makes the settings those that a client sent. On an error the proxy
// goes on as it was.
func (a *API) updateProxy(p *proxy, s settings) error {
	if s.Listen == "" {
		s.Listen = p.Listen
	}
	if s.Upstream == "" {
		return failure(badRequest, "field \"upstream\" is empty; it must name a server, as in \"127.0.0.1:5432\"")
	}
	differs, err := p.differs(s)
	if err != nil {
		return err
	}
	before := p.Upstream
	switch {
	case differs && (s.Upstream == before || p.moves(s)):
		next, err := a.newProxy(s, nil)
		if err != nil {
			return err
		}
		for _, t := range p.toxics {
			same := *t
			if err := next.add(&same); err != nil {
				return errors.Join(err, next.gate.Close())
			}
		}
		return a.replace(p, next, s)
	case differs:
		if err := p.gate.SetUpstream(s.Upstream); err != nil {
			return failure(badRequest, "%v", err)
		}
		p.Upstream = s.Upstream
	}
	if err := p.change(&s.Enabled, s.Accepting, nil); err != nil {
		if p.Upstream != before {
			err = errors.Join(err, p.gate.SetUpstream(before))
			p.Upstream = before
		}
		return err
	}
	return nil
}

// moves says whether other settings have another address for clients.
func (p *proxy) moves(s settings) bool {
	s.Upstream = p.Upstream
	differs, err := p.differs(s)
	return err == nil && differs
}

// change changes what is not nil, or not empty.
func (p *proxy) change(enabled, accepting *bool, toxics []*toxic) error {
	if enabled != nil && *enabled && !p.Enabled {
		if err := p.start(); err != nil {
			return err
		}
	}
	if enabled != nil && !*enabled && p.Enabled {
		if err := p.stop(); err != nil {
			return err
		}
	}
	if len(toxics) > 0 {
		if err := p.setToxics(toxics); err != nil {
			return err
		}
	}
	return p.accept(accepting)
}

// setToxics makes these the toxics; on an error the old ones stay.
func (p *proxy) setToxics(toxics []*toxic) error {
	old := p.toxics
	p.toxics = nil
	for _, t := range toxics {
		if err := p.add(t); err != nil {
			removeAll(p.toxics)
			p.toxics = old
			return err
		}
	}
	removeAll(old)
	return nil
}

func removeAll(toxics []*toxic) {
	for _, t := range toxics {
		t.active.Remove()
	}
}

func (p *proxy) accept(accepting *bool) error {
	switch {
	case accepting == nil || !p.Enabled:
		return nil
	case *accepting:
		return p.gate.StartAccepting()
	}
	return p.gate.StopAccepting()
}

func (p *proxy) find(name string) (int, *toxic, error) {
	for i, t := range p.toxics {
		if t.Name == name {
			return i, t, nil
		}
	}
	return -1, nil, failure(notFound, "toxic not found")
}

// addToxic puts a toxic in force from the JSON of a client.
func (p *proxy) addToxic(body []byte) (*toxic, error) {
	t, err := decodeToxic(body)
	if err != nil {
		return nil, err
	}
	return t, p.add(t)
}

// updateToxic changes those values of a toxic that the JSON names.
func (p *proxy) updateToxic(name string, body []byte) (*toxic, error) {
	i, old, err := p.find(name)
	if err != nil {
		return nil, err
	}
	b, err := decodeToxicBody(body, old.Type)
	if err != nil {
		return nil, err
	}
	for _, fixed := range []struct{ field, is, wanted string }{{"name", old.Name, b.Name}, {"type", old.Type, b.Type}, {"stream", old.Stream, b.Stream}} {
		if fixed.wanted != "" && fixed.wanted != fixed.is {
			return nil, failure(badRequest, "bad request body: the %s of toxic %q is %q and cannot become %q; remove it and add another", fixed.field, old.Name, fixed.is, fixed.wanted)
		}
	}
	t := *old
	t.Attributes = newAttributes(t.Type)
	if err := copyAttributes(old.Attributes, t.Attributes); err != nil {
		return nil, err
	}
	if err := b.into(&t); err != nil {
		return nil, err
	}
	c, err := t.condition()
	if err == nil {
		err = t.active.Update(c)
	}
	if err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
	}
	p.toxics[i] = &t
	return &t, nil
}

func (p *proxy) removeToxic(name string) error {
	i, t, err := p.find(name)
	if err != nil {
		return err
	}
	t.active.Remove()
	p.toxics = append(p.toxics[:i:i], p.toxics[i+1:]...)
	return nil
}

// reset enables the proxy and removes its toxics, these also if it cannot start.
func (p *proxy) reset() error {
	removeAll(p.toxics)
	p.toxics = nil
	if err := p.start(); err != nil {
		return err
	}
	if err := p.gate.Reset(); err != nil {
		return failure(serverError, "%v", err)
	}
	return nil
}
