package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A conn is one HTTP/1.1 connection, used by one goroutine at a time. It is a
// client of its own because a load generator needs to know exactly how a request
// ended and to repeat nothing, and because it costs a system call less for each
// request: the request is written while the goroutine is already registered as
// waiting for the answer, so that no read is tried in vain.
type conn struct {
	net.Conn
	raw syscall.RawConn // nil where bytes are not those on the wire, as with TLS

	// buf[r:w] was received and is not used yet.
	buf  []byte
	r, w int

	// armed is the deadline that the connection has. It is moved seldom, because
	// that is slow: one that strikes early is put off, see read.
	armed time.Time
	// until is the deadline of the request under way.
	until time.Time
	// usedAt is when the last request began.
	usedAt time.Time

	// What exchange hands to the poller, kept here to allocate nothing.
	out     []byte
	written int
	got     int
	ioErr   error
	step    func(fd uintptr) bool
}

const (
	bufferSize = 4 << 10
	maxHead    = 64 << 10
	// idleCheck is how long a connection may lie idle before it is looked at
	// whether the server has closed it.
	idleCheck = 5 * time.Millisecond
)

// An endpoint is where connections go.
type endpoint struct {
	addr string      // host:port
	tls  *tls.Config // nil for plain TCP
}

func dial(ctx context.Context, to *endpoint, until time.Time) (*conn, error) {
	dialer := net.Dialer{Deadline: until, KeepAlive: -1}
	nc, err := dialer.DialContext(ctx, "tcp", to.addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, buf: make([]byte, bufferSize)}
	if to.tls != nil {
		t := tls.Client(nc, to.tls)
		hello, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if err := t.HandshakeContext(hello); err != nil {
			nc.Close()
			return nil, fmt.Errorf("TLS handshake with %q: %w", to.addr, err)
		}
		c.Conn = t
		return c, nil
	}
	if tcp, ok := nc.(*net.TCPConn); ok && canPoll {
		if c.raw, err = tcp.SyscallConn(); err != nil {
			nc.Close()
			return nil, err
		}
		c.step = c.poll
	}
	return c, nil
}

// errStale is the reason to leave a connection and make a new one.
var errStale = errors.New("the server has spoken unasked or closed the idle connection")

// begin prepares for a request that must be answered by a time.
func (c *conn) begin(now, until time.Time) error {
	if c.r != c.w {
		return errStale // it has said something unasked
	}
	c.r, c.w, c.until = 0, 0, until
	if c.armed.Sub(now) < until.Sub(now)/2 || c.armed.After(until) {
		return c.arm()
	}
	return nil
}

func (c *conn) arm() error {
	c.armed = c.until
	return c.SetDeadline(c.until)
}

// exchange sends a request and waits for the first bytes of the answer.
func (c *conn) exchange(head, body []byte) error {
	if c.raw == nil {
		if err := c.send(head); err != nil {
			return err
		}
		return c.sendAndFill(body)
	}
	c.out, c.written, c.got, c.ioErr = head, 0, 0, nil
	// A large body is sent apart, since it is not worth a copy into the head.
	if len(body) > 0 {
		if err := c.send(head); err != nil {
			return err
		}
		c.out = body
	}
	err := c.raw.Read(c.step)
	switch {
	case c.ioErr != nil:
		return c.ioErr
	case errors.Is(err, os.ErrDeadlineExceeded) && c.putOff():
		return c.sendAndFill(c.out[c.written:])
	case err != nil:
		return err
	case c.written < len(c.out):
		return c.sendAndFill(c.out[c.written:])
	case c.got == 0:
		return io.EOF
	}
	c.w = c.got
	return nil
}

func (c *conn) sendAndFill(rest []byte) error {
	if err := c.send(rest); err != nil {
		return err
	}
	return c.fill()
}

func (c *conn) send(data []byte) error {
	for len(data) > 0 {
		n, err := c.Write(data)
		data = data[n:]
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || !c.putOff()) {
			return err
		}
	}
	return nil
}

// fill reads more behind what is buffered.
func (c *conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
	}
	for {
		n, err := c.Read(c.buf[c.w:])
		c.w += n
		switch {
		case n > 0:
			return nil
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.putOff():
		case err != nil:
			return err
		}
	}
}

// putOff sets the deadline of the request under way where that of an earlier one
// has struck.
func (c *conn) putOff() bool {
	return time.Now().Before(c.until) && c.armed.Before(c.until) && c.arm() == nil
}
