//go:build unix

package gate

import "syscall"

// descriptors is how many the process may have.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 4 * MaxConnections
	}
	return int(min(uint64(limit.Cur), 4*MaxConnections)) //nolint:unconvert // signed on FreeBSD
}
