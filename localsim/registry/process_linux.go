package registry

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// startTime returns the boot's id and field 22 of /proc/PID/stat, the ticks
// between boot and start (proc_pid_stat(5)).
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return "", errGone
	}
	if err != nil {
		return "", err
	}
	// Field 2 is the program's name in parentheses and may itself hold spaces
	// and parentheses; what follows the last one is field 3 and on.
	_, rest, ok := cutLast(stat, ')')
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat has an unknown format", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", errGone
	}
	// Without the id of the boot, the ticks still distinguish the processes of one
	// boot.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}

func cutLast(b []byte, sep byte) (before, after []byte, found bool) {
	at := bytes.LastIndexByte(b, sep)
	if at < 0 {
		return b, nil, false
	}
	return b[:at], b[at+1:], true
}
