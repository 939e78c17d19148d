package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/front"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/relay"
)

// Config says what a gate stands between.
type Config struct {
	// Listen is where clients connect: "host:port" (TCP), "udp:host:port",
	// or "unix:/path". Port 0 picks a free port, which is then kept. "" means a
	// free port of 127.0.0.1; ":port" means all interfaces of this machine.
	Listen string
	// Upstream is the server, written in the same way. It is resolved and
	// dialled anew for each connection.
	Upstream string

	// DialTimeout bounds the dialling of the upstream; 0 means 10 s.
	DialTimeout time.Duration
	// Seed makes draws (jitter, Sometimes, Drop) repeatable; 0 picks one.
	Seed uint64
	// MaxInFlight bounds what a delay holds for each connection and
	// direction, in bytes; 0 means 32 MiB. Beyond it the sender is slowed.
	MaxInFlight int
	// MaxHeld bounds what the gate holds for all connections together, in bytes;
	// 0 means 256 MiB. Beyond it, senders of streams are slowed and datagrams lost.
	// Each connection may hold 16 KiB nevertheless.
	MaxHeld int64
	// Connections bounds how many TCP and Unix connections are served at the same
	// time; 0 means MaxConnections, or a quarter of the descriptors that the
	// process may have if that is less. Clients beyond it wait in the backlog.
	Connections int
	// UDPClients bounds how many UDP clients are remembered, a quarter of them
	// from one IP address; 0 means 4096. The one that was silent for longest is
	// forgotten for a new one.
	UDPClients int
	// UDPIdle is how long a UDP client is remembered without traffic; 0 means
	// five minutes, a negative value for ever. Streams are never timed out.
	UDPIdle time.Duration
	// Relay carries connections without conditions; nil means one of the gate's
	// own. Gates that share one share its threads.
	Relay *relay.Relay
	// Log is told once when the upstream cannot be reached, and when it can again;
	// nil drops that.
	Log *slog.Logger
}

// MaxConnections is how many connections a gate serves at the same time if its Config
// does not say otherwise.
const MaxConnections = 16384

// A Gate is a proxy that misbehaves on order. Its methods may be called from any goroutine.
type Gate struct {
	upstream    upstream
	dialTimeout time.Duration
	seed        uint64
	maxInFlight int
	maxHeld     int64
	udpIdle     time.Duration
	udpClients  int
	slots       chan struct{} // taken by each connection
	datagrams   bool
	log         *slog.Logger

	toServer, toClient Direction
	nextID             atomic.Uint64
	buffers            sync.Pool
	held               atomic.Int64 // bytes in all lanes and waiting datagrams
	relay              *relay.Relay
	ownRelay           bool

	// control serializes Start, Stop, StopAccepting, ... It is held while
	// waiting for goroutines; mu never is.
	control sync.Mutex

	mu         sync.Mutex
	listen     address.Address // with the port that was picked
	front      front.Front     // nil when stopped
	accepting  bool
	closed     bool
	connection uint64
	pairs      map[uint64]*pair
	opening    map[uint64]context.CancelFunc
	changed    chan struct{} // closed and replaced at every change of the above or of a plan
	work       sync.WaitGroup
	unwatch    func() bool
}

