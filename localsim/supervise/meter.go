package supervise

import (
	"os"
	"sync"
	"time"
)

// A Usage is what the processes of a replica have taken, one after another.
type Usage struct {
	// Ended counts the processes that have ended.
	Ended int
	// CPU is processor time, of user and system, of all of them and of their children
	// that have ended; Peak is the most memory that the running process has held since
	// its start, and Resident what it holds, in bytes. They are nil where the operating
	// system does not tell.
	CPU            *time.Duration
	Resident, Peak *int64
	// Address is how long the first process took from its start until it printed its
	// address, Healthy until it answered that it is ready; 0 if it has not, yet.
	Address, Healthy time.Duration
}

// A Meter adds up what the processes of a replica take. The zero Meter is ready.
type Meter struct {
	mu    sync.Mutex
	first time.Time
	usage Usage
	// spent is the processor time of those that have ended.
	spent time.Duration
	// pid is the process that runs, or 0; born tells it from a later one with the
	// same number.
	pid  int
	born uint64
}

// started says which process has been started, and when that began.
func (m *Meter) started(pid int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() {
		m.first = at
	}
	m.pid, m.born = pid, 0
	if now, err := readProcess(pid); err == nil {
		m.born = now.born
	}
}

// told says when the process printed its address.
func (m *Meter) told(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.usage.Ended == 0 && m.usage.Address == 0 {
		m.usage.Address = at.Sub(m.first)
	}
}

// Answered says that the process has just answered that it is ready.
func (m *Meter) Answered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.usage.Ended == 0 && m.usage.Healthy == 0 && m.usage.Address > 0 {
		m.usage.Healthy = time.Since(m.first)
	}
}

// ended adds the account of a process that has ended.
func (m *Meter) ended(state *os.ProcessState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid = 0
	m.usage.Ended++
	m.spent += state.UserTime() + state.SystemTime()
}

// Read returns what the processes have taken until now.
func (m *Meter) Read() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage
	if m.pid == 0 || m.born == 0 {
		return u
	}
	now, err := readProcess(m.pid)
	if err != nil || now.born != m.born {
		return u // it has ended just now
	}
	cpu := m.spent + now.cpu
	u.CPU, u.Resident, u.Peak = &cpu, &now.resident, &now.peak
	return u
}

// A processAccount is what the operating system says of a process that runs.
type processAccount struct {
	// born is when it was started, in the system's own unit.
	born           uint64
	cpu            time.Duration
	resident, peak int64
}
