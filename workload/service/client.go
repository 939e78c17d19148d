package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

const (
	// maxIdle bounds the idle connections kept for each address.
	maxIdle = 256
	// idleTime is how long one is kept.
	idleTime = 30 * time.Second
	// maxHints bounds the interim answers (1xx) before the real one.
	maxHints = 5
)

// A client speaks HTTP/1.1 to other services. Unlike the standard library's it
// never sends a request a second time: a callee that closes the connection
// without an answer must be seen as just that, and counted once. It needs no
// goroutine of its own.
type client struct {
	dialer net.Dialer
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	idle map[string][]*clientConn
	// swept is when idle was last looked through.
	swept time.Time
	// left are addresses to which connections are not kept any more.
	left map[string]bool
	// open has every connection, so that close ends the calls in flight.
	open map[*clientConn]struct{}
}

type clientConn struct {
	net.Conn
	addr     string
	reader   *bufio.Reader
	line     []byte
	lastUsed time.Time
}

func newClient() *client {
	c := &client{idle: map[string][]*clientConn{}, swept: time.Now(), open: map[*clientConn]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close ends the calls in flight and closes every connection.
func (c *client) close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
	c.idle = nil
}

// get returns an idle connection that is still open, or dials one.
func (c *client) get(ctx context.Context, addr string, deadline time.Time) (*clientConn, error) {
	for {
		conn := c.takeIdle(addr)
		if conn == nil {
			return c.dial(ctx, addr, deadline)
		}
		_ = conn.SetDeadline(deadline)
		// Asking costs a system call; not asking, a request that fails because
		// its callee was started again since the last.
		if stillOpen(conn.Conn) {
			return conn, nil
		}
		c.discard(conn)
	}
}

func (c *client) takeIdle(addr string) *clientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.idle[addr]
	if len(list) == 0 {
		return nil
	}
	conn := list[len(list)-1]
	list[len(list)-1] = nil
	c.idle[addr] = list[:len(list)-1]
	return conn
}

func (c *client) dial(ctx context.Context, addr string, deadline time.Time) (*clientConn, error) {
	dialer := c.dialer
	dialer.Deadline = deadline
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if c.ctx.Err() != nil {
		err = errors.Join(err, errStopping)
	}
	if err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		return nil, err
	}
	conn := &clientConn{Conn: raw, addr: addr, reader: bufio.NewReader(raw)}
	_ = conn.SetDeadline(deadline)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		_ = raw.Close()
		return nil, errStopping
	}
	c.open[conn] = struct{}{}
	return conn, nil
}

// put keeps a connection for the next call. Now and then it closes those that
// have been idle for too long.
func (c *client) put(conn *clientConn) {
	conn.lastUsed = time.Now()
	c.mu.Lock()
	list := c.idle[conn.addr]
	if c.idle == nil || len(list) >= maxIdle || c.left[conn.addr] {
		c.mu.Unlock()
		c.discard(conn)
		return
	}
	c.idle[conn.addr] = append(list, conn)
	var old []*clientConn
	if conn.lastUsed.Sub(c.swept) > idleTime/2 {
		c.swept = conn.lastUsed
		old = c.sweep(conn.lastUsed)
	}
	c.mu.Unlock()
	for _, conn := range old {
		c.discard(conn)
	}
}

// sweep takes out the connections that have been idle for too long, whatever
// they lead to: a large system has many calls that are seldom made. It needs mu.
func (c *client) sweep(now time.Time) (old []*clientConn) {
	for addr, list := range c.idle {
		// The one that was used last is at the end.
		fresh := slices.IndexFunc(list, func(conn *clientConn) bool { return now.Sub(conn.lastUsed) <= idleTime })
		if fresh < 0 {
			fresh = len(list)
		}
		old = append(old, list[:fresh]...)
		if list = slices.Delete(list, 0, fresh); len(list) == 0 {
			delete(c.idle, addr)
			continue
		}
		c.idle[addr] = list
	}
	return old
}

// keepOnly closes idle connections to addresses that are none of the peers', and
// has those that are busy closed after their call.
func (c *client) keepOnly(peers map[string][]string) {
	c.mu.Lock()
	var addresses []string
	for conn := range c.open {
		if !slices.Contains(addresses, conn.addr) {
			addresses = append(addresses, conn.addr)
		}
	}
	c.mu.Unlock()
	if len(addresses) == 0 {
		return
	}
	known := map[string]bool{}
	for _, urls := range peers {
		for _, text := range urls {
			if r, err := newReplica(text); err == nil {
				known[r.addr] = true
			}
		}
	}
	var idle []*clientConn
	c.mu.Lock()
	c.left = map[string]bool{}
	for _, addr := range addresses {
		if !known[addr] {
			c.left[addr] = true
			idle = append(idle, c.idle[addr]...)
			delete(c.idle, addr)
		}
	}
	c.mu.Unlock()
	for _, conn := range idle {
		c.discard(conn)
	}
}

