package exec

import (
	"fmt"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Memory bounds how much memory the requests and leaks of a replica hold at once.
// It only counts: an executor allocates the memory.
type Memory struct {
	limit int64
	asked atomic.Int64
}

// Reserve reserves a number of bytes, or returns an error if they would exceed the
// limit.
func (m *Memory) Reserve(size int64) error {
	if m.asked.Add(size) > m.limit {
		m.asked.Add(-size)
		return fmt.Errorf("%s more would exceed the %s that requests and leaks may hold at once", unit.Size(size), unit.Size(m.limit))
	}
	return nil
}

// Release gives reserved bytes back.
func (m *Memory) Release(size int64) { m.asked.Add(-size) }

// Reserved returns how many bytes are reserved now.
func (m *Memory) Reserved() int64 { return m.asked.Load() }
