// Package console tells real servers of data stores to fail, by their own means: bounds
// on connections, roles, locks. It is for servers that this program has started, and
// takes back what it does. Which faults a kind has is said by store.RealFaults.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
)

// An undo takes a fault back.
type undo = func(context.Context) error

// means are the faults of one kind.
type means interface {
	// breaks returns what puts the server under a fault, or nil.
	breaks(t fault.Type) func(context.Context) (undo, error)
	close() error
}

// none is for servers that have no means for faults.
type none struct{}

func (none) breaks(fault.Type) func(context.Context) (undo, error) { return nil }

func (none) close() error { return nil }

// A console is the way to one server.
type console struct {
	means
	kind topology.Kind
}

// Open connects to the server of a store at its address. The connections stay, since
// faults keep others out.
func Open(ctx context.Context, t *topology.Service) (server.Console, error) {
	var m means
	var err error
	switch address := t.StoreSettings().Address; t.Kind {
	case topology.Redis:
		m, err = openRedis(ctx, address)
	case topology.Postgres:
		m, err = openPostgres(ctx, address)
	case topology.MySQL:
		m, err = openMySQL(ctx, address)
	case topology.Memcached:
		m = memcached{address}
	default:
		m = none{}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a console of store %q: %w", t.Name, err)
	}
	return console{m, t.Kind}, nil
}

// Break implements server.Console.
func (c console) Break(ctx context.Context, t fault.Type) (func(context.Context) error, error) {
	do := c.breaks(t)
	if do == nil {
		return nil, fmt.Errorf("a server of kind %s has no means for fault type %q", c.kind, t)
	}
	return do(ctx)
}

// Close implements server.Console.
func (c console) Close() error { return c.close() }

// errRefused is that of a connection that the server does not take.
var errRefused = errors.New("the server takes no more connections")

// A crowd is connections that take all places of a server, until it leaves.
type crowd struct {
	// join opens one; errRefused says that there is no place.
	join func(context.Context) (io.Closer, error)
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	members []io.Closer
}

const (
	// crowdPause is how long a crowd waits before it looks for places that got free.
	crowdPause = 50 * time.Millisecond
	// mostCrowd bounds a crowd.
	mostCrowd = 2000
)

// gather takes all places of a server, and those that get free. It returns when there
// is none, twice in turn: connections that were cut take a moment to end.
func gather(ctx context.Context, join func(context.Context) (io.Closer, error)) (*crowd, error) {
	c := &crowd{join: join, done: make(chan struct{})}
	for full := 0; full < 2; full++ {
		more, err := c.fill(ctx)
		if err != nil {
			return nil, errors.Join(err, c.leave())
		}
		if more {
			full = 0
		}
		if err := pause(ctx, crowdPause); err != nil {
			return nil, errors.Join(err, c.leave())
		}
	}
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(c.done)
		for pause(ctx, crowdPause) == nil {
			_, _ = c.fill(ctx) // it is tried again
		}
	}()
	return c, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fill joins until there is no place, and says whether there was any.
func (c *crowd) fill(ctx context.Context) (more bool, err error) {
	for {
		one, err := c.join(ctx)
		switch {
		case errors.Is(err, errRefused):
			return more, nil
		case err != nil:
			return more, err
		}
		c.mu.Lock()
		c.members = append(c.members, one)
		n := len(c.members)
		c.mu.Unlock()
		if more = true; n > mostCrowd {
			return more, fmt.Errorf("taking the places of a server: it takes more than %d connections", mostCrowd)
		}
	}
}

// leave closes all.
func (c *crowd) leave() error {
	if c.stop != nil {
		c.stop()
		<-c.done
	}
	var all []error
	for _, one := range c.members {
		all = append(all, one.Close())
	}
	c.members = nil
	return errors.Join(all...)
}
