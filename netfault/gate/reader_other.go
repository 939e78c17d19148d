//go:build !unix

package gate

import (
	"net"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/front"
)

// A reader reads from a socket into a buffer of the gate.
type reader struct{ conn net.Conn }

func newReader(c net.Conn) reader { return reader{c} }

// read returns a buffer of the gate with n bytes in it, or no buffer.
func (r reader) read(g *Gate, limit int) (buf *[]byte, n int, err error) {
	front.AwaitData(r.conn)
	buf = g.buffer()
	n, err = r.conn.Read((*buf)[:limit])
	if err != nil && n == 0 {
		g.buffers.Put(buf)
		return nil, 0, err
	}
	return buf, n, err
}
