package http1

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// ErrClosed ends requests over a Set or a Pool that was closed.
var ErrClosed = errors.New("the client is closed") //nolint:gochecknoglobals // a sentinel

// A Set holds connections, so that all can be closed while others wait for
// answers on them. Its methods may be called at the same time.
type Set struct {
	mu     sync.Mutex
	open   map[*Conn]struct{}
	closed bool
}

// Add takes a connection up, or closes it if the set is closed.
func (s *Set) Add(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return ErrClosed
	}
	if s.open == nil {
		s.open = map[*Conn]struct{}{}
	}
	s.open[c] = struct{}{}
	return nil
}

// Discard closes a connection.
func (s *Set) Discard(c *Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

// Close closes every connection, and those that are added later.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
}

// addresses are those to which there are connections.
func (s *Set) addresses() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]bool{}
	for c := range s.open {
		all[c.addr] = true
	}
	return all
}

const (
	// MaxIdle bounds the idle connections that a Pool keeps for each address.
	MaxIdle = 256
	// IdleTime is how long it keeps one.
	IdleTime = 30 * time.Second
)

// A Pool keeps idle connections for those who send to the same addresses. Its
// methods may be called at the same time.
type Pool struct {
	dialer  net.Dialer
	traffic *Traffic
	all     Set

	mu   sync.Mutex
	idle map[string][]*Conn
	// swept is when idle was last looked through.
	swept time.Time
	// left are addresses to which connections are not kept any more.
	left   map[string]bool
	closed bool
}

// NewPool returns a pool that connects by the dialer. Its connections count what
// they carry in traffic, if that is not nil.
func NewPool(dialer net.Dialer, traffic *Traffic) *Pool {
	return &Pool{dialer: dialer, traffic: traffic, idle: map[string][]*Conn{}, swept: time.Now()}
}

// Close ends the requests in flight and closes every connection.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed, p.idle = true, nil
	p.mu.Unlock()
	p.all.Close()
}

// Get returns a connection for a request that must be answered by a time: an
// idle one that is still open, or a new one. The connection goes back by Put or
// Discard. ctx bounds connecting.
func (p *Pool) Get(ctx context.Context, to Endpoint, until time.Time) (*Conn, error) {
	now := time.Now()
	for {
		c := p.takeIdle(to.Addr)
		if c == nil {
			return p.dial(ctx, to, now, until)
		}
		// Asking costs a system call; not asking, a request that fails because
		// its server was started again since the last.
		if c.Begin(now, until, true) == nil {
			return c, nil
		}
		p.Discard(c)
	}
}

func (p *Pool) takeIdle(addr string) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[addr]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[addr] = list[:len(list)-1]
	return c
}

func (p *Pool) dial(ctx context.Context, to Endpoint, now, until time.Time) (*Conn, error) {
	c, err := Dial(ctx, p.dialer, to, until)
	if err != nil {
		return nil, err
	}
	c.Traffic = p.traffic
	if err := p.all.Add(c); err != nil {
		return nil, err
	}
	if err := c.Begin(now, until, false); err != nil {
		p.Discard(c)
		return nil, err
	}
	return c, nil
}

// Put keeps a connection for the next request. Now and then it closes those that
// have been idle for too long.
func (p *Pool) Put(c *Conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	list := p.idle[c.addr]
	if p.closed || len(list) >= MaxIdle || p.left[c.addr] {
		p.mu.Unlock()
		p.Discard(c)
		return
	}
	p.idle[c.addr] = append(list, c)
	var old []*Conn
	if c.idleSince.Sub(p.swept) > IdleTime/2 {
		p.swept = c.idleSince
		old = p.sweepLocked(c.idleSince)
	}
	p.mu.Unlock()
	for _, c := range old {
		p.Discard(c)
	}
}

// Discard closes a connection that Get returned.
func (p *Pool) Discard(c *Conn) { p.all.Discard(c) }

// sweepLocked takes out the connections that have been idle for too long,
// whatever they lead to: a large system has many calls that are seldom made.
func (p *Pool) sweepLocked(now time.Time) (old []*Conn) {
	for addr, list := range p.idle {
		// The one that was used last is at the end.
		fresh := slices.IndexFunc(list, func(c *Conn) bool { return now.Sub(c.idleSince) <= IdleTime })
		if fresh < 0 {
			fresh = len(list)
		}
		old = append(old, list[:fresh]...)
		if list = slices.Delete(list, 0, fresh); len(list) == 0 {
			delete(p.idle, addr)
			continue
		}
		p.idle[addr] = list
	}
	return old
}

// KeepOnly closes idle connections to all addresses but those that known
// returns, and has busy ones closed after their request. It asks known only if
// there are connections.
func (p *Pool) KeepOnly(known func() map[string]bool) {
	addresses := p.all.addresses()
	if len(addresses) == 0 {
		return
	}
	keep := known()
	var idle []*Conn
	p.mu.Lock()
	p.left = map[string]bool{}
	for addr := range addresses {
		if !keep[addr] {
			p.left[addr] = true
			idle = append(idle, p.idle[addr]...)
			delete(p.idle, addr)
		}
	}
	p.mu.Unlock()
	for _, c := range idle {
		p.Discard(c)
	}
}
