package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A memcachedDriver is gomemcache, which has no contexts and no bound on connections.
type memcachedDriver struct {
	clients[*memcachedClient]
	settings topology.Store
}

// A memcachedClient is the pool of one address.
type memcachedClient struct {
	*places
	*memcache.Client
	open atomic.Int64
}

func newMemcached(t *topology.Service) *memcachedDriver {
	d := &memcachedDriver{settings: t.StoreSettings()}
	d.clients = clients[*memcachedClient]{
		open: func(address string) (*memcachedClient, error) {
			c := &memcachedClient{places: newPlaces(d.settings.Pool.Size), Client: memcache.New(address)}
			c.Timeout, c.MaxIdleConns, c.DialContext = d.settings.Timeout.Std(), d.settings.Pool.Size, c.dial
			return c, nil
		},
		usage: func(c *memcachedClient) store.Usage { return c.places.usage(c.open.Load()) },
		end:   func(c *memcachedClient) { _ = c.Client.Close() }, // its connections are not used again
	}
	return d
}

// A countedConn is one of those that are open.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (c *memcachedClient) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	var once atomic.Bool
	return &countedConn{conn, func() {
		if once.CompareAndSwap(false, true) {
			c.open.Add(-1)
		}
	}}, nil
}

// Do implements store.Driver. An operation whose caller has left goes on until its
// answer is there, or its time is over, and keeps its place in the pool.
func (d *memcachedDriver) Do(ctx context.Context, address string, q *store.Query) (found bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	c, err := d.at(address)
	if err != nil {
		return false, err
	}
	if err := c.take(ctx, d.settings.Pool.Wait.Std()); err != nil {
		return false, err
	}
	type end struct {
		found bool
		err   error
	}
	ended := make(chan end, 1)
	asked := *q
	go func() {
		defer c.give()
		found, err := c.operate(&asked)
		ended <- end{found, explainMemcached(err)}
	}()
	select {
	case e := <-ended:
		return e.found, e.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// operate does one operation. A missing item is no error.
func (c *memcachedClient) operate(q *store.Query) (found bool, err error) {
	switch q.Operation {
	case topology.OpWrite:
		err := c.Set(&memcache.Item{Key: q.Item, Value: q.Value})
		return err == nil, err
	case topology.OpRange:
		items, err := c.GetMulti(q.Items)
		return len(items) > 0, err
	default:
		_, err := c.Get(q.Item)
		if errors.Is(err, memcache.ErrCacheMiss) {
			return false, nil
		}
		return err == nil, err
	}
}

// explainMemcached says what an error of gomemcache means.
func explainMemcached(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var late *memcache.ConnectTimeoutError
	switch {
	case errors.As(err, &late):
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case errors.Is(err, memcache.ErrServerError):
		return store.Refusal(text)
	case strings.HasPrefix(text, "memcache: unexpected"):
		// gomemcache takes each answer that is an error for one that is none, and has no
		// error of its own for it; what came is at the end, in quotes.
		for _, word := range []string{`"ERROR`, `"SERVER_ERROR`, `"CLIENT_ERROR`} {
			if at := strings.Index(text, word); at >= 0 {
				said, _, _ := strings.Cut(text[at+1:], `\r\n`)
				return store.Refusal(said)
			}
		}
		return fmt.Errorf("%w: %w", outcome.ErrMalformed, err)
	}
	return err
}

// prepareMemcached gives a real server the items that it lacks.
func prepareMemcached(_ context.Context, t *topology.Service, seed uint64) (undo func(context.Context) error, err error) {
	settings := t.StoreSettings()
	c := memcache.New(settings.Address)
	c.Timeout = settings.Timeout.Std()
	var ours []string
	undo = func(ctx context.Context) (err error) {
		defer func() { err = errors.Join(err, c.Close()) }()
		for _, name := range ours {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := c.Delete(name); err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
				return fmt.Errorf("removing %d items: %w", len(ours), err)
			}
		}
		return nil
	}
	for i := range settings.Items {
		name := store.ItemName(i)
		switch err := c.Add(&memcache.Item{Key: name, Value: store.SeedValue(seed, t.Name, i)}); {
		case err == nil:
			ours = append(ours, name)
		case !errors.Is(err, memcache.ErrNotStored):
			return undo, fmt.Errorf("writing %d items: %w", settings.Items, err)
		}
	}
	return undo, nil
}
