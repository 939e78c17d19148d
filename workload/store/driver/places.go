package driver

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// places bound the connections of a pool whose library does not tell the wait for one
// from the time to open it, or has no bound.
type places struct {
	free            chan struct{}
	waits, timeouts atomic.Int64
	waited          atomic.Int64 // nanoseconds
}

func newPlaces(n int) *places { return &places{free: make(chan struct{}, n)} }

// take waits for a place, at most for patience.
func (p *places) take(ctx context.Context, patience time.Duration) error {
	select {
	case p.free <- struct{}{}:
		return nil
	default:
	}
	p.waits.Add(1)
	start := time.Now()
	defer func() { p.waited.Add(int64(time.Since(start))) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.free <- struct{}{}:
		return nil
	case <-timer.C:
		p.timeouts.Add(1)
		return store.ErrPool
	case <-ctx.Done():
		return ctx.Err()
	}
}

// give gives a place back.
func (p *places) give() { <-p.free }

func (p *places) usage(open int64) store.Usage {
	return store.Usage{Open: open, Waits: p.waits.Load(), Timeouts: p.timeouts.Load(), WaitSeconds: time.Duration(p.waited.Load()).Seconds()}
}
