package sqlfront

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// The front of MySQL: the text and the binary protocol of version 10
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html). Errors are
// those of MariaDB 10.11. Every user is let in, with any password.

// mysql is MySQL's dialect.
func mysql() *dialect {
	return &dialect{backslash: true, conflict: "on duplicate key update", assigned: "values ( value )", version: mysqlVersion, count: "count(*)", one: "1"}
}

const mysqlVersion = "10.11.0-MariaDB-microsim"

// mysqlError is a number, a state, and a text.
type mysqlError struct {
	number uint16
	state  string
	text   string
}

// mysqlErrorOf is what MariaDB says for a code, to a statement.
func mysqlErrorOf(code store.Code, v verb) mysqlError {
	switch code {
	case store.TooManyConnections:
		return mysqlError{1040, "08004", "Too many connections"}
	case store.NoAuth:
		return mysqlError{1142, "42000", v.command() + " command denied to user 'root'@'localhost' for table `mysql`.`" + Table + "`"}
	case store.ReadOnly:
		return mysqlError{1290, "HY000", "The MariaDB server is running with the --read-only option so it cannot execute this statement"}
	case store.Deadlock:
		return mysqlError{1213, "40001", "Deadlock found when trying to get lock; try restarting transaction"}
	case store.LockTimeout:
		return mysqlError{1205, "HY000", "Lock wait timeout exceeded; try restarting transaction"}
	case store.NoSpace, store.Full:
		return mysqlError{1114, "HY000", "The table '" + Table + "' is full"}
	default:
		return mysqlError{1105, "HY000", code.Error()}
	}
}

func mysqlRefusal(why *refusal) mysqlError {
	var wrong *syntaxError
	switch {
	case errors.As(why.text, &wrong):
		near := wrong.near
		if near == "end of input" {
			near = ""
		}
		return mysqlError{1064, "42000", fmt.Sprintf("You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the right syntax to use near '%s' at line 1", near)}
	case errors.Is(why.text, errReadOnly):
		return mysqlError{1792, "25006", why.text.Error()}
	case why.text != nil:
		return mysqlError{1235, "42000", why.text.Error()}
	case why.duplicate != "":
		return mysqlError{1062, "23000", fmt.Sprintf("Duplicate entry '%s' for key 'PRIMARY'", why.duplicate)}
	}
	return mysqlErrorOf(why.code, why.verb)
}

// Flags of what the front can do, and of the state that answers tell.
const (
	canLongPassword = 1 << 0
	canLongFlag     = 1 << 2
	canDatabase     = 1 << 3
	canProtocol41   = 1 << 9
	canTransactions = 1 << 13
	canSecure       = 1 << 15
	canStatements   = 1 << 16
	canResults      = 1 << 17
	canPlugins      = 1 << 19
	canAttributes   = 1 << 20
	capabilities    = canLongPassword | canLongFlag | canDatabase | canProtocol41 | canTransactions | canSecure | canStatements | canResults | canPlugins | canAttributes

	statusOpen       = 1
	statusAutocommit = 2
	statusMore       = 8
)

// Commands of clients.
const (
	comQuit, comInitDB, comQuery, comPing, comReset = 1, 2, 3, 14, 31
)

// utf8mb4Bin is the number of the collation of all texts.
const utf8mb4Bin = 46

// A mysqlConn is one connection of a client.
type mysqlConn struct {
	conn   net.Conn
	in     *bufio.Reader
	budget *intake.Budget
	// release gives the memory of the last message back.
	release func()
	// statements are those that the client has prepared; last is the number of the
	// newest.
	statements map[uint32]*mysqlStatement
	last       uint32
	tx         transaction
	// greeted says that the client was let in.
	greeted bool
	// sequence numbers the packets of one exchange.
	sequence byte
	out      []byte
}

// wholePacket is the length of a packet that another belongs to.
const wholePacket = 1<<24 - 1

// mostQuery bounds a message; it is the largest value, and its statement.
const mostQuery = 65 << 20

var errTooLong = errors.New("the message is too long")

// read takes one message, which may be several packets. It lasts until the next.
func (c *mysqlConn) read() (message []byte, err error) {
	c.release()
	c.release = func() {}
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return nil, err
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		c.sequence = head[3] + 1
		if len(message)+n > mostQuery {
			return nil, errTooLong
		}
		if c.greeted && n > c.in.Buffered() {
			_ = c.conn.SetReadDeadline(time.Now().Add(messagePatience))
		}
		part, release, err := c.budget.Read(c.in, n)
		before := c.release
		c.release = func() { before(); release() }
		if err != nil {
			return nil, err
		}
		if c.greeted {
			_ = c.conn.SetReadDeadline(time.Time{})
		}
		if first {
			message = part
		} else {
			message = append(message, part...)
		}
		if n < wholePacket {
			return message, nil
		}
	}
}

// write adds a message to what is to be sent.
func (c *mysqlConn) write(message []byte) {
	for {
		n := min(len(message), wholePacket)
		c.out = append(c.out, byte(n), byte(n>>8), byte(n>>16), c.sequence)
		c.out = append(c.out, message[:n]...)
		c.sequence++
		if message = message[n:]; n < wholePacket {
			return
		}
	}
}

// status tells of the state of the connection.
func (c *mysqlConn) status() (flags uint16) {
	if !c.tx.manual {
		flags |= statusAutocommit
	}
	if c.tx.open {
		flags |= statusOpen
	}
	return flags
}

func (c *mysqlConn) flush() error {
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *mysqlConn) writeError(e mysqlError) {
	message := binary.LittleEndian.AppendUint16([]byte{0xff}, e.number)
	c.write(append(append(append(message, '#'), e.state...), e.text...))
}

