//go:build unix

package http1

import "syscall"

// canPoll says whether Conn.poll works here.
const canPoll = true

// poll is called by the runtime's poller with the connection registered as
// waiting for reading: first to send, then each time it may be readable. It
// returns false to wait.
func (c *Conn) poll(fd uintptr) bool {
	if c.written < len(c.out) {
		n, err := syscall.Write(int(fd), c.out[c.written:])
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			return true // the caller sends the rest
		case err != nil:
			c.ioErr = err
			return true
		}
		c.written += n
		return c.written < len(c.out)
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
