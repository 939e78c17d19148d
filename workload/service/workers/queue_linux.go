package workers

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// setBacklog bounds the accept queue: listen(2) may be called again on a socket
// that listens. Linux accepts one more than the number.
func setBacklog(ln net.Listener, n int) error {
	return onSocket(ln, func(fd int) error { return unix.Listen(fd, n) })
}

// acceptQueue returns the length of the accept queue, which is tcpi_unacked of
// TCP_INFO for a socket that listens (tcp(7), net/ipv4/tcp.c).
func acceptQueue(ln net.Listener) int {
	length := 0
	_ = onSocket(ln, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			length = int(info.Unacked)
		}
		return err
	})
	return length
}

// onSocket calls a function with the socket of a listener, if it has one.
func onSocket(ln net.Listener, do func(fd int) error) error {
	sys, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := raw.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return err
	}
	return doErr
}
