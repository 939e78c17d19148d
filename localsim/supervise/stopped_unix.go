//go:build unix && !linux

package supervise

import (
	"os/exec"
	"strconv"
	"strings"
)

// hasStopped reports whether the process has stopped, or there is no such
// process.
func hasStopped(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.ContainsAny(string(out), "TZ")
}