func (c *client) discard(conn *clientConn) {
	_ = conn.Close()
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
}

// send makes the request and reads the answer to its end.
func (c *client) send(o *outgoing) (answer, error) {
	if o.cancel != nil {
		return c.sendCancellable(o)
	}
	conn, err := c.get(c.ctx, o.to.addr, o.deadline)
	if err != nil {
		return answer{}, c.explain(err)
	}
	a, reusable, err := conn.exchange(o)
	if err != nil || !reusable {
		c.discard(conn)
		return a, c.explain(err)
	}
	c.put(conn)
	return a, nil
}

// sendCancellable is send for a call that may be ended before its answer.
func (c *client) sendCancellable(o *outgoing) (answer, error) {
	ctx, cancel := context.WithCancel(o.cancel)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.get(ctx, o.to.addr, o.deadline)
	if err != nil {
		return answer{}, c.explain(errors.Join(err, ctx.Err()))
	}
	keep := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	a, reusable, err := conn.exchange(o)
	if !keep() && err != nil {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil || !reusable || ctx.Err() != nil {
		c.discard(conn)
		return a, c.explain(err)
	}
	c.put(conn)
	return a, nil
}

// explain tells a call that close has ended from one that the callee ended.
func (c *client) explain(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return errStopping
	}
	return err
}

func (conn *clientConn) exchange(o *outgoing) (a answer, reusable bool, err error) {
	conn.line = appendRequest(conn.line[:0], o)
	if len(o.body) > 0 && len(o.body) <= 16<<10 {
		conn.line = append(conn.line, o.body...)
	}
	_, err = conn.Write(conn.line)
	if err == nil && len(o.body) > 16<<10 {
		_, err = conn.Write(o.body)
	}
	if err != nil && isTimeout(err) {
		return a, false, err
	}
	// A callee may answer, and close, before it has read the whole body: the
	// answer counts even where writing went wrong.
	if _, peekErr := conn.reader.Peek(1); peekErr != nil {
		return a, false, fmt.Errorf("waiting for the answer: %w", errors.Join(err, peekErr))
	}
	response, err := http.ReadResponse(conn.reader, requestFor(o.method))
	for hints := 0; err == nil && response.StatusCode/100 == 1 && hints < maxHints; hints++ {
		// An interim answer has no body; the real one follows.
		response, err = http.ReadResponse(conn.reader, requestFor(o.method))
	}
	if err != nil {
		if isTimeout(err) || errors.Is(err, io.ErrUnexpectedEOF) {
			return a, false, fmt.Errorf("reading the answer: %w", err)
		}
		return a, false, fmt.Errorf("%w: %w", errMalformed, err)
	}
	a, err = readAnswer(response, o)
	return a, err == nil && !response.Close, err
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// requestFor tells http.ReadResponse which answers have no body.
func requestFor(method string) *http.Request {
	if method == http.MethodHead {
		return &http.Request{Method: http.MethodHead}
	}
	return nil
}

// readAnswer reads a body to its end, or to the bound.
func readAnswer(response *http.Response, o *outgoing) (a answer, err error) {
	defer response.Body.Close()
	a.status = response.StatusCode
	if t := response.Header["Content-Type"]; len(t) > 0 {
		a.contentType = t[0]
	}
	a.times = value(response.Header, control.TimesHeader, maxTimes)
	if n := response.ContentLength; n >= 0 && n <= o.keep {
		a.body = make([]byte, n)
		_, err = io.ReadFull(response.Body, a.body)
	} else {
		a.body, err = io.ReadAll(io.LimitReader(response.Body, o.keep))
	}
	a.length = int64(len(a.body))
	if err == nil && a.length == o.keep {
		var rest int64
		rest, err = io.Copy(io.Discard, response.Body)
		if a.length += rest; rest > 0 && o.strict {
			return a, fmt.Errorf("%w: it has more than %d bytes", errMalformed, o.keep)
		}
	}
	if err != nil {
		return a, fmt.Errorf("reading the answer's body: %w", err)
	}
	return a, nil
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
