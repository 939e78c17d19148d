package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A redisDriver is go-redis.
type redisDriver struct {
	clients[*redis.Client]
	// asked counts the operations.
	asked atomic.Int64
}

func newRedis(caller string, t *topology.Service) *redisDriver {
	redis.SetLogger(silent{})
	settings := t.StoreSettings()
	return &redisDriver{clients: clients[*redis.Client]{
		open: func(address string) (*redis.Client, error) {
			options := redisOptions(address, &settings)
			options.ClientName = caller
			return redis.NewClient(options), nil
		},
		usage: redisUsage,
		end:   func(c *redis.Client) { _ = c.Close() }, // its connections are not used again
	}}
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

// Do implements store.Driver.
func (d *redisDriver) Do(ctx context.Context, address string, q *store.Query) (found bool, err error) {
	c, err := d.at(address)
	if err != nil {
		return false, err
	}
	d.asked.Add(1)
	found, err = redisDo(ctx, c, q)
	return found, d.explain(err)
}

// redisDo is one operation in the commands of Redis. A missing item is no error.
func redisDo(ctx context.Context, c *redis.Client, q *store.Query) (found bool, err error) {
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
		return false, nil
	}
	return err == nil, err
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

func redisUsage(c *redis.Client) store.Usage {
	p := c.PoolStats()
	return store.Usage{
		Open: int64(p.TotalConns), Waits: int64(p.WaitCount) + int64(p.Timeouts), Timeouts: int64(p.Timeouts), WaitSeconds: float64(p.WaitDurationNs) / 1e9,
		// Each attempt asks the pool for a connection once; Usage takes off the first.
		Retries: int64(p.Hits) + int64(p.Misses) + int64(p.Timeouts),
	}
}

// Usage implements store.Driver.
func (d *redisDriver) Usage() store.Usage {
	sum := d.clients.Usage()
	// It is a lower bound: an operation under way may not have asked the pool yet, and
	// one whose time ended in the wait for it is not counted there.
	sum.Retries = max(sum.Retries-d.asked.Load(), 0)
	return sum
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
