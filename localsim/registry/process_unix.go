//go:build unix && !linux

package registry

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

// startTime asks ps(1), which every Unix has; the answer is exact to a second.
func startTime(pid int) (string, error) {
	cmd := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid))
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/bin:/usr/bin"}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", errGone
	}
	if err != nil {
		return "", err
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") || start == "" {
		return "", errGone
	}
	return strings.TrimSpace(start), nil
}
