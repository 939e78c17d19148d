package sqlfront

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A real server is reached through a relay, which reads along what a client asks and
// how it is answered. These readers tell, and change nothing.

// Operation is what the text of a message asks a store for; empty for one that is not
// counted.
func Operation(text string) topology.Operation {
	text = strings.ToLower(strings.TrimSpace(text))
	switch {
	case strings.HasPrefix(text, "select") && strings.Contains(text, " from "+Table):
		if strings.Contains(text, " in (") {
			return topology.OpRange
		}
		return topology.OpRead
	case strings.HasPrefix(text, "begin;"):
		return topology.OpTransaction
	case strings.HasPrefix(text, "insert"), strings.HasPrefix(text, "update"), strings.HasPrefix(text, "delete"):
		return topology.OpWrite
	}
	return ""
}

// mostText is how much of a message is looked at.
const mostText = 4 << 10

// errLost is that of a connection that is not understood any more, such as one that is
// encrypted.
var errLost = errors.New("the connection does not keep to what is known of its protocol")

// PostgresAsks reads what a client of PostgreSQL sends, and tells each message that
// asks for an answer which ends with ReadyForQuery.
func PostgresAsks(in *bufio.Reader, asked func(text string)) error {
	for begun := false; ; {
		var kind byte
		if begun {
			var err error
			if kind, err = in.ReadByte(); err != nil {
				return err
			}
		}
		n, err := postgresLength(in)
		if err != nil {
			return err
		}
		text, err := peek(in, n)
		if err != nil {
			return err
		}
		switch {
		case !begun:
			// Of requests for encryption, which are refused or end the reading, the
			// numbers are 80877103 and 80877104; of those to cancel 80877102.
			begun = len(text) >= 4 && binary.BigEndian.Uint32(text)>>16 == 3
			if begun {
				asked("") // the greeting ends so, too
			}
		case kind == 'Q':
			asked(string(bytes.TrimRight(text, "\x00")))
		case kind == 'S':
			asked("") // of the extended protocol, whose messages are not looked at
		}
	}
}

// PostgresAnswers reads what a PostgreSQL server sends, and tells each end of an
// answer, and whether there was an error in it. encrypted is told for a connection
// that goes on encrypted.
func PostgresAnswers(in *bufio.Reader, answered func(refused bool)) error {
	refused := false
	for first := true; ; {
		kind, err := in.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case first && kind == 'N':
			continue // not encrypted
		case first && kind == 'S':
			return errLost
		}
		first = false
		n, err := postgresLength(in)
		if err != nil {
			return err
		}
		if _, err := peek(in, n); err != nil {
			return err
		}
		switch kind {
		case 'E':
			refused = true
		case 'Z':
			answered(refused)
			refused = false
		}
	}
}

// postgresLength reads the length of the rest of a message.
func postgresLength(in *bufio.Reader) (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint32(b[:])) - len(b)
	if n < 0 || n > 1<<30 {
		return 0, errLost
	}
	return n, nil
}

// peek reads n bytes, and returns those at the beginning.
func peek(in *bufio.Reader, n int) ([]byte, error) {
	text := make([]byte, min(n, mostText))
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, err
	}
	_, err := in.Discard(n - len(text))
	return text, err
}

// MySQLAsks reads what a client of MySQL sends, and tells each command. The first
// message is its greeting.
func MySQLAsks(in *bufio.Reader, asked func(text string)) error {
	for first := true; ; first = false {
		text, sequence, err := mysqlMessage(in)
		switch {
		case err != nil:
			return err
		case first && len(text) >= 4 && binary.LittleEndian.Uint32(text)&(1<<11) != 0:
			return errLost // it goes on encrypted
		case first || sequence != 0 || len(text) == 0:
			continue // a part of the greeting
		case text[0] == comQuery:
			asked(string(text[1:]))
		case text[0] == comQuit, text[0] == 0x19: // COM_STMT_CLOSE has no answer
		case text[0] == comPrepare, text[0] == 0x17:
			return errLost // answers of prepared statements are not looked at
		default:
			asked("")
		}
	}
}

// MySQLAnswers reads what a MySQL server sends, and tells each end of an answer.
func MySQLAnswers(in *bufio.Reader, answered func(refused bool)) error {
	if _, _, err := mysqlMessage(in); err != nil { // the server's greeting
		return err
	}
	for greeting := true; greeting; {
		text, _, err := mysqlMessage(in)
		switch {
		case err != nil:
			return err
		case len(text) == 0 || text[0] == 0xff:
			return errLost
		}
		greeting = text[0] != 0 // else it asks on
	}
	for {
		more, refused := true, false
		for more {
			var err error
			if more, refused, err = mysqlResult(in); err != nil {
				return err
			}
		}
		answered(refused)
	}
}

// mysqlResult reads one result, and says whether another belongs to the answer.
func mysqlResult(in *bufio.Reader) (more, refused bool, err error) {
	text, _, err := mysqlMessage(in)
	switch {
	case err != nil:
		return false, false, err
	case len(text) == 0 || text[0] == 0xfb: // a file is asked for
		return false, false, errLost
	case text[0] == 0xff:
		return false, true, nil
	case text[0] == 0:
		more, err := okHasMore(text)
		return more, false, err
	}
	for range number(text) {
		if _, _, err := mysqlMessage(in); err != nil {
			return false, false, err
		}
	}
	// After the columns there is an end, unless the client has asked for none. The
	// rows have one in any case: an EOF of old, or an OK that begins like it.
	for first := true; ; first = false {
		text, _, err := mysqlMessage(in)
		switch {
		case err != nil:
			return false, false, err
		case len(text) > 0 && text[0] == 0xff:
			return false, true, nil
		case len(text) == 5 && text[0] == 0xfe && !first:
			return hasMore(text[3:]), false, nil
		case len(text) > 5 && len(text) < mostText && text[0] == 0xfe:
			more, err := okHasMore(text)
			return more, false, err
		}
	}
}

// okHasMore looks at the status of an OK, after the rows and the id that it tells.
func okHasMore(text []byte) (more bool, err error) {
	rest := text[1:]
	for range 2 {
		if rest, err = skipLength(rest); err != nil {
			return false, err
		}
	}
	return hasMore(rest), nil
}

// number is how many columns there are.
func number(text []byte) int {
	if text[0] == 0xfc && len(text) >= 3 {
		return int(binary.LittleEndian.Uint16(text[1:]))
	}
	return int(text[0])
}

func hasMore(status []byte) bool {
	return len(status) >= 2 && binary.LittleEndian.Uint16(status)&statusMore != 0
}

// skipLength goes past a number whose length depends on it.
func skipLength(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errLost
	}
	n := 1
	switch b[0] {
	case 0xfc:
		n = 3
	case 0xfd:
		n = 4
	case 0xfe:
		n = 9
	}
	if len(b) < n {
		return nil, errLost
	}
	return b[n:], nil
}

// mysqlMessage reads a message, of which the beginning is returned.
func mysqlMessage(in *bufio.Reader) (text []byte, sequence byte, err error) {
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return nil, 0, err
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		part, err := peek(in, n)
		if err != nil {
			return nil, 0, err
		}
		if first {
			text, sequence = part, head[3]
		}
		if n < wholePacket {
			return text, sequence, nil
		}
	}
}
