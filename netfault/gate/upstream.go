package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
)

// ErrSelf is the reason why a gate does not connect to its upstream if that is
// the gate.
var ErrSelf = errors.New("it is the gate itself, so a connection would never reach a server; give the server's address as upstream")

// selfPause is how long a gate that has met itself as its upstream closes clients
// without dialling: they are its own connections.
const selfPause = time.Second

// An upstream is where the server is, and what is known of it.
type upstream struct {
	mu      sync.Mutex
	address address.Address
	failure string // of the last dialling, or ""
	failed  int    // clients since it began
	self    time.Time
}

func (u *upstream) get() address.Address {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.address
}

// dial connects to the server.
func (g *Gate) dial(ctx context.Context) (net.Conn, error) {
	g.upstream.mu.Lock()
	to, self := g.upstream.address, time.Since(g.upstream.self) < selfPause
	g.upstream.mu.Unlock()
	if self {
		return nil, ErrSelf
	}
	d := net.Dialer{Timeout: g.dialTimeout}
	c, err := d.DialContext(ctx, to.Network(), to.Host())
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	f := g.front
	g.mu.Unlock()
	if f == nil || !address.LeadsTo(c.RemoteAddr(), c.LocalAddr(), f.Address()) {
		return c, nil
	}
	g.upstream.mu.Lock()
	g.upstream.self = time.Now()
	g.upstream.mu.Unlock()
	return nil, errors.Join(ErrSelf, c.Close())
}

// dialled logs that the server cannot be reached, once until it can again or the
// reason is another. It was dialled for so many clients.
func (g *Gate) dialled(err error, clients int) {
	u := &g.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		if u.failure != "" {
			g.log.Info("the upstream can be reached again", "gate", g.listenAddress(), "upstream", u.address.String(), "clients disconnected", u.failed)
		}
		u.failure, u.failed = "", 0
		return
	}
	u.failed += clients
	if reason := reasonOf(err); reason != u.failure {
		u.failure = reason
		g.log.Warn("the upstream cannot be reached; clients are disconnected until it can", "gate", g.listenAddress(),
			"upstream", u.address.String(), "error", reason)
	}
}

// reasonOf is an error of dialling without what changes from one attempt to the next.
func reasonOf(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrSelf):
		return ErrSelf.Error()
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %q cannot be resolved: %s", dns.Name, dns.Err)
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// CheckUpstream connects to the server once, and returns the error of that as the
// log shows it. It sends no data. For datagrams it only resolves the address,
// because they tell nothing about a server.
func (g *Gate) CheckUpstream(ctx context.Context) error {
	c, err := g.dial(ctx)
	if ctx.Err() == nil {
		g.dialled(err, 0)
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		return fmt.Errorf("connecting gate %q to its upstream %q: %s", g.listenAddress(), g.upstream.get(), reasonOf(err))
	}
	return nil
}

// SetUpstream makes another server the upstream and ends all connections. The
// gate goes on listening. On an error nothing has changed.
func (g *Gate) SetUpstream(to string) error {
	next, err := address.Parse(address.Upstream, to)
	if err != nil {
		return err
	}
	if next.Datagrams() != g.datagrams {
		return g.mixed(to)
	}
	g.mu.Lock()
	f := g.front
	g.mu.Unlock()
	if f != nil && next.LeadsTo(f.Address()) {
		return fmt.Errorf("making %q the upstream of gate %q: %w", to, g, ErrSelf)
	}
	g.upstream.mu.Lock()
	g.upstream.address, g.upstream.self = next, time.Time{}
	g.upstream.failure, g.upstream.failed = "", 0
	g.upstream.mu.Unlock()
	g.endAll(endOrderly)
	g.CloseConnections(-1)
	return nil
}

func (g *Gate) mixed(upstream string) error {
	return fmt.Errorf("making a gate from %q to %q: one side carries datagrams and the other a stream; write udp: before both or neither", g.listenAddress(), upstream)
}
