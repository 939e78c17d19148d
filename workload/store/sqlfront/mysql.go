package sqlfront

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// The front of MySQL: the text protocol of version 10
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html). Errors are
// those of MariaDB 10.11. Every user is let in, with any password.

// mysql is MySQL's dialect.
func mysql() *dialect {
	return &dialect{backslash: true, conflict: "on duplicate key update", assigned: "values ( value )", version: mysqlVersion}
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

	statusAutocommit = 2
	statusMore       = 8
)

// Commands of clients.
const (
	comQuit, comInitDB, comQuery, comPing, comPrepare, comReset = 1, 2, 3, 14, 22, 31
)

// utf8mb4Bin is the number of the collation of all texts.
const utf8mb4Bin = 46

// A mysqlConn is one connection of a client.
type mysqlConn struct {
	conn net.Conn
	// sequence numbers the packets of one exchange.
	sequence byte
	out      []byte
}

// wholePacket is the length of a packet that another belongs to.
const wholePacket = 1<<24 - 1

// mostQuery bounds a message; it is the largest value, and its statement.
const mostQuery = 65 << 20

var errTooLong = errors.New("the message is too long")

// read takes one message, which may be several packets.
func (c *mysqlConn) read() (message []byte, err error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return nil, err
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		c.sequence = head[3] + 1
		if len(message)+n > mostQuery {
			return nil, errTooLong
		}
		from := len(message)
		message = append(message, make([]byte, n)...)
		if _, err := io.ReadFull(c.conn, message[from:]); err != nil {
			return nil, err
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
func ServeMySQL(conn net.Conn, e Engine) {
	c := mysqlConn{conn: conn}
	_ = conn.SetReadDeadline(time.Now().Add(greetingPatience))
	if c.greet() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	d := mysql()
	for {
		message, err := c.read()
		if err != nil || len(message) == 0 || message[0] == comQuit {
			return
		}
		switch message[0] {
		case comQuery:
			if c.query(d, e, string(message[1:])) != nil {
				return
			}
		case comPing, comInitDB, comReset:
			c.writeOK(0, statusAutocommit)
		case comPrepare:
			c.writeError(mysqlError{1295, "HY000", "the embedded store has no prepared statements; put the values into the text, or use engine: real"})
		default:
			c.writeError(mysqlError{1047, "08S01", "Unknown command"})
		}
		if c.flush() != nil {
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
	why, err := run(e, list, func(r *result) error {
		results = append(results, r)
		return nil
	})
	for i, r := range results {
		status := uint16(statusAutocommit)
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

// typeText is the type of all columns, MYSQL_TYPE_VAR_STRING.
const typeText = 0xfd

func (c *mysqlConn) writeResult(r *result, status uint16) {
	if r.verb.command() != "SELECT" {
		c.writeOK(r.written+r.replaced-r.same, status)
		return
	}
	c.write(appendLength(nil, uint64(len(r.columns))))
	for _, name := range r.columns {
		column := []byte{}
		for _, text := range []string{"def", "mysql", Table, Table, name, name} {
			column = appendText(column, text)
		}
		column = append(column, 0x0c, utf8mb4Bin, 0)
		column = binary.LittleEndian.AppendUint32(column, 1<<32-1)
		c.write(append(column, typeText, 0, 0, 0, 0, 0))
	}
	c.writeEOF(status)
	for _, row := range r.rows {
		var values []byte
		for _, value := range row {
			values = appendText(values, value)
		}
		c.write(values)
	}
	c.writeEOF(status)
}