// New returns a gate that is not started yet; conditions may be set already.
func New(c Config) (*Gate, error) {
	if c.Upstream == "" {
		return nil, errors.New("making a gate: Config.Upstream is empty; it must name the server, as in \"127.0.0.1:5432\"")
	}
	if c.Listen == "" {
		c.Listen = address.AnyPort
	}
	listen, err := address.Parse(address.Listening, c.Listen)
	if err != nil {
		return nil, err
	}
	to, err := address.Parse(address.Upstream, c.Upstream)
	if err != nil {
		return nil, err
	}
	g := &Gate{
		listen: listen, upstream: upstream{address: to}, dialTimeout: c.DialTimeout, seed: c.Seed,
		maxInFlight: c.MaxInFlight, maxHeld: c.MaxHeld, udpIdle: c.UDPIdle, udpClients: c.UDPClients, log: c.Log, relay: c.Relay,
		pairs: map[uint64]*pair{}, opening: map[uint64]context.CancelFunc{}, changed: make(chan struct{}),
	}
	g.datagrams = g.listen.Datagrams()
	if g.datagrams != to.Datagrams() {
		return nil, g.mixed(c.Upstream)
	}
	if g.relay == nil {
		g.relay, g.ownRelay = relay.New(), true
	}
	if g.maxHeld == 0 {
		g.maxHeld = 256 << 20
	}
	if g.udpClients == 0 {
		g.udpClients = 4096
	}
	if c.Connections <= 0 {
		// Each has two, and the rest of the process needs some.
		c.Connections = min(MaxConnections, max(front.Descriptors(4*MaxConnections)/4, 1))
	}
	g.slots = make(chan struct{}, c.Connections)
	if g.dialTimeout == 0 {
		g.dialTimeout = 10 * time.Second
	}
	if g.maxInFlight == 0 {
		g.maxInFlight = 32 << 20
	}
	if g.udpIdle == 0 {
		g.udpIdle = 5 * time.Minute
	}
	for g.seed == 0 {
		g.seed = rand.Uint64()
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.buffers.New = func() any { b := make([]byte, readSize); return &b }
	for d, name := range map[*Direction]string{&g.toServer: "to server", &g.toClient: "to client"} {
		d.gate, d.name = g, name
		d.plan.Store(&plan{})
	}
	return g, nil
}

// Start makes a gate and starts it. When ctx ends the gate is closed; [Gate.Close] closes it earlier.
func Start(ctx context.Context, c Config) (*Gate, error) {
	g, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := g.Start(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.mu.Lock()
	g.unwatch = context.AfterFunc(ctx, func() { _ = g.Close() }) // no caller is left to return an error to
	g.mu.Unlock()
	return g, nil
}

// String names the gate by its addresses.
func (g *Gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listen.String() + "->" + g.upstream.get().String()
}

func (g *Gate) listenAddress() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listen.String()
}

// Seed is the seed that all draws come from.
func (g *Gate) Seed() uint64 { return g.seed }

// ToServer is the direction from clients to the server.
func (g *Gate) ToServer() *Direction { return &g.toServer }

// ToClient is the direction from the server to clients.
func (g *Gate) ToClient() *Direction { return &g.toClient }

// Addr is the address for clients, "host:port" or a path. Once the gate has
// been started it carries the port that was picked, and keeps it.
func (g *Gate) Addr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listen.Host()
}

func (g *Gate) buffer() *[]byte { return g.buffers.Get().(*[]byte) }

// notify wakes those who wait for a change; g.mu must be held.
func (g *Gate) notify() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// tellAll makes every connection look at the plans.
func (g *Gate) tellAll() {
	g.mu.Lock()
	pairs := g.snapshot()
	g.notify()
	g.mu.Unlock()
	told := make([]<-chan struct{}, len(pairs))
	for i, p := range pairs {
		told[i] = p.notify()
	}
	for i, p := range pairs {
		if told[i] != nil {
			select {
			case <-told[i]:
			case <-p.gone:
			}
		}
	}
}

// snapshot lists the pairs, oldest first; g.mu must be held.
func (g *Gate) snapshot() []*pair {
	pairs := make([]*pair, 0, len(g.pairs))
	for _, p := range g.pairs {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b *pair) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return pairs
}

