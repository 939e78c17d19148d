package service

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// A client calls other services over a pool of connections. Unlike the standard
// library's it never sends a request a second time; see package http1.
type client struct {
	pool   *http1.Pool
	ctx    context.Context
	cancel context.CancelFunc
	// collectors are *collector, free to be used.
	collectors sync.Pool
}

func newClient() *client {
	c := &client{pool: http1.NewPool(net.Dialer{}), collectors: sync.Pool{New: func() any { return new(collector) }}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close ends the calls in flight and closes every connection.
func (c *client) close() {
	c.cancel()
	c.pool.Close()
}

// keepOnly closes connections to addresses that are none of the peers'.
func (c *client) keepOnly(peers map[string][]string) {
	c.pool.KeepOnly(func() map[string]bool {
		known := map[string]bool{}
		for _, urls := range peers {
			for _, text := range urls {
				if r, err := newReplica(text); err == nil {
					known[r.addr] = true
				}
			}
		}
		return known
	})
}

// send makes the request and reads the answer to its end.
func (c *client) send(o *outgoing) (answer, error) {
	if o.cancel != nil {
		return c.sendCancellable(o)
	}
	conn, err := c.pool.Get(c.ctx, http1.Endpoint{Addr: o.to.addr}, o.deadline)
	if err != nil {
		return answer{}, c.explain(err)
	}
	a, reusable, err := c.exchange(conn, o)
	if err != nil || !reusable {
		c.pool.Discard(conn)
		return a, c.explain(err)
	}
	c.pool.Put(conn)
	return a, nil
}

// sendCancellable is send for a call that may be ended before its answer.
func (c *client) sendCancellable(o *outgoing) (answer, error) {
	ctx, cancel := context.WithCancel(o.cancel)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.pool.Get(ctx, http1.Endpoint{Addr: o.to.addr}, o.deadline)
	if err != nil {
		return answer{}, c.explain(errors.Join(err, ctx.Err()))
	}
	keep := context.AfterFunc(ctx, conn.Interrupt)
	a, reusable, err := c.exchange(conn, o)
	if !keep() && err != nil {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil || !reusable || ctx.Err() != nil {
		c.pool.Discard(conn)
		return a, c.explain(err)
	}
	c.pool.Put(conn)
	return a, nil
}

// explain tells a call that close has ended from one that the callee ended.
func (c *client) explain(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return errStopping
	}
	return err
}

// A collector keeps of an answer what a call wants of it.
type collector struct {
	answer
	keep int64
	head []byte // of the request
}

func (c *collector) Status(int) bool { return true }

func (c *collector) Field(name, value []byte) {
	switch {
	case http1.Is(name, "Content-Type") && c.contentType == "":
		if c.contentType = jsonType; string(value) != jsonType {
			c.contentType = string(value)
		}
	case http1.Is(name, control.TimesHeader) && c.times == "" && len(value) <= maxTimes:
		c.times = string(value)
	}
}

func (c *collector) Length(n int64) {
	if n <= c.keep {
		c.body = make([]byte, 0, n)
	}
}

func (c *collector) Body(piece []byte) {
	c.length += int64(len(piece))
	c.body = append(c.body, piece[:min(int64(len(piece)), c.keep-int64(len(c.body)))]...)
}

// exchange sends a request over a connection and reads the answer to its end.
func (c *client) exchange(conn *http1.Conn, o *outgoing) (a answer, reusable bool, err error) {
	into := c.collectors.Get().(*collector)
	defer c.collectors.Put(into)
	into.keep = o.keep
	into.head = appendRequest(into.head[:0], o)
	body := o.body
	if len(body) <= http1.SmallBody {
		into.head, body = append(into.head, body...), nil
	}
	if err := conn.Exchange(into.head, body); err != nil {
		return answer{}, false, err // nothing was collected
	}
	response, err := conn.ReadResponse(o.method == http.MethodHead, into)
	into.status, into.degraded = response.Status, response.Degraded
	if err == nil && o.strict && into.length > o.keep {
		err = tooLong(o.keep)
	}
	a, into.answer = into.answer, answer{}
	return a, err == nil && !response.Close, err
}

// appendRequest writes the request line and the header. Values come from
// requests that the server has parsed, or from the System; none has line
// breaks.
func appendRequest(b []byte, o *outgoing) []byte {
	b = append(b, o.method...)
	b = append(b, ' ')
	b = append(b, o.target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, o.to.url.Host...)
	for _, h := range o.headers() {
		if h.value != "" {
			b = append(b, "\r\n"...)
			b = append(b, h.name...)
			b = append(b, ": "...)
			b = append(b, h.value...)
		}
	}
	if !o.told.IsZero() {
		b = append(b, "\r\n"+control.DeadlineHeader+": "...)
		b = append(b, timeLeft(o.told)...)
	}
	if len(o.body) > 0 {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(o.body)), 10)
	} else if o.method != http.MethodGet && o.method != http.MethodHead {
		b = append(b, "\r\nContent-Length: 0"...)
	}
	return append(b, "\r\n\r\n"...)
}
