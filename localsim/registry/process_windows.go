package registry

import (
	"strconv"
	"syscall"
)

// startTime returns the creation time in units of 100 ns.
func startTime(pid int) (string, error) {
	const (
		queryLimitedInformation = 0x1000
		stillActive             = 259
	)
	handle, err := syscall.OpenProcess(queryLimitedInformation, false, uint32(pid))
	if err != nil {
		return "", errGone
	}
	defer syscall.CloseHandle(handle)
	var code uint32
	if err := syscall.GetExitCodeProcess(handle, &code); err != nil {
		return "", err
	}
	if code != stillActive {
		return "", errGone
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(handle, &created, &exited, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), nil
}