// serve connects a client to the server and carries the connection. It takes over client.
// It is called by the front, which has counted it in g.work. If ctx ends before
// the server is dialled, the client is closed.
func (g *Gate) serve(ctx context.Context, client net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	g.connection++
	id := g.connection
	g.opening[id] = cancel
	stopped := g.front == nil
	g.mu.Unlock()
	if stopped {
		cancel()
	}

	var p *pair
	server, err := g.open(ctx, id)
	if ctx.Err() == nil {
		g.dialled(err, 1)
	}
	g.mu.Lock()
	delete(g.opening, id)
	if err == nil && ctx.Err() == nil {
		p = newPair(g, id, client, server)
		g.pairs[id] = p
	}
	g.notify()
	g.mu.Unlock()
	if p == nil {
		if err == nil {
			_ = server.Close() // it carried nothing
		}
		_ = client.Close() // the client is told no more than that
		return
	}
	p.run()
	g.mu.Lock()
	delete(g.pairs, id)
	g.notify()
	g.mu.Unlock()
	close(p.gone)
}

// open dials the upstream, after the pause of a [SlowOpen] if there is one.
func (g *Gate) open(ctx context.Context, id uint64) (net.Conn, error) {
	if err := g.openSlowly(ctx, id); err != nil {
		return nil, err
	}
	return g.dial(ctx)
}

func (g *Gate) openSlowly(ctx context.Context, id uint64) error {
	opened := time.Now()
	draw := rand.New(rand.NewPCG(g.seed, id))
	luck := 2*draw.Float64() - 1
	met := map[*Active]bool{}
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		var wait time.Duration
		for _, d := range []*Direction{&g.toServer, &g.toClient} {
			for _, e := range d.plan.Load().entries {
				c, ok := e.setting.condition.(SlowOpen)
				if !ok || !e.applies(g.seed, id) {
					continue
				}
				wait += max(c.By+time.Duration(luck*float64(c.Jitter)), 0)
				if !met[e.active] {
					met[e.active] = true
					e.active.hit(0, true)
				}
			}
		}
		wait -= time.Since(opened)
		if wait <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Connections lists the connections, oldest first; it may include some that are closing.
// Clients that wait for the server to be dialled are not in it.
func (g *Gate) Connections() []ConnInfo {
	g.mu.Lock()
	pairs := g.snapshot()
	g.mu.Unlock()
	infos := make([]ConnInfo, len(pairs))
	for i, p := range pairs {
		infos[i] = p.info()
	}
	return infos
}

// WaitForConnections returns when the gate has at least n connections, or the context's error.
func (g *Gate) WaitForConnections(ctx context.Context, n int) error {
	return g.await(ctx, func(have int) bool { return have >= n }, fmt.Sprintf("at least %d", n))
}

// WaitForNoConnections returns when the gate has no connection left, or the context's error.
func (g *Gate) WaitForNoConnections(ctx context.Context) error {
	return g.await(ctx, func(have int) bool { return have == 0 }, "no")
}

func (g *Gate) await(ctx context.Context, enough func(int) bool, want string) error {
	for {
		g.mu.Lock()
		have, changed := len(g.pairs), g.changed
		g.mu.Unlock()
		if enough(have) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s connections of gate %q, which has %d: %w", want, g, have, context.Cause(ctx))
		}
	}
}

// CloseConnections closes the n oldest connections, or all when n is negative, in
// order, and returns how many they were when they are closed.
func (g *Gate) CloseConnections(n int) int { return g.endSome(n, endOrderly) }

// ResetConnections resets the n oldest connections, or all when n is negative, and
// returns how many they were when they are gone.
func (g *Gate) ResetConnections(n int) int { return g.endSome(n, endReset) }

func (g *Gate) endSome(n int, how ending) int {
	g.mu.Lock()
	pairs := g.snapshot()
	g.mu.Unlock()
	if n >= 0 && n < len(pairs) {
		pairs = pairs[:n]
	}
	for _, p := range pairs {
		p.end(how)
	}
	for _, p := range pairs {
		<-p.gone
	}
	return len(pairs)
}

// endAll asks all connections to end and waits for none.
func (g *Gate) endAll(how ending) {
	g.mu.Lock()
	pairs := g.snapshot()
	for _, cancel := range g.opening {
		cancel()
	}
	g.mu.Unlock()
	for _, p := range pairs {
		p.end(how)
	}
}
