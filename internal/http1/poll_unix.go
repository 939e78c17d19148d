//go:build unix

package http1

import (
	"io"
	"syscall"
)

// canPoll says whether Conn.poll works here.
const canPoll = true

// poll is called by the runtime's poller with the connection registered as
// waiting for reading: first to send, then each time it may be readable. It
// returns false to wait.
func (c *Conn) poll(fd uintptr) bool {
	if c.written < len(c.out) {
		waiting := false
		if c.look {
			c.look = false
			var closed bool
			if waiting, closed = lookInto(fd); closed {
				c.ioErr = io.EOF
				return true
			}
		}
		n, err := syscall.Write(int(fd), c.out[c.written:])
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			return true // the caller sends the rest
		case err != nil:
			c.ioErr = err
			return true
		}
		c.written += n
		if c.written < len(c.out) {
			return true
		}
		if !waiting {
			return false
		}
	}
	n, err := syscall.Read(int(fd), c.buf)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return false
	case err != nil:
		c.ioErr = err
		return true
	}
	c.got = n
	return true
}

// lookInto reports whether bytes wait to be read, or the server has closed its
// side. It is needed because bytes that came before the connection was registered
// as waiting raise no event: a request would wait for them until its deadline.
func lookInto(fd uintptr) (waiting, closed bool) {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n > 0, err == nil && n == 0
}

// silent reports whether an idle connection is still open and says nothing. A
// byte that it takes is of an answer that nobody asked for.
func (c *Conn) silent() bool {
	if c.raw == nil {
		return true
	}
	open := false
	var one [1]byte
	err := c.raw.Read(func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), one[:])
		open = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	})
	return err == nil && open
}
