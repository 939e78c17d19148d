package service

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// A limitListener takes a connection only when a worker is free, so
// that the others wait in the system's accept queue, where their clients see
// what they see of a busy server. It knows the connections it has let in.
type limitListener struct {
	net.Listener
	// workers has the numbers of those that are free; nil means without bound.
	workers chan int
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open map[*limitedConn]struct{}
}

// newLimitListener sets the length of the accept queue where one is given.
func newLimitListener(ln net.Listener, workers, backlog int) (*limitListener, error) {
	l := &limitListener{Listener: ln, closed: make(chan struct{}), open: map[*limitedConn]struct{}{}}
	if workers > 0 {
		l.workers = make(chan int, workers)
		for worker := range workers {
			l.workers <- worker
		}
	}
	if backlog > 0 {
		if err := setBacklog(ln, backlog); err != nil {
			return nil, fmt.Errorf("setting the accept queue to %d: %w", backlog, err)
		}
	}
	return l, nil
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	worker := 0
	if l.workers != nil {
		select {
		case worker = <-l.workers:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		l.release(worker)
		return nil, err
	}
	c := &limitedConn{Conn: conn, listener: l, worker: worker}
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

func (l *limitListener) release(worker int) {
	if l.workers != nil {
		l.workers <- worker
	}
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// queueLength is how many connections wait to be taken, where the system
// tells.
func (l *limitListener) queueLength() int { return acceptQueue(l.Listener) }

// closeSilent stops taking connections and closes those that have not sent a
// byte: a server that shuts down would wait for them.
func (l *limitListener) closeSilent() {
	_ = l.Close()
	l.closeIf(func(c *limitedConn) bool { return !c.spoke.Load() })
}

// closeAll closes what is still open, such as connections that were taken over
// from the server.
func (l *limitListener) closeAll() { l.closeIf(func(*limitedConn) bool { return true }) }

func (l *limitListener) closeIf(condition func(*limitedConn) bool) {
	l.mu.Lock()
	var chosen []*limitedConn
	for c := range l.open {
		if condition(c) {
			chosen = append(chosen, c)
		}
	}
	l.mu.Unlock()
	for _, c := range chosen {
		_ = c.Close()
	}
}

// A limitedConn gives its worker back when it is closed.
type limitedConn struct {
	net.Conn
	listener *limitListener
	// worker is the number of the worker that the connection has.
	worker int
	spoke  atomic.Bool
	done   atomic.Bool
}

func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	return n, err
}

func (c *limitedConn) Close() error {
	if c.done.Swap(true) {
		return net.ErrClosed
	}
	err := c.Conn.Close()
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	c.listener.release(c.worker)
	return err
}
