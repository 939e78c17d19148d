package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A redisDriver is go-redis. Each address has a client of its own with the pool that
// the store's settings ask for.
type redisDriver struct {
	caller   string
	settings topology.Store
	// asked counts the operations.
	asked atomic.Int64

	mu      sync.RWMutex
	clients map[string]*redis.Client
	past    store.Usage // of clients that were closed
	closed  bool
}

func newRedis(caller string, t *topology.Service) *redisDriver {
	redis.SetLogger(silent{})
	return &redisDriver{caller: caller, settings: t.StoreSettings(), clients: map[string]*redis.Client{}}
}

// A greeted connection looks at the first words of the server. One that refuses a
// client says why and closes; go-redis takes that for the answer to its greeting,
// which it ignores, and reports only the end of the connection.
type greeted struct {
	net.Conn
	seen bool
}

// tooMany begins what Redis tells a client over its bound.
const tooMany = "ERR max number of clients"

// Read implements net.Conn.
func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if !g.seen && n > 0 {
		g.seen = true
		if words, refused := strings.CutPrefix(string(b[:n]), "-"); refused && strings.HasPrefix(words, tooMany) {
			words, _, _ = strings.Cut(words, "\r\n")
			return 0, store.Refusal(words)
		}
	}
	return n, err
}

// SyscallConn lets go-redis look whether an idle connection was closed.
func (g *greeted) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := g.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func dialRedis(timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &greeted{Conn: conn}, nil
	}
}

// silent drops what go-redis would print by itself: its errors, which we return.
type silent struct{}

// Printf implements the logger of go-redis.
func (silent) Printf(context.Context, string, ...any) {}

// redisOptions are those of a client whose pool, timeouts and retries are the file's.
func redisOptions(address string, t *topology.Store) *redis.Options {
	retries := t.Retries
	if retries == 0 {
		retries = -1 // never, instead of the driver's default
	}
	return &redis.Options{
		Addr: address, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PoolSize:                 t.Pool.Size, PoolTimeout: t.Pool.Wait.Std(), ConnMaxIdleTime: -1,
		DialTimeout: t.Timeout.Std(), ReadTimeout: t.Timeout.Std(), WriteTimeout: t.Timeout.Std(), ContextTimeoutEnabled: true,
		MaxRetries: retries, DialerRetries: 1, Dialer: dialRedis(t.Timeout.Std()),
	}
}

func (d *redisDriver) client(address string) (*redis.Client, error) {
	d.mu.RLock()
	c, closed := d.clients[address], d.closed
	d.mu.RUnlock()
	switch {
	case closed:
		return nil, outcome.ErrStopping
	case c != nil:
		return c, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c = d.clients[address]; c == nil && !d.closed {
		options := redisOptions(address, &d.settings)
		options.ClientName = d.caller
		c = redis.NewClient(options)
		d.clients[address] = c
	}
	return c, nil
}

// Do implements store.Driver.
func (d *redisDriver) Do(ctx context.Context, address string, q *store.Query) error {
	c, err := d.client(address)
	if err != nil {
		return err
	}
	d.asked.Add(1)
	return d.explain(redisDo(ctx, c, q))
}

// redisDo is one operation in the commands of Redis. A missing item is no error.
func redisDo(ctx context.Context, c *redis.Client, q *store.Query) (err error) {
	switch q.Operation {
	case topology.OpWrite:
		err = c.Set(ctx, q.Item, q.Value, 0).Err()
	case topology.OpRange:
		err = c.MGet(ctx, q.Items...).Err()
	case topology.OpTransaction:
		_, err = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Get(ctx, q.Item)
			p.Set(ctx, q.Item, q.Value, 0)
			return nil
		})
	default:
		err = c.Get(ctx, q.Item).Err()
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// explain says what an error of go-redis means.
func (d *redisDriver) explain(err error) error {
	var refused redis.Error
	var greeting store.Refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return fmt.Errorf("%w: %w", outcome.ErrStopping, err)
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return fmt.Errorf("%w: %w", store.ErrPool, err)
	case errors.As(err, &greeting):
		return greeting
	case errors.As(err, &refused):
		return store.Refusal(refused.Error())
	case strings.HasPrefix(err.Error(), "redis: can't parse"), strings.HasPrefix(err.Error(), "redis: invalid"):
		// go-redis has no error of its own for it.
		return fmt.Errorf("%w: %w", outcome.ErrMalformed, err)
	}
	return err
}

// KeepOnly implements store.Driver.
func (d *redisDriver) KeepOnly(addresses []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, c := range d.clients {
		if !slices.Contains(addresses, address) {
			d.past = plus(d.past, redisUsage(c))
			delete(d.clients, address)
			_ = c.Close() // its connections are not used again
		}
	}
}

func redisUsage(c *redis.Client) store.Usage {
	p := c.PoolStats()
	return store.Usage{
		Open: int64(p.TotalConns), Waits: int64(p.WaitCount) + int64(p.Timeouts), Timeouts: int64(p.Timeouts), WaitSeconds: float64(p.WaitDurationNs) / 1e9,
		// Each attempt asks the pool for a connection once; Usage takes off the first.
		Retries: int64(p.Hits) + int64(p.Misses) + int64(p.Timeouts),
	}
}

func plus(a, b store.Usage) store.Usage {
	return store.Usage{Waits: a.Waits + b.Waits, Timeouts: a.Timeouts + b.Timeouts, WaitSeconds: a.WaitSeconds + b.WaitSeconds, Retries: a.Retries + b.Retries}
}

// Usage implements store.Driver.
func (d *redisDriver) Usage() store.Usage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	sum := d.past
	for _, c := range d.clients {
		u := redisUsage(c)
		open := sum.Open + u.Open
		sum = plus(sum, u)
		sum.Open = open
	}
	// It is a lower bound: an operation under way may not have asked the pool yet, and
	// one whose time ended in the wait for it is not counted there.
	sum.Retries = max(sum.Retries-d.asked.Load(), 0)
	return sum
}

// Close implements store.Driver.
func (d *redisDriver) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.KeepOnly(nil)
	return nil
}

// itemsAtOnce is how many items are written, or removed, in one go.
const itemsAtOnce = 1000

func prepareRedis(ctx context.Context, t *topology.Service, seed uint64) (undo func(context.Context) error, err error) {
	settings := t.StoreSettings()
	c := redis.NewClient(redisOptions(settings.Address, &settings))
	var ours []string
	undo = func(ctx context.Context) error {
		defer func() { _ = c.Close() }()
		for some := range slices.Chunk(ours, itemsAtOnce) {
			if err := c.Unlink(ctx, some...).Err(); err != nil {
				return fmt.Errorf("removing %d items: %w", len(ours), err)
			}
		}
		return nil
	}
	for from := 0; from < settings.Items; from += itemsAtOnce {
		to := min(from+itemsAtOnce, settings.Items)
		set, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < to; i++ {
				p.SetNX(ctx, store.ItemName(i), store.SeedValue(seed, t.Name, i), 0)
			}
			return nil
		})
		for i, cmd := range set {
			if new, ok := cmd.(*redis.BoolCmd); ok && new.Val() {
				ours = append(ours, store.ItemName(from+i))
			}
		}
		if err != nil {
			return undo, fmt.Errorf("writing %d items: %w", settings.Items, err)
		}
	}
	return undo, nil
}