func (c *mysqlConn) writeOK(rows int, status uint16) {
	message := appendLength([]byte{0}, uint64(rows))
	message = append(message, 0) // no id was made
	message = binary.LittleEndian.AppendUint16(message, status)
	c.write(append(message, 0, 0)) // no warnings
}

func (c *mysqlConn) writeEOF(status uint16) {
	c.write(binary.LittleEndian.AppendUint16([]byte{0xfe, 0, 0}, status))
}

// appendLength appends a number of a length that depends on it.
func appendLength(b []byte, n uint64) []byte {
	switch {
	case n < 251:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfc), uint16(n))
	case n < 1<<24:
		return append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xfe), n)
}

func appendText(b []byte, text string) []byte {
	return append(appendLength(b, uint64(len(text))), text...)
}

// RefuseMySQL tells a client why it is not let in, in place of a greeting.
func RefuseMySQL(conn net.Conn, code store.Code) {
	c := mysqlConn{conn: conn}
	c.writeError(mysqlErrorOf(code, 0))
	_ = c.flush() // who does not read it is gone
}

// greet lets a client in.
func (c *mysqlConn) greet() error {
	message := append([]byte{10}, mysqlVersion...)
	message = append(message, 0, 1, 0, 0, 0) // the number of the connection
	message = append(message, "12345678\x00"...)
	message = binary.LittleEndian.AppendUint16(message, capabilities&0xffff)
	message = append(message, utf8mb4Bin)
	message = binary.LittleEndian.AppendUint16(message, statusAutocommit)
	message = binary.LittleEndian.AppendUint16(message, capabilities>>16)
	message = append(message, 21)
	message = append(message, make([]byte, 10)...)
	message = append(message, "123456789012\x00mysql_native_password\x00"...)
	c.write(message)
	if err := c.flush(); err != nil {
		return err
	}
	if _, err := c.read(); err != nil {
		return err
	}
	c.writeOK(0, statusAutocommit)
	return c.flush()
}

// ServeMySQL serves one connection until it ends.
func ServeMySQL(conn net.Conn, e Engine, budget *intake.Budget) {
	c := mysqlConn{conn: conn, in: bufio.NewReader(conn), budget: budget, release: func() {}, statements: map[uint32]*mysqlStatement{}}
	defer func() { c.release() }()
	defer c.forgetAll()
	defer c.tx.end(e)
	_ = conn.SetReadDeadline(time.Now().Add(greetingPatience))
	if c.greet() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	c.greeted = true
	d := mysql()
	for {
		message, err := c.read()
		if err != nil || len(message) == 0 || message[0] == comQuit {
			return
		}
		switch message[0] {
		case comQuery:
			err = c.query(d, e, string(message[1:]))
		case comReset:
			c.forgetAll()
			c.tx.end(e)
			c.writeOK(0, c.status())
		case comPing, comInitDB:
			c.writeOK(0, c.status())
		default:
			known := false
			if known, err = c.ofStatements(d, e, message[0], message[1:]); !known {
				c.writeError(mysqlError{1047, "08S01", "Unknown command"})
			}
		}
		if err != nil || c.flush() != nil {
			return
		}
	}
}

// query answers one message of statements. The error says that the store has ended.
func (c *mysqlConn) query(d *dialect, e Engine, text string) error {
	list, err := d.parse(text)
	if err != nil {
		c.writeError(mysqlRefusal(&refusal{text: err}))
		return nil //nolint:nilerr // it is answered
	}
	if len(list) == 0 {
		c.writeError(mysqlError{1065, "42000", "Query was empty"})
		return nil
	}
	var results []*result
	why, err := run(e, &c.tx, list, func(r *result) error {
		results = append(results, r)
		return nil
	})
	for i, r := range results {
		status := c.status()
		if i+1 < len(results) || why != nil {
			status |= statusMore
		}
		c.writeResult(r, status)
	}
	if why != nil {
		c.writeError(mysqlRefusal(why))
	}
	return err
}

// Types of columns and arguments (MYSQL_TYPE_VAR_STRING, and so on).
const (
	typeTiny     = 1
	typeShort    = 2
	typeLong     = 3
	typeLongLong = 8
	typeInt24    = 9
	typeVarchar  = 15
	typeDecimal  = 246
	typeText     = 253
	typeString   = 254
	// typeBlobs are four types, of which this is the first.
	typeBlobs = 249
)

func (c *mysqlConn) writeResult(r *result, status uint16) {
	if r.verb.command() != "SELECT" {
		c.writeOK(r.written+r.replaced-r.same, status)
		return
	}
	c.write(appendLength(nil, uint64(len(r.columns))))
	c.writeColumns(r.verb, r.columns, status)
	for _, row := range r.rows {
		var values []byte
		for _, value := range row {
			values = appendText(values, value)
		}
		c.write(values)
	}
	c.writeEOF(status)
}

// writeColumns tells the columns of a result, or the places of a statement.
func (c *mysqlConn) writeColumns(v verb, names []string, status uint16) {
	kind := byte(typeText)
	switch v.numeric() {
	case 8:
		kind = typeLongLong
	case 4:
		kind = typeLong
	}
	for _, name := range names {
		column := []byte{}
		for _, text := range []string{"def", "mysql", Table, Table, name, name} {
			column = appendText(column, text)
		}
		column = append(column, 0x0c, utf8mb4Bin, 0)
		column = binary.LittleEndian.AppendUint32(column, 1<<32-1)
		c.write(append(column, kind, 0, 0, 0, 0, 0))
	}
	c.writeEOF(status)
}
