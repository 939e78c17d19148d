package exec

import (
	"fmt"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Memory bounds what the requests and the leaks of a replica may hold at any one
// time. It counts; an executor makes the memory real.
type Memory struct {
	limit int64
	asked atomic.Int64
}

// Reserve takes a size from the budget, or says why it can not.
func (m *Memory) Reserve(size int64) error {
	if m.asked.Add(size) > m.limit {
		m.asked.Add(-size)
		return fmt.Errorf("%s more would exceed the %s that requests and leaks may hold at once", unit.Size(size), unit.Size(m.limit))
	}
	return nil
}

// Release gives a reserved size back.
func (m *Memory) Release(size int64) { m.asked.Add(-size) }

// Reserved is what is held now.
func (m *Memory) Reserved() int64 { return m.asked.Load() }
