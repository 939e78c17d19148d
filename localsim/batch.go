package localsim

import (
	"context"
	"sync"
)

// maxStarting bounds how many replicas start at once.
const maxStarting = 32

// startReplicas starts supervisors and returns when all replicas are ready, or
// the first has failed. The caller stops those that did start.
func (d *Deployment) startReplicas(ctx context.Context, b *batch) error {
	replicas := b.replicas
	outcomes := make(chan error, len(replicas))
	running := 0
	defer func() {
		// Discard the replicas that were not started, so that they count as ended.
		for _, r := range replicas[running:] {
			r.Discard()
		}
	}()
	for done := 0; done < len(replicas); {
		// A process waits in syncNew until all addresses are known; a waiting
		// process no longer counts as starting.
		if running < len(replicas) && running-b.arrived() < maxStarting {
			go replicas[running].Run(func(err error) { outcomes <- err }) //nolint:contextcheck // a replica ends with its deployment
			running++
			continue
		}
		select {
		case <-b.moved:
		case err := <-outcomes:
			if err != nil {
				return err
			}
			done++
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// A batch is a group of replicas that start together: each waits until the
// addresses of all are known.
type batch struct {
	replicas []*replica
	mu       sync.Mutex
	n        int
	// all is closed when the last replica has arrived; moved holds an element
	// if one has arrived since moved was last read.
	all   chan struct{}
	moved chan struct{}
}

func newBatch() *batch {
	return &batch{all: make(chan struct{}), moved: make(chan struct{}, 1)}
}

func (b *batch) arrive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n++; b.n == len(b.replicas) {
		close(b.all)
	}
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

func (b *batch) arrived() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}
