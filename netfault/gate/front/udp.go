package front

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
)

// A datagrams front gives each client address a connection of its own to the server.
//
// Anyone can send datagrams from any number of addresses, so what is remembered
// is bounded: the client that was silent for longest is forgotten for a new one,
// first among those of the same IP address.
type datagrams struct {
	server Server
	conn   *net.UDPConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*udpClient
	all     list.List // of *udpClient, the one that was silent for longest first
	sources map[netip.Addr]*list.List
	paused  bool
	reading bool
}

func listenDatagrams(ctx context.Context, a address.Address, s Server) (Front, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, a.Network(), a.Host())
	if err != nil {
		return nil, err
	}
	return &datagrams{server: s, conn: c.(*net.UDPConn), clients: map[netip.AddrPort]*udpClient{}, sources: map[netip.Addr]*list.List{}}, nil
}

// Address implements [Front].
func (f *datagrams) Address() net.Addr { return f.conn.LocalAddr() }

// Close implements [Front].
func (f *datagrams) Close() error { return f.conn.Close() }

// Pause implements [Front]. Datagrams of new clients are lost.
func (f *datagrams) Pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = true
}

// Resume implements [Front].
func (f *datagrams) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = false
	if !f.reading {
		f.reading = true
		f.server.Go(f.read)
	}
}

// Clients is how many clients are remembered.
func (f *datagrams) Clients() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients)
}

// read reads for all clients. Those already known are served while the front
// is paused, too, so it goes on until the socket is closed.
func (f *datagrams) read() {
	buf := make([]byte, 64<<10)
	for errs := 0; ; {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP answer to a datagram sent earlier is such an error. One that
			// stays must not keep a processor busy.
			if errs++; errs > 100 {
				time.Sleep(10 * time.Millisecond)
			}
			continue
		}
		errs = 0
		if c := f.client(from); c != nil {
			c.put(buf[:n])
		}
	}
}

// client returns the connection of an address, a new one if there is none.
func (f *datagrams) client(from netip.AddrPort) *udpClient {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[from]; c != nil {
		f.all.MoveToBack(c.inAll)
		f.sources[from.Addr()].MoveToBack(c.inSource)
		return c
	}
	if f.paused {
		return nil
	}
	if same := f.sources[from.Addr()]; same != nil && same.Len() >= max(f.server.Clients/4, 1) {
		f.forget(same.Front().Value.(*udpClient))
	} else if f.all.Len() >= f.server.Clients {
		f.forget(f.all.Front().Value.(*udpClient))
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &udpClient{front: f, peer: from, cancel: cancel, readable: make(chan struct{}, 1)}
	f.clients[from] = c
	if f.sources[from.Addr()] == nil {
		f.sources[from.Addr()] = list.New()
	}
	c.inAll, c.inSource = f.all.PushBack(c), f.sources[from.Addr()].PushBack(c)
	f.server.Go(func() { f.server.Serve(ctx, c) })
	return c
}

// forget ends a client's connection; f.mu must be held.
func (f *datagrams) forget(c *udpClient) {
	if f.clients[c.peer] != c {
		return
	}
	delete(f.clients, c.peer)
	f.all.Remove(c.inAll)
	same := f.sources[c.peer.Addr()]
	same.Remove(c.inSource)
	if same.Len() == 0 {
		delete(f.sources, c.peer.Addr())
	}
	c.cancel()
	c.end()
}

// overhead is what a datagram costs beside its data, so that many small ones are bounded,
// too.
const overhead = 128

// cost is the memory that a datagram keeps, in bytes.
func cost(datagram []byte) int { return len(datagram) + overhead }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// maxWaiting is how many bytes of datagrams wait for a lane that does not read; what
// comes beyond that is lost, as in a full socket buffer.
const maxWaiting = 1 << 20

// udpClient is the client's side of a pair: a net.Conn over the front's socket.
type udpClient struct {
	front           *datagrams
	peer            netip.AddrPort
	cancel          context.CancelFunc // ends the dialling of the server
	inAll, inSource *list.Element

	mu       sync.Mutex
	waiting  [][]byte
	bytes    int // of what is waiting
	closed   bool
	deadline time.Time
	timer    *time.Timer
	readable chan struct{} // something has changed for the reader
}

func (c *udpClient) put(datagram []byte) {
	size, s := cost(datagram), &c.front.server
	c.mu.Lock()
	if c.bytes+size <= maxWaiting && s.Held.Load() < s.MaxHeld && !c.closed {
		c.waiting = append(c.waiting, bytes.Clone(datagram))
		c.bytes += size
		s.Held.Add(int64(size))
	}
	c.mu.Unlock()
	signal(c.readable)
}

// AwaitData waits until a UDP client has a datagram, or its reading fails, so that
// silent clients, of which a flood makes many, hold no buffers.
func AwaitData(c net.Conn) {
	if c, ok := c.(*udpClient); ok {
		c.await()
	}
}

func (c *udpClient) await() {
	for {
		c.mu.Lock()
		ready := c.closed || len(c.waiting) > 0 || !c.deadline.IsZero() && !time.Now().Before(c.deadline)
		c.mu.Unlock()
		if ready {
			return
		}
		<-c.readable
	}
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
			size := cost(c.waiting[0])
			n := copy(b, c.waiting[0])
			c.waiting[0] = nil
			c.waiting = c.waiting[1:]
			c.bytes -= size
			c.front.server.Held.Add(-int64(size))
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
	c.front.forget(c)
	c.front.mu.Unlock()
	c.end()
	return nil
}

// end makes reading fail.
func (c *udpClient) end() {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.front.server.Held.Add(-int64(c.bytes))
	c.waiting, c.bytes = nil, 0
	c.mu.Unlock()
	signal(c.readable)
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
