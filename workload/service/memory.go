package service

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A memoryBudget counts the memory held for a service and bounds what requests
// and leaks may hold at any one time.
type memoryBudget struct {
	limit int64
	// held is everything; asked is what counts against the limit.
	held, asked atomic.Int64
}

// A block is memory of the budget; take makes it real.
type block struct {
	budget *memoryBudget
	size   int64
	// bounded says whether the size counts against the limit.
	bounded bool
	bytes   []byte
}

// reserve counts memory against the limit; past that it is refused.
func (m *memoryBudget) reserve(size int64) (*block, error) {
	if m.asked.Add(size) > m.limit {
		m.asked.Add(-size)
		return nil, fmt.Errorf("%s more would exceed the %s that requests and leaks may hold at once", unit.Size(size), unit.Size(m.limit))
	}
	return &block{budget: m, size: size, bounded: true}, nil
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
	b.budget.held.Add(b.size)
	for i := 0; i < len(bytes); i += os.Getpagesize() {
		bytes[i] = 1
	}
	return nil
}

// free gives the memory back.
func (b *block) free() {
	if b.bounded {
		b.budget.asked.Add(-b.size)
		b.bounded = false
	}
	if b.bytes == nil {
		return
	}
	b.budget.held.Add(-b.size)
	// Unmapping what was mapped cannot go wrong.
	_ = unmapMemory(b.bytes)
	b.bytes = nil
}

// hold reserves and takes memory for a request.
func (m *memoryBudget) hold(size int64) (*block, error) {
	b, err := m.reserve(size)
	if err != nil {
		return nil, err
	}
	if err := b.take(); err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}
