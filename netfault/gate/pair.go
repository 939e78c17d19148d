package gate

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/relay"
)

// ConnInfo describes a connection of a gate.
type ConnInfo struct {
	ID     uint64    // counts from 1 in the order of acceptance
	Client net.Addr  // the client's address
	Server net.Addr  // the server's address
	Opened time.Time // when both sides were connected
	// ToServer and ToClient are the bytes read so far in each direction.
	ToServer, ToClient int64
}

// A pair is a connection: the client's socket, the server's, and the two lanes between.
type pair struct {
	gate           *Gate
	id             uint64
	client, server *socket
	opened         time.Time
	addresses      [2]net.Addr

	toServer, toClient *lane

	once  sync.Once
	how   ending
	ended chan struct{} // closed when the pair shall end
	gone  chan struct{} // closed when it has, and is on no list any more

	leaving  atomic.Bool // the lanes shall make way for the relay
	closing  atomic.Bool // a lane holds an ending, which the relay would not know
	stays    atomic.Bool // the relay cannot have the sockets
	relaying atomic.Bool // the relay has the sockets
	carried  atomic.Pointer[relay.Carried]
	lastSeen atomic.Int64 // of the last datagram, in nanoseconds since opened: clocks of the wall may be set
}

// A socket is one side of a pair. The relay replaces the connection in it.
type socket struct{ current atomic.Pointer[net.Conn] }

func newSocket(c net.Conn) *socket {
	s := &socket{}
	s.current.Store(&c)
	return s
}

func (s *socket) conn() net.Conn { return *s.current.Load() }

func newPair(g *Gate, id uint64, client, server net.Conn) *pair {
	p := &pair{
		gate: g, id: id, client: newSocket(client), server: newSocket(server), opened: time.Now(),
		addresses: [2]net.Addr{client.RemoteAddr(), server.RemoteAddr()},
		ended:     make(chan struct{}), gone: make(chan struct{}),
	}
	p.toServer = newLane(p, &g.toServer, p.client, p.server)
	p.toClient = newLane(p, &g.toClient, p.server, p.client)
	p.seen(p.opened)
	return p
}

func (p *pair) info() ConnInfo {
	return ConnInfo{
		ID: p.id, Client: p.addresses[0], Server: p.addresses[1], Opened: p.opened,
		ToServer: p.toServer.bytes.Load(), ToClient: p.toClient.bytes.Load(),
	}
}

func (p *pair) sockets() [2]*socket { return [2]*socket{p.client, p.server} }

func (p *pair) lanes() [2]*lane { return [2]*lane{p.toServer, p.toClient} }

// run carries the connection from beginning to end.
func (p *pair) run() {
	for !p.over() {
		if p.mayLeave() {
			p.relayed()
		} else {
			p.leaving.Store(false)
			var lanes sync.WaitGroup
			for _, l := range p.lanes() {
				lanes.Go(l.run)
			}
			lanes.Wait()
		}
	}
	// From here nobody else decides how it ends.
	p.once.Do(func() { close(p.ended) })
	p.close()
}

// over says whether nothing is left to carry.
func (p *pair) over() bool {
	select {
	case <-p.ended:
		return true
	default:
	}
	return p.toServer.done() && p.toClient.done()
}

func (l *lane) done() bool {
	select {
	case <-l.finished:
		return true
	default:
		return false
	}
}

// end asks for the pair's end; the first asking decides how.
func (p *pair) end(how ending) {
	p.once.Do(func() {
		p.how = how
		close(p.ended)
	})
	p.notify()
	for _, s := range p.sockets() {
		_ = s.conn().SetWriteDeadline(longAgo) // an error means closed already
	}
}

// notify makes the lanes or the relay, which carry the pair, check plans and
// end. If it returns a channel, they have done so when that or p.gone is
// closed.
func (p *pair) notify() <-chan struct{} {
	p.toServer.kick()
	p.toClient.kick()
	if !p.relaying.Load() {
		return nil
	}
	if c := p.carried.Load(); c != nil {
		return c.Leave()
	}
	told := make(chan struct{})
	close(told)
	return told
}

func (p *pair) seen(at time.Time) {
	if p.gate.datagrams {
		p.lastSeen.Store(int64(at.Sub(p.opened)))
	}
}

// idleDeadline is when a pair of datagram sockets is forgotten; streams live for ever.
func (p *pair) idleDeadline() time.Time {
	if !p.gate.datagrams || p.gate.udpIdle <= 0 {
		return time.Time{}
	}
	return p.opened.Add(time.Duration(p.lastSeen.Load()) + p.gate.udpIdle)
}

// An orderly close listens to a peer until it is quiet for a while, but no longer than lingering.
const (
	quiet     = 10 * time.Millisecond
	lingering = 200 * time.Millisecond
)

// close closes both sockets in the way that was asked for.
func (p *pair) close() {
	if p.how == endReset {
		for _, s := range p.sockets() {
			if t, ok := s.conn().(*net.TCPConn); ok {
				_ = t.SetLinger(0) // an error means reset already
			}
		}
	}
	if p.how == endOrderly && !p.gate.datagrams {
		var both sync.WaitGroup
		for _, s := range p.sockets() {
			both.Go(func() { farewell(s.conn()) })
		}
		both.Wait()
	}
	_ = p.client.conn().Close() // errors at the end of a connection do not matter
	_ = p.server.conn().Close()
}

// farewell ends a stream in order. Closing a socket with unread data would send
// a reset that may destroy what the peer has not read yet, so that is read first.
func farewell(c net.Conn) {
	if closeWrite(c) != nil {
		return
	}
	buf := make([]byte, 4096)
	for until := time.Now().Add(lingering); time.Now().Before(until); {
		_ = c.SetReadDeadline(time.Now().Add(quiet)) // an error means closed, which the read reports
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET)
}

func isClosedOrTimeout(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}
