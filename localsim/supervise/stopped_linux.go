package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// hasStopped reports whether every thread of the process has stopped, or there is
// no such process.
func hasStopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The state follows the name, which may hold parentheses itself
		// (proc_pid_stat(5)).
		at := bytes.LastIndexByte(stat, ')')
		if at < 0 || at+2 >= len(stat) || !bytes.ContainsRune([]byte("TtZX"), rune(stat[at+2])) {
			return false
		}
	}
	return true
}
