package http1

import (
	"context"
	"net"
	"sync/atomic"
)

// Traffic counts the bytes that connections carry, without what TCP and IP add.
// Several connections may share one; a nil Traffic counts nothing.
type Traffic struct{ received, sent atomic.Int64 }

// AddReceived counts bytes that have come.
func (t *Traffic) AddReceived(n int) {
	if t != nil && n > 0 {
		t.received.Add(int64(n))
	}
}

// AddSent counts bytes that have been sent.
func (t *Traffic) AddSent(n int) {
	if t != nil && n > 0 {
		t.sent.Add(int64(n))
	}
}

// Received is how many bytes have come.
func (t *Traffic) Received() int64 { return t.received.Load() }

// Sent is how many bytes have been sent.
func (t *Traffic) Sent() int64 { return t.sent.Load() }

// Dial connects by dial, and counts what the connections carry.
func (t *Traffic) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countedConn{conn, t}, nil
	}
}

type countedConn struct {
	net.Conn
	traffic *Traffic
}

// Read implements net.Conn.
func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.traffic.AddReceived(n)
	return n, err
}

// Write implements net.Conn.
func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.traffic.AddSent(n)
	return n, err
}
