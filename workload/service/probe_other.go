//go:build !unix

package service

import "net"

// stillOpen believes that it is: the system cannot be asked without waiting.
func stillOpen(net.Conn) bool { return true }
