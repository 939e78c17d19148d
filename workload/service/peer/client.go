package peer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A poolSender calls other services over a pool of connections. Unlike the standard
// library's client it never sends a request a second time; see package http1.
type poolSender struct {
	pool   *http1.Pool
	ctx    context.Context
	cancel context.CancelFunc
	// collectors has unused *collector values.
	collectors sync.Pool
}

func newPoolSender(traffic *http1.Traffic) *poolSender {
	c := &poolSender{pool: http1.NewPool(net.Dialer{}, traffic), collectors: sync.Pool{New: func() any { return new(collector) }}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close ends the calls in flight and closes every connection.
func (c *poolSender) close() {
	c.cancel()
	c.pool.Close()
}

// keepOnly closes connections to addresses that are not in the book.
func (c *poolSender) keepOnly(b *Book) {
	c.pool.KeepOnly(func() map[string]bool {
		known := map[string]bool{}
		for _, urls := range b.urls {
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
func (c *poolSender) send(o *Request) (Answer, error) {
	if o.Cancel != nil {
		return c.sendCancellable(o)
	}
	conn, err := c.pool.Get(c.ctx, http1.Endpoint{Addr: o.To.addr}, o.Deadline)
	if err != nil {
		return Answer{}, c.explain(err)
	}
	a, reusable, err := c.exchange(conn, o)
	if err != nil || !reusable {
		c.pool.Discard(conn)
		return a, c.explain(err)
	}
	c.pool.Put(conn)
	return a, nil
}

// sendCancellable is like send, for a call that may be ended before its answer.
func (c *poolSender) sendCancellable(o *Request) (Answer, error) {
	ctx, cancel := context.WithCancel(o.Cancel)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.pool.Get(ctx, http1.Endpoint{Addr: o.To.addr}, o.Deadline)
	if err != nil {
		return Answer{}, c.explain(errors.Join(err, ctx.Err()))
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

// explain distinguishes a call that close has ended from one that the callee ended.
func (c *poolSender) explain(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return outcome.ErrStopping
	}
	return err
}

// jsonType is kept as one string for all answers.
const jsonType = "application/json"

// A collector keeps the parts of an answer that a call needs.
type collector struct {
	answer Answer
	keep   int64
	head   []byte // of the request
}

func (c *collector) Status(int) bool { return true }

func (c *collector) Field(name, value []byte) {
	switch {
	case http1.Is(name, "Content-Type") && c.answer.ContentType == "":
		if c.answer.ContentType = jsonType; string(value) != jsonType {
			c.answer.ContentType = string(value)
		}
	case http1.Is(name, control.TimesHeader) && c.answer.Times == "" && len(value) <= control.MaxTimes:
		c.answer.Times = string(value)
	case http1.Is(name, retryAfterHeader):
		c.answer.RetryAfter = retryAfter(string(value))
	}
}

func (c *collector) Length(n int64) {
	if n <= c.keep {
		c.answer.Body = make([]byte, 0, n)
	}
}

func (c *collector) Body(piece []byte) {
	c.answer.Length += int64(len(piece))
	c.answer.Body = append(c.answer.Body, piece[:min(int64(len(piece)), c.keep-int64(len(c.answer.Body)))]...)
}

// exchange sends a request over a connection and reads the answer to its end.
func (c *poolSender) exchange(conn *http1.Conn, o *Request) (a Answer, reusable bool, err error) {
	into := c.collectors.Get().(*collector)
	defer c.collectors.Put(into)
	into.keep = o.Keep
	into.head = appendRequest(into.head[:0], o)
	body := o.Body
	if len(body) <= http1.SmallBody {
		into.head, body = append(into.head, body...), nil
	}
	if err := conn.Exchange(into.head, body); err != nil {
		return Answer{}, false, err // nothing was collected
	}
	response, err := conn.ReadResponse(o.Method == http.MethodHead, into)
	into.answer.Status, into.answer.Degraded = response.Status, response.Degraded
	if err == nil && o.Strict && into.answer.Length > o.Keep {
		err = ErrTooLong
	}
	a, into.answer = into.answer, Answer{}
	return a, err == nil && !response.Close, err
}

// appendRequest writes the request line and the header. Values come from
// requests that the server has parsed, or from the System; none has line
// breaks.
func appendRequest(b []byte, o *Request) []byte {
	b = append(b, o.Method...)
	b = append(b, ' ')
	b = append(b, o.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, o.To.url.Host...)
	for _, h := range o.headers() {
		if h.value != "" {
			b = append(b, "\r\n"...)
			b = append(b, h.name...)
			b = append(b, ": "...)
			b = append(b, h.value...)
		}
	}
	if !o.Told.IsZero() {
		b = append(b, "\r\n"+control.DeadlineHeader+": "...)
		b = append(b, timeLeft(o.Told)...)
	}
	if len(o.Body) > 0 {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(o.Body)), 10)
	} else if o.Method != http.MethodGet && o.Method != http.MethodHead {
		b = append(b, "\r\nContent-Length: 0"...)
	}
	return append(b, "\r\n\r\n"...)
}
