package sqlfront

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// A pgReader hands on messages of PostgreSQL once they are whole. pgproto3 takes memory
// for the length that a message claims to have, before it is there.
type pgReader struct {
	conn   net.Conn
	in     *bufio.Reader
	budget *intake.Budget
	// begun says that the first messages, which have no kind, are over.
	begun bool
	// message is what is left of the one that was read.
	message []byte
	small   []byte
	release func()
}

// newBackend reads from a client within bounds.
func newBackend(conn net.Conn, budget *intake.Budget) (*pgproto3.Backend, *pgReader) {
	r := &pgReader{conn: conn, in: bufio.NewReader(conn), budget: budget}
	b := pgproto3.NewBackend(r, conn)
	b.SetMaxBodyLen(mostQuery)
	return b, r
}

// Read implements io.Reader.
func (r *pgReader) Read(b []byte) (int, error) {
	if len(r.message) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.message)
	r.message = r.message[n:]
	return n, nil
}

// next reads a message with its kind and length.
func (r *pgReader) next() (err error) {
	r.free()
	const length = 4
	kind := 0
	if r.begun {
		kind = 1
	}
	head, err := r.in.Peek(kind + length)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(head[kind:])) + kind
	if n < kind+length || n > mostQuery {
		return errTooLong
	}
	if r.begun && n > r.in.Buffered() {
		_ = r.conn.SetReadDeadline(time.Now().Add(messagePatience))
		defer func() { _ = r.conn.SetReadDeadline(time.Time{}) }()
	}
	if n > intake.Free {
		r.message, r.release, err = r.budget.Read(r.in, n)
		return err
	}
	if n > cap(r.small) {
		r.small = make([]byte, n)
	}
	r.message = r.small[:n]
	_, err = io.ReadFull(r.in, r.message)
	return err
}

// free gives the memory of the last message back.
func (r *pgReader) free() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

// messagePatience bounds how long a client may take to send a message that it has begun.
const messagePatience = 30 * time.Second
