package driver

import (
	"slices"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// clients has the clients of a driver, one for each address, with the pool that the
// store's settings ask for. It may be used by several goroutines.
type clients[C any] struct {
	open  func(address string) (C, error)
	usage func(C) store.Usage
	end   func(C)

	mu     sync.RWMutex
	list   map[string]C
	past   store.Usage // of clients that were closed
	closed bool
}

// at returns the client of an address.
func (d *clients[C]) at(address string) (c C, err error) {
	d.mu.RLock()
	c, ok := d.list[address]
	d.mu.RUnlock()
	if ok {
		return c, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return c, outcome.ErrStopping
	}
	if c, ok = d.list[address]; ok {
		return c, nil
	}
	if c, err = d.open(address); err != nil {
		return c, err
	}
	if d.list == nil {
		d.list = map[string]C{}
	}
	d.list[address] = c
	return c, nil
}

// KeepOnly implements store.Driver.
func (d *clients[C]) KeepOnly(addresses []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, c := range d.list {
		if !slices.Contains(addresses, address) {
			d.past = plus(d.past, d.usage(c))
			delete(d.list, address)
			d.end(c)
		}
	}
}

// plus adds what two clients have counted, of which the second was closed.
func plus(a, b store.Usage) store.Usage {
	return store.Usage{Open: a.Open, Waits: a.Waits + b.Waits, Timeouts: a.Timeouts + b.Timeouts, WaitSeconds: a.WaitSeconds + b.WaitSeconds, Retries: a.Retries + b.Retries}
}

// Usage implements store.Driver.
func (d *clients[C]) Usage() store.Usage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	sum := d.past
	for _, c := range d.list {
		u := d.usage(c)
		sum = plus(sum, u)
		sum.Open += u.Open
	}
	return sum
}

// Close implements store.Driver.
func (d *clients[C]) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.KeepOnly(nil)
	return nil
}
