package loadgen

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A client sends requests one after another. Each worker has one of its own, and
// with it connections of its own, so that nothing is shared on the way.
type client struct {
	ctx       context.Context
	all       *http1.Set
	timeout   time.Duration
	keepAlive bool

	kept map[*http1.Endpoint]*keptConn
	head []byte
	// answer is what of the last answer was kept.
	answer answerBody
	// failures are those met so far.
	failures map[result.FailureKind]*failure
}

// A keptConn is a connection with the time at which its last request began.
type keptConn struct {
	*http1.Conn
	usedAt time.Time
}

const (
	// maxKept bounds the connections that one client keeps.
	maxKept = 16
	// idleCheck is how long a connection may lie idle before the client looks
	// whether the server has closed it.
	idleCheck = 5 * time.Millisecond
)

func newClient(l *running) *client {
	c := &client{ctx: l.ctx, all: l.conns, timeout: l.profile.Timeout.Std(), keepAlive: !l.profile.NoKeepAlive, kept: map[*http1.Endpoint]*keptConn{}, failures: map[result.FailureKind]*failure{}}
	return c
}

func (c *client) close() {
	for _, conn := range c.kept {
		c.all.Discard(conn.Conn)
	}
}

// An ended is how one request ended. Its class is "" where there was nothing to
// send, and unsent is set where the load ended before it could be.
type ended struct {
	class  outcome.Class
	status int
	bytes  int64
	unsent bool
	// degraded says that parts of a good answer are not what they should be.
	degraded bool
	// failure says why it did not end well.
	failure *failure
}

// do sends a message to the first of its places that does not refuse the
// connection, beginning with the given one, and waits for the answer.
func (c *client) do(m *message, id []byte, trace *rootTrace, first int, now time.Time) ended {
	if c.ctx.Err() != nil {
		return ended{class: outcome.Cancelled, unsent: true}
	}
	until := now.Add(c.timeout)
	var err error
	var place *place
	for i := range m.places {
		place = &m.places[(first+i)%len(m.places)]
		var conn *keptConn
		connecting := true
		if conn, err = c.connect(place.endpoint, now, until); err == nil {
			var res http1.Response
			connecting = false
			c.head = m.appendHead(c.head[:0], place, id, trace)
			if res, err = c.exchange(conn, place, m, now); err == nil {
				return c.ofAnswer(m, place, &res)
			}
		}
		if !connecting || !errors.Is(err, syscall.ECONNREFUSED) {
			return c.ofError(place, c.explain(err, connecting))
		}
	}
	return c.ofError(place, c.explain(err, true))
}

// connect returns the connection that is kept to an endpoint, or a new one.
func (c *client) connect(to *http1.Endpoint, now, until time.Time) (*keptConn, error) {
	if conn := c.kept[to]; conn != nil {
		if conn.Begin(now, until, now.Sub(conn.usedAt) >= idleCheck) == nil {
			return conn, nil
		}
		delete(c.kept, to)
		c.all.Discard(conn.Conn)
	}
	conn, err := http1.Dial(c.ctx, net.Dialer{KeepAlive: -1}, *to, until)
	if err != nil {
		return nil, err
	}
	if err := c.all.Add(conn); err != nil {
		return nil, err
	}
	if err := conn.Begin(now, until, false); err != nil {
		c.all.Discard(conn)
		return nil, err
	}
	return &keptConn{Conn: conn}, nil
}

func (c *client) exchange(conn *keptConn, place *place, m *message, now time.Time) (http1.Response, error) {
	err := conn.Exchange(c.head, m.bodyApart())
	var res http1.Response
	if err == nil {
		c.answer.begin(m.tree != nil)
		res, err = conn.ReadResponse(m.isHead, &c.answer)
	}
	kept := c.kept[place.endpoint] == conn
	switch {
	case err != nil || res.Close || !c.keepAlive || !kept && len(c.kept) >= maxKept:
		delete(c.kept, place.endpoint)
		c.all.Discard(conn.Conn)
	case !kept:
		c.kept[place.endpoint] = conn
	}
	conn.usedAt = now
	return res, err
}

// explain says what an error means. Once the load has ended, connections are
// closed under requests in flight, so whatever they see is that end.
func (c *client) explain(err error, connecting bool) error {
	switch {
	case c.ctx.Err() != nil:
		return outcome.ErrStopping
	case connecting:
		return notConnected{err}
	}
	return err
}

// notConnected marks an error as one of connecting, and leaves its text alone.
type notConnected struct{ error }

func (e notConnected) Unwrap() []error { return []error{outcome.ErrNotConnected, e.error} }
