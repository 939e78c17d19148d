package supervise

import (
	"os"
	"sync"
	"time"
)

// A Usage is what the processes of a replica have used, all that ran one after
// another.
type Usage struct {
	// Ended counts the processes that have ended.
	Ended int
	// CPU is the processor time, user and system, of all of them and of their children
	// that have ended. Resident is the memory that the running process holds now, and
	// Peak the most it has held since its start, in bytes. They are nil if the
	// operating system does not tell.
	CPU            *time.Duration
	Resident, Peak *int64
	// Address is how long the first process took from its start until it printed its
	// address, Healthy until it answered that it is ready; 0 if it has not yet.
	Address, Healthy time.Duration
}

// A Meter adds up what the processes of a replica use. The zero Meter is ready.
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

// started notes which process has been started, and when.
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

// told notes when the process printed its address.
func (m *Meter) told(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.usage.Ended == 0 && m.usage.Address == 0 {
		m.usage.Address = at.Sub(m.first)
	}
}

// Answered notes that the process has just answered that it is ready.
func (m *Meter) Answered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.usage.Ended == 0 && m.usage.Healthy == 0 && m.usage.Address > 0 {
		m.usage.Healthy = time.Since(m.first)
	}
}

// ended adds what a process that has ended has used.
func (m *Meter) ended(state *os.ProcessState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid = 0
	m.usage.Ended++
	m.spent += state.UserTime() + state.SystemTime()
}

// Read returns what the processes have used until now.
func (m *Meter) Read() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage
	if m.pid == 0 || m.born == 0 {
		return u
	}
	now, err := readProcess(m.pid)
	if err != nil || now.born != m.born {
		return u // the process has just ended
	}
	cpu := m.spent + now.cpu
	u.CPU, u.Resident, u.Peak = &cpu, &now.resident, &now.peak
	return u
}

// A processAccount is what the operating system says of a process that runs.
type processAccount struct {
	// born is when it was started, in clock ticks since boot.
	born           uint64
	cpu            time.Duration
	resident, peak int64
}
