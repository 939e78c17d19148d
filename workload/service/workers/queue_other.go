//go:build !linux

package workers

import "net"

// setBacklog does nothing: the accept queue keeps the system's length.
func setBacklog(net.Listener, int) error { return nil }

// acceptQueue returns 0, because the system does not report the length.
func acceptQueue(net.Listener) int { return 0 }
