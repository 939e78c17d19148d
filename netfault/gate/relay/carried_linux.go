package relay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// Carried is a connection whose sockets the relay has.
type Carried struct {
	loop   *loop
	slot   int32
	fds    [2]int // client, server
	masks  [2]uint32
	halves [2]half // from the client, from the server
	leave  bool    // asked to leave; of the loop's goroutine
	active bool
	err    error
	done   chan struct{}
}

// half is one direction: data read from fds[i] goes to fds[1-i].
type half struct {
	moved   *atomic.Int64
	pending []byte // read but not written yet
	pipe    pipe
	piped   int  // bytes in the pipe
	bulk    bool // splice rather than copy
	small   int  // small moves in a row while in bulk
	eof     bool // the end of data has been read
	shut    bool // and passed on
}

func (h *half) blocked() bool { return len(h.pending) > 0 || h.piped > 0 }

// Take takes the client's and the server's socket from the runtime, which closes conns.
// moved counts the bytes read from each. On an error, conns are usable again; otherwise
// GiveBack must follow.
func (r *Relay) Take(conns *[2]net.Conn, moved [2]*atomic.Int64) (*Carried, error) {
	c := &Carried{loop: r.pick(), done: make(chan struct{})}
	for i, conn := range conns {
		fd, err := takeSocket(conn)
		if err != nil {
			return nil, errors.Join(err, c.giveBack(conns, i))
		}
		c.fds[i], c.halves[i].moved = fd, moved[i]
	}
	return c, nil
}

// Carry carries the connection until both ends of data have been passed on, Leave is
// called, or a socket fails, which is its error. It changes halves to what is left.
// It may be called once.
func (c *Carried) Carry(halves *[2]Half) error {
	for i, h := range halves {
		c.halves[i].pending, c.halves[i].eof, c.halves[i].shut = h.Pending, h.EOF, h.Shut
	}
	c.loop.post(func() { c.loop.add(c) })
	<-c.done
	for i := range halves {
		h := &c.halves[i]
		halves[i] = Half{Pending: h.pending, EOF: h.eof, Shut: h.shut}
	}
	return c.err
}

// Leave makes Carry return. The channel is closed when the relay moves none of the
// connection's data any more.
func (c *Carried) Leave() <-chan struct{} {
	told := make(chan struct{})
	c.loop.post(func() {
		defer close(told)
		c.leave = true
		if c.active {
			c.loop.drop(c, nil)
		}
	})
	return told
}

// GiveBack returns the sockets to the runtime. A socket that cannot be returned stays
// closed in conns.
func (c *Carried) GiveBack(conns *[2]net.Conn) error { return c.giveBack(conns, len(conns)) }

// giveBack returns the first n sockets.
func (c *Carried) giveBack(conns *[2]net.Conn, n int) error {
	var errs []error
	for i := range n {
		conn, err := returnSocket(c.fds[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		conns[i] = conn
	}
	return errors.Join(errs...)
}

// takeSocket takes a socket from the runtime: its descriptor is duplicated and c closed.
func takeSocket(c net.Conn) (int, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("taking a socket from a %T: it has no descriptor", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, os.NewSyscallError("fcntl", errno)
	}
	return int(fd), c.Close()
}

// returnSocket gives a descriptor to the runtime.
func returnSocket(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "gate")
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
}
