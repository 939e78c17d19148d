package store

import (
	"context"
	"errors"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A Driver reaches one store. It may be used by several goroutines.
type Driver interface {
	// Do asks the store at an address (host:port) for an operation, and says whether
	// a read found its item. The end of ctx ends it. An answer of the store that is an error is a Refusal; ErrPool says
	// that no connection of the pool was free in time. Retries of the driver's own
	// are those that the store's settings ask for.
	Do(ctx context.Context, address string, q *Query) (found bool, err error)
	// KeepOnly closes the connections to other addresses.
	KeepOnly(addresses []string)
	// Usage is what the driver has counted, over all addresses.
	Usage() Usage
	// Close ends what is under way and closes all connections.
	Close() error
}

// Usage is what a driver counts.
type Usage struct {
	// Open are the connections that there are now.
	Open int64
	// Waits are operations that had to wait for a connection, WaitSeconds how long
	// they did, and Timeouts those that got none.
	Waits, Timeouts int64
	WaitSeconds     float64
	// Retries are what the driver has sent again by itself.
	Retries int64
}

// ErrPool is that of an operation that got no connection of the pool.
var ErrPool = errors.New("no connection of the pool was free in time")

// A Refusal is an answer that is an error, in the words of the store.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Class is how an operation of a driver has ended.
func Class(err error) outcome.Class {
	var refused Refusal
	switch {
	case err == nil:
		return outcome.OK
	case errors.As(err, &refused):
		return outcome.StoreError
	case errors.Is(err, ErrPool):
		return outcome.Rejected
	}
	return outcome.Of(0, err)
}

// A LagReader asks a real server how far its groups of consumers are behind. Its methods may
// be called from several goroutines.
type LagReader interface {
	Lags(ctx context.Context) ([]Lag, error)
	Close() error
}
