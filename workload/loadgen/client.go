package loadgen

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// connections are all that are open, so that the end of a load can close them
// under the hands of those who wait for an answer.
type connections struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

// add takes a connection up and reports whether the load goes on.
func (s *connections) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[c] = struct{}{}
	}
	return !s.closed
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

func (s *connections) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
}

// A client sends requests one after another. Each worker has one of its own, and
// with it connections of its own, so that nothing is shared on the way.
type client struct {
	ctx       context.Context
	all       *connections
	timeout   time.Duration
	keepAlive bool
	trace     bool

	kept map[*endpoint]*conn
	head []byte
}

// maxKept bounds the connections that one client keeps.
const maxKept = 16

func newClient(l *running) *client {
	c := &client{ctx: l.ctx, all: l.conns, timeout: l.profile.Timeout.Std(), keepAlive: !l.profile.NoKeepAlive, trace: l.traceparent, kept: map[*endpoint]*conn{}}
	return c
}

func (c *client) close() {
	for _, conn := range c.kept {
		c.all.remove(conn)
	}
}

// An ended is how one request ended. Its class is "" where there was nothing to
// send, and unsent is set where the load ended before it could be.
type ended struct {
	class  outcome.Class
	status int
	bytes  int64
	unsent bool
}

// do sends a message to the first of its places that does not refuse the
// connection, beginning with the given one, and waits for the answer.
func (c *client) do(m *message, id []byte, first int, now time.Time) ended {
	if c.ctx.Err() != nil {
		return ended{class: outcome.Cancelled, unsent: true}
	}
	until := now.Add(c.timeout)
	var err error
	for i := range m.places {
		place := &m.places[(first+i)%len(m.places)]
		var conn *conn
		connecting := true
		if conn, err = c.connect(place.endpoint, now, until); err == nil {
			var res response
			connecting = false
			c.head = m.appendHead(c.head[:0], place, id, c.trace)
			if res, err = c.exchange(conn, place, m, now); err == nil {
				return ended{class: outcome.OfStatus(res.status), status: res.status, bytes: res.bytes}
			}
		}
		if !connecting || !errors.Is(err, syscall.ECONNREFUSED) {
			return ended{class: c.classify(err, connecting)}
		}
	}
	return ended{class: c.classify(err, true)}
}

// connect returns the connection that is kept to an endpoint, or a new one.
func (c *client) connect(to *endpoint, now, until time.Time) (*conn, error) {
	if conn := c.kept[to]; conn != nil {
		if (now.Sub(conn.usedAt) < idleCheck || conn.alive()) && conn.begin(now, until) == nil {
			return conn, nil
		}
		delete(c.kept, to)
		c.all.remove(conn)
	}
	conn, err := dial(c.ctx, to, until)
	if err != nil {
		return nil, err
	}
	if !c.all.add(conn) {
		conn.Close()
		return nil, context.Cause(c.ctx)
	}
	if err := conn.begin(now, until); err != nil {
		c.all.remove(conn)
		return nil, err
	}
	return conn, nil
}

func (c *client) exchange(conn *conn, place *place, m *message, now time.Time) (response, error) {
	err := conn.exchange(c.head, m.bodyApart())
	var res response
	if err == nil {
		res, err = conn.readResponse(m.isHead)
	}
	kept := c.kept[place.endpoint] == conn
	switch {
	case err != nil || res.close || !c.keepAlive || !kept && len(c.kept) >= maxKept:
		delete(c.kept, place.endpoint)
		c.all.remove(conn)
	case !kept:
		c.kept[place.endpoint] = conn
	}
	conn.usedAt = now
	return res, err
}

// classify says what an error means. Once the load has ended, connections are
// closed under requests in flight, so whatever they see is that end.
func (c *client) classify(err error, connecting bool) outcome.Class {
	switch {
	case c.ctx.Err() != nil:
		err = outcome.ErrStopping
	case connecting:
		err = outcome.ErrNotConnected
	}
	return outcome.Of(0, err)
}
