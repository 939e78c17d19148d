package work

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Block is memory that the machine of a request has reserved, or the service's
// own; Take makes it real.
type Block struct {
	held  *atomic.Int64
	size  int64
	bytes []byte
}

// NewBlock returns a block of size bytes that is not taken yet. While it is real, held
// counts it.
func NewBlock(held *atomic.Int64, size int64) *Block { return &Block{held: held, size: size} }

// Take holds the memory, which is then really there: each page is written.
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

// Free gives the memory back.
func (b *Block) Free() {
	if b.bytes == nil {
		return
	}
	b.held.Add(-b.size)
	// Unmapping what was mapped cannot go wrong.
	_ = unmapMemory(b.bytes)
	b.bytes = nil
}
