package console

import (
	"context"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// memcached is its address.
type memcached struct{ address string }

func (m memcached) close() error { return nil }

func (m memcached) breaks(t fault.Type) func(context.Context) (undo, error) {
	if t != fault.CacheFlush {
		return nil
	}
	return func(context.Context) (undo, error) {
		c := memcache.New(m.address)
		defer func() { _ = c.Close() }() // it has answered
		return nil, c.FlushAll()
	}
}
