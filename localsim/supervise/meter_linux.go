package supervise

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// tick is the unit of times in /proc/PID/stat on every architecture that Go has
// (proc_pid_stat(5), USER_HZ).
const tick = 10 * time.Millisecond

// readProcess reads /proc/PID. Processor time is cut to ticks, that of the user and
// that of the system each.
func readProcess(pid int) (a processAccount, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return a, fmt.Errorf("reading the account of process %d: %w", pid, err)
	}
	stat, err := p.Stat()
	if err != nil {
		return a, fmt.Errorf("reading the account of process %d: %w", pid, err)
	}
	status, err := p.NewStatus()
	if err != nil {
		return a, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	ticks := int64(stat.UTime+stat.STime) + int64(stat.CUTime+stat.CSTime)                                                                       //nolint:gosec // processor time of a process since its start
	return processAccount{born: stat.Starttime, cpu: time.Duration(ticks) * tick, resident: int64(status.VmRSS), peak: int64(status.VmHWM)}, nil //nolint:gosec // bytes of memory
}
