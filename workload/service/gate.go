package service

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// A gate is a listener that takes a connection only when a worker is free, so
// that the others wait in the system's accept queue, where their clients see
// what they see of a busy server. It knows the connections it has let in.
type gate struct {
	net.Listener
	// workers has the numbers of those that are free; nil means without bound.
	workers chan int
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open map[*gateConn]struct{}
}

// newGate sets the length of the accept queue where one is given.
func newGate(ln net.Listener, workers, backlog int) (*gate, error) {
	g := &gate{Listener: ln, closed: make(chan struct{}), open: map[*gateConn]struct{}{}}
	if workers > 0 {
		g.workers = make(chan int, workers)
		for worker := range workers {
			g.workers <- worker
		}
	}
	if backlog > 0 {
		if err := setBacklog(ln, backlog); err != nil {
			return nil, fmt.Errorf("setting the accept queue to %d: %w", backlog, err)
		}
	}
	return g, nil
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	worker := 0
	if g.workers != nil {
		select {
		case worker = <-g.workers:
		case <-g.closed:
			return nil, net.ErrClosed
		}
	}
	conn, err := g.Listener.Accept()
	if err != nil {
		g.release(worker)
		return nil, err
	}
	c := &gateConn{Conn: conn, gate: g, worker: worker}
	g.mu.Lock()
	g.open[c] = struct{}{}
	g.mu.Unlock()
	return c, nil
}

func (g *gate) release(worker int) {
	if g.workers != nil {
		g.workers <- worker
	}
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// queueLength is how many connections wait to be taken, where the system
// tells.
func (g *gate) queueLength() int { return acceptQueue(g.Listener) }

// closeSilent stops taking connections and closes those that have not sent a
// byte: a server that shuts down would wait for them.
func (g *gate) closeSilent() {
	_ = g.Close()
	g.closeIf(func(c *gateConn) bool { return !c.spoke.Load() })
}

// closeAll closes what is still open, such as connections that were taken over
// from the server.
func (g *gate) closeAll() { g.closeIf(func(*gateConn) bool { return true }) }

func (g *gate) closeIf(condition func(*gateConn) bool) {
	g.mu.Lock()
	var chosen []*gateConn
	for c := range g.open {
		if condition(c) {
			chosen = append(chosen, c)
		}
	}
	g.mu.Unlock()
	for _, c := range chosen {
		_ = c.Close()
	}
}

// A gateConn gives its worker back when it is closed.
type gateConn struct {
	net.Conn
	gate *gate
	// worker is the number of the worker that the connection has.
	worker int
	spoke  atomic.Bool
	done   atomic.Bool
}

func (c *gateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	return n, err
}

func (c *gateConn) Close() error {
	if c.done.Swap(true) {
		return net.ErrClosed
	}
	err := c.Conn.Close()
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	c.gate.release(c.worker)
	return err
}
