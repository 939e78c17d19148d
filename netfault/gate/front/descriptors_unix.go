//go:build unix

package front

import "syscall"

// Descriptors is how many the process may have, or most if that is more.
func Descriptors(most int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return most
	}
	return int(min(uint64(limit.Cur), uint64(most))) //nolint:unconvert // signed on FreeBSD
}
