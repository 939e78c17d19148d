package gateapi

import (
	"errors"
	"fmt"
	"net"
	"strings"

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
func (a *API) newProxy(s settings) (*proxy, error) {
	p := &proxy{settings: s}
	p.Enabled = false
	return p, p.rebuild(a)
}

// rebuild gives the proxy a gate for its settings, with the toxics it has.
func (p *proxy) rebuild(a *API) error {
	c := a.config.Gate
	c.Listen, c.Upstream = p.Listen, p.Upstream
	g, err := gate.New(c)
	if err != nil {
		return failure(badRequest, "%v", err)
	}
	for _, t := range p.toxics {
		c, err := t.condition()
		if err == nil {
			t.active, err = direction(g, t.Stream).Add(c)
		}
		if err != nil {
			return errors.Join(failure(badRequest, "%v", err), g.Close())
		}
	}
	p.gate = g
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

// update makes the settings those that a client sent.
func (p *proxy) update(a *API, s settings) error {
	differs, err := p.differs(s)
	if err != nil {
		return err
	}
	if differs {
		if err := p.move(a, s); err != nil {
			return err
		}
	}
	if s.Enabled && !p.Enabled {
		if err := p.start(); err != nil {
			return err
		}
	}
	if !s.Enabled && p.Enabled {
		if err := p.stop(); err != nil {
			return err
		}
	}
	return p.accept(s.Accepting)
}

// move stops the proxy and gives it other addresses.
func (p *proxy) move(a *API, s settings) error {
	old, before := p.gate, p.settings
	p.Listen, p.Upstream, p.Enabled = s.Listen, s.Upstream, false
	if err := p.rebuild(a); err != nil {
		p.settings = before
		return err
	}
	return old.Close()
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
	t := &toxic{Stream: "downstream", Toxicity: 1}
	named := struct {
		Name     *string  `json:"name"`
		Type     *string  `json:"type"`
		Stream   *string  `json:"stream"`
		Toxicity *float32 `json:"toxicity"`
	}{&t.Name, &t.Type, &t.Stream, &t.Toxicity}
	if err := unmarshal(body, &named); err != nil {
		return nil, err
	}
	if t.Stream == "" {
		t.Stream = "downstream"
	}
	if t.Stream != "upstream" && t.Stream != "downstream" {
		return nil, failure(badRequest, "stream was invalid, can be either upstream or downstream")
	}
	if t.Name == "" {
		t.Name = fmt.Sprintf("%s_%s", t.Type, t.Stream)
	}
	if t.Attributes = newAttributes(t.Type); t.Attributes == nil {
		return nil, failure(badRequest, "invalid toxic type")
	}
	if _, _, err := p.find(t.Name); err == nil {
		return nil, failure(conflict, "toxic already exists")
	}
	if err := decodeAttributes(body, t.Attributes); err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
	}
	c, err := t.condition()
	if err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
	}
	if t.active, err = direction(p.gate, t.Stream).Add(c); err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
	}
	p.toxics = append(p.toxics, t)
	return t, nil
}

// updateToxic changes those values of a toxic that the JSON names.
func (p *proxy) updateToxic(name string, body []byte) (*toxic, error) {
	i, old, err := p.find(name)
	if err != nil {
		return nil, err
	}
	t := *old
	t.Attributes = newAttributes(t.Type)
	if err := copyAttributes(old.Attributes, t.Attributes); err != nil {
		return nil, err
	}
	named := struct {
		Toxicity *float32 `json:"toxicity"`
	}{&t.Toxicity}
	if err := unmarshal(body, &named); err != nil {
		return nil, err
	}
	if err := decodeAttributes(body, t.Attributes); err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
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

// reset enables the proxy and removes its toxics.
func (p *proxy) reset() error {
	if err := p.start(); err != nil {
		return err
	}
	p.toxics = nil
	if err := p.gate.Reset(); err != nil {
		return failure(serverError, "%v", err)
	}
	return nil
}
