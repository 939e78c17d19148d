package work

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Block is memory that a request or the service has reserved. Take allocates it.
type Block struct {
	held  *atomic.Int64
	size  int64
	bytes []byte
}

// NewBlock returns a block of size bytes, which is not allocated yet. While it is
// allocated, held counts it.
func NewBlock(held *atomic.Int64, size int64) *Block { return &Block{held: held, size: size} }

// Take allocates the memory, and writes to each page so that the system really
// provides it.
func (b *Block) Take() error {
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

// Free returns the memory to the system.
func (b *Block) Free() {
	if b.bytes == nil {
		return
	}
	b.held.Add(-b.size)
	// Unmapping a mapped range cannot fail.
	_ = unmapMemory(b.bytes)
	b.bytes = nil
}
