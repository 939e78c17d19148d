package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// udpFront gives each client address a connection of its own to the server.
type udpFront struct {
	gate *Gate
	conn *net.UDPConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*udpClient
	paused  bool
	reading bool
}

func newUDPFront(g *Gate, a address) (front, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(context.Background(), a.network, a.host)
	if err != nil {
		return nil, err
	}
	return &udpFront{gate: g, conn: c.(*net.UDPConn), clients: map[netip.AddrPort]*udpClient{}}, nil
}

func (f *udpFront) address() net.Addr { return f.conn.LocalAddr() }
func (f *udpFront) close() error      { return f.conn.Close() }

func (f *udpFront) pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = true
}

func (f *udpFront) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = false
	if !f.reading {
		f.reading = true
		f.gate.work.Go(f.read)
	}
}

// read reads for all clients. Those already known are served while the front
// is paused, too, so it goes on until the socket is closed.
func (f *udpFront) read() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP answer to a datagram sent earlier
		}
		if c := f.client(from); c != nil {
			c.put(append([]byte(nil), buf[:n]...))
		}
	}
}

// client returns the connection of an address, a new one if there is none.
func (f *udpFront) client(from netip.AddrPort) *udpClient {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clients[from]
	if c == nil && !f.paused {
		c = &udpClient{front: f, peer: from, readable: make(chan struct{}, 1)}
		f.clients[from] = c
		f.gate.work.Go(func() { f.gate.serve(c) })
	}
	return c
}

// maxWaiting is how many datagrams wait for a lane that does not read; what
// comes beyond that is lost, as in a full socket buffer.
const maxWaiting = 1024

// udpClient is the client's side of a pair: a net.Conn over the front's socket.
type udpClient struct {
	front *udpFront
	peer  netip.AddrPort

	mu       sync.Mutex
	waiting  [][]byte
	closed   bool
	deadline time.Time
	timer    *time.Timer
	readable chan struct{} // something has changed for the reader
}

func (c *udpClient) put(datagram []byte) {
	c.mu.Lock()
	if len(c.waiting) < maxWaiting && !c.closed {
		c.waiting = append(c.waiting, datagram)
	}
	c.mu.Unlock()
	signal(c.readable)
}

// Read implements [net.Conn]: one datagram at a time. It has one caller at a time.
func (c *udpClient) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(c.waiting) > 0:
			n := copy(b, c.waiting[0])
			c.waiting = c.waiting[1:]
			c.mu.Unlock()
			return n, nil
		}
		c.mu.Unlock()
		<-c.readable
	}
}

// Write implements [net.Conn]: one datagram.
func (c *udpClient) Write(b []byte) (int, error) { return c.front.conn.WriteToUDPAddrPort(b, c.peer) }

// Close implements [net.Conn]. The client's next datagram begins a new connection.
func (c *udpClient) Close() error {
	c.front.mu.Lock()
	if c.front.clients[c.peer] == c {
		delete(c.front.clients, c.peer)
	}
	c.front.mu.Unlock()
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	signal(c.readable)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *udpClient) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		c.timer = time.AfterFunc(wait, func() { signal(c.readable) })
	}
	signal(c.readable)
	return nil
}

// SetWriteDeadline implements [net.Conn]; writing a datagram does not block.
func (c *udpClient) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements [net.Conn].
func (c *udpClient) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// LocalAddr implements [net.Conn].
func (c *udpClient) LocalAddr() net.Addr { return c.front.conn.LocalAddr() }

// RemoteAddr implements [net.Conn].
func (c *udpClient) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.peer) }
