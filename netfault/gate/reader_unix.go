//go:build unix

package gate

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/front"
)

// A reader reads from a socket and takes a buffer only when there is data, so
// that an idle connection costs none.
type reader struct {
	conn net.Conn
	raw  syscall.RawConn // nil for what is not a socket of the operating system
}

func newReader(c net.Conn) reader {
	r := reader{conn: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			r.raw = raw
		}
	}
	return r
}

// read returns a buffer of the gate with n bytes in it, or no buffer.
func (r reader) read(g *Gate, limit int) (buf *[]byte, n int, err error) {
	if r.raw == nil {
		front.AwaitData(r.conn)
		buf = g.buffer()
		n, err = r.conn.Read((*buf)[:limit])
		if err != nil && n == 0 {
			g.buffers.Put(buf)
			return nil, 0, err
		}
		return buf, n, err
	}
	var failure error
	err = r.raw.Read(func(fd uintptr) bool {
		buf = g.buffer()
		for {
			n, failure = syscall.Read(int(fd), (*buf)[:limit])
			if failure != syscall.EINTR {
				break
			}
		}
		if failure == nil {
			return true
		}
		n = 0
		g.buffers.Put(buf)
		buf = nil
		return failure != syscall.EAGAIN
	})
	switch {
	case err != nil:
		if buf != nil {
			g.buffers.Put(buf)
		}
		return nil, 0, err
	case failure != nil:
		return nil, 0, os.NewSyscallError("read", failure)
	case n == 0 && !g.datagrams:
		g.buffers.Put(buf)
		return nil, 0, io.EOF
	}
	return buf, n, nil
}
