package service

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A block is memory that the machine of a request has reserved, or the service's
// own; take makes it real.
type block struct {
	// held counts the memory that is real.
	held  *atomic.Int64
	size  int64
	bytes []byte
}

// take holds the memory, which is then really there: each page is written.
func (b *block) take() error {
	if b.size <= 0 {
		return nil
	}
	bytes, err := mapMemory(b.size)
	if err != nil {
		return fmt.Errorf("taking %s from the system: %w", unit.Size(b.size), err)
	}
	b.bytes = bytes
	b.held.Add(b.size)
	for i := 0; i < len(bytes); i += os.Getpagesize() {
		bytes[i] = 1
	}
	return nil
}

// free gives the memory back.
func (b *block) free() {
	if b.bytes == nil {
		return
	}
	b.held.Add(-b.size)
	// Unmapping what was mapped cannot go wrong.
	_ = unmapMemory(b.bytes)
	b.bytes = nil
}
