//go:build !linux

package workers

import "net"

// setBacklog leaves the accept queue as the system makes it.
func setBacklog(net.Listener, int) error { return nil }

// acceptQueue is not told by the system.
func acceptQueue(net.Listener) int { return 0 }
