// Package workers bounds how many requests of a service are worked on at once. With a
// Listener the others wait in the system's accept queue, with an Admission they wait
// inside the service. exec.Workers decides which of the two a service has.
package workers

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
)

// A Listener accepts a connection only when a worker is free. The others wait in the system's
// accept queue, where their clients see the same as with a busy server. The Listener knows the
// connections that it has accepted.
type Listener struct {
	net.Listener
	// workers has the numbers of the free workers; nil means no bound.
	workers chan int
	// traffic counts the bytes of the connections.
	traffic *http1.Traffic
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open map[*Conn]struct{}
	// watch runs while connections are open, and closes those that hang.
	watch *time.Timer
}

// NewListener returns a listener that accepts up to workers connections of ln at
// once; 0 means no bound. It sets the length of the accept queue if backlog is more
// than 0. Traffic, if it is not nil, counts the bytes of the connections.
func NewListener(ln net.Listener, workers, backlog int, traffic *http1.Traffic) (*Listener, error) {
	l := &Listener{Listener: ln, traffic: traffic, closed: make(chan struct{}), open: map[*Conn]struct{}{}}
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
func (l *Listener) Accept() (net.Conn, error) {
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
	c := &Conn{Conn: conn, listener: l, worker: worker, seen: progress{inHeader: true}, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	if l.watch == nil {
		l.watch = time.AfterFunc(lookEvery, l.look)
	}
	return c, nil
}

// look closes the connections that hang in the header of a request, or are idle for
// too long. A timer for each connection, or for each request as in net/http, would
// make the scheduler read the clock all the time, which costs some per cent of a
// small request.
func (l *Listener) look() {
	l.mu.Lock()
	if l.watch = nil; len(l.open) > 0 {
		l.watch = time.AfterFunc(lookEvery, l.look)
	}
	l.mu.Unlock()
	now := time.Now()
	l.closeIf(func(c *Conn) bool { return c.hangs(now) })
}

func (l *Listener) release(worker int) {
	if l.workers != nil {
		l.workers <- worker
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// QueueLength returns how many connections wait to be accepted; 0 if the system
// does not report it.
func (l *Listener) QueueLength() int { return acceptQueue(l.Listener) }

// CloseSilent stops accepting connections, and closes those that have not sent a
// byte, because a server that shuts down would wait for them.
func (l *Listener) CloseSilent() {
	_ = l.Close()
	l.closeIf(func(c *Conn) bool { return !c.spoke.Load() })
}

// CloseAll closes all open connections, such as those that were taken over from the
// server.
func (l *Listener) CloseAll() { l.closeIf(func(*Conn) bool { return true }) }

func (l *Listener) closeIf(condition func(*Conn) bool) {
	l.mu.Lock()
	var chosen []*Conn
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

// A Conn is a connection that frees its worker when it is closed.
type Conn struct {
	net.Conn
	listener *Listener
	worker   int
	spoke    atomic.Bool
	done     atomic.Bool
	// serving is set while a request of the connection is in the handler. moves
	// counts the steps of the server on the connection since then: first it begins
	// to wait for another request, then the first bytes of that request have come.
	serving atomic.Bool
	moves   atomic.Int64
	// served counts the requests; deadline is set if the connection has one.
	served   atomic.Int64
	deadline atomic.Bool
	// seen is the progress at the listener's last look, and since is when it began;
	// the listener's mu guards both.
	seen  progress
	since time.Time
}

// progress is the state of a connection: the number of served requests, and whether
// it is in the header of another.
type progress struct {
	served   int64
	inHeader bool
}

const (
	// HeaderPatience is how long a connection may take for the header of a request.
	// A slow connection may take longer by twice lookEvery.
	HeaderPatience = 10 * time.Second
	// lookEvery is the time between two looks at the connections.
	lookEvery = 5 * time.Second
	// IdlePatience is how long a connection may be kept without a request.
	IdlePatience = 3 * time.Minute
)

// connKey is the key of the *Conn in the context of a connection.
type connKey struct{}

// RememberConn is for http.Server.ConnContext: ConnOf finds the connection in the
// context of its requests.
func RememberConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// ConnOf returns the connection of a request's context, or nil if it is not one of a
// Listener.
func ConnOf(ctx context.Context) *Conn {
	conn, _ := ctx.Value(connKey{}).(*Conn)
	return conn
}

// Worker returns the number of the connection's worker.
func (c *Conn) Worker() int { return c.worker }

// Serve records that the header of a request is complete.
func (c *Conn) Serve() { c.serving.Store(true) }

// Leave records that the handler of a request has ended.
func (c *Conn) Leave() {
	c.moves.Store(0)
	c.served.Add(1)
	c.serving.Store(false)
}

// SetReadDeadline implements net.Conn. The server removes the deadline, even if
// there is none, when it begins to wait for a request and when the first bytes of
// the request have come. The number of these calls distinguishes the two states.
func (c *Conn) SetReadDeadline(t time.Time) error {
	switch {
	case c.serving.Load():
	case t.IsZero():
		c.moves.Add(1)
	default:
		// This deadline ends a read that was under way beside the handler; another
		// call, which removes the deadline, follows.
		c.moves.Store(-1)
	}
	if t.IsZero() && !c.deadline.Load() {
		return nil
	}
	c.deadline.Store(!t.IsZero())
	return c.Conn.SetReadDeadline(t)
}

// inHeader reports whether the server waits for the rest of a header, or for the
// first request of the connection.
func (c *Conn) inHeader() bool { return c.served.Load() == 0 || c.moves.Load() > 1 }

// hangs reports whether the connection has been for too long in one header, or
// without a request.
func (c *Conn) hangs(now time.Time) bool {
	if at := (progress{c.served.Load(), c.inHeader()}); at != c.seen || c.serving.Load() {
		c.seen, c.since = at, now
	}
	if c.seen.inHeader {
		return now.Sub(c.since) >= HeaderPatience
	}
	return now.Sub(c.since) >= IdlePatience
}

func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.listener.traffic.AddReceived(n)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	return n, err
}

func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.listener.traffic.AddSent(n)
	return n, err
}

func (c *Conn) Close() error {
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
