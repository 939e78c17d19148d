package workers

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// setBacklog bounds the accept queue: listen(2) may be called again on a
// socket that listens. Linux lets in one more than the number.
func setBacklog(ln net.Listener, n int) error {
	return onSocket(ln, func(fd int) error { return unix.Listen(fd, n) })
}

// acceptQueue reads the length of the accept queue: for a socket that listens,
// tcpi_unacked of TCP_INFO is just that (tcp(7), net/ipv4/tcp.c).
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

// onSocket does something to the socket of a listener, if it has one.
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
