package sqlfront

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// A MySQLExchange is a relayed connection of MySQL. An answer has a form that depends on the
// command, so the commands are kept until then. Its two methods are called by a
// goroutine each.
type MySQLExchange struct {
	mu sync.Mutex
	// more is signalled when a command has been read, or when reading them has ended.
	more  sync.Cond
	asked []mysqlAsked
	ended bool
	// statements are those that the client has prepared, by the number that the server gave; last
	// is the newest. preparing counts those that have no number yet.
	statements map[uint32]*mysqlRelayed
	last       *mysqlRelayed
	preparing  int
	// deaf says that answers are not read any more.
	deaf bool
	// client and server are the flags that they have told, once they have.
	client, server uint32
}

// mysqlAsked is a command that waits for its answer.
type mysqlAsked struct {
	// prepared is the statement of a command that prepares one.
	prepared *mysqlRelayed
}

// A mysqlRelayed is a statement that a client has prepared.
type mysqlRelayed struct {
	mysqlStatement
	relayed relayed
}

// NewMySQLExchange returns a connection that has just begun.
func NewMySQLExchange() *MySQLExchange {
	x := &MySQLExchange{statements: map[uint32]*mysqlRelayed{}}
	x.more.L = &x.mu
	return x
}

// Flags that change how answers look.
const (
	canCompress = 1 << 5
	canEncrypt  = 1 << 11
	// canOmitEOF leaves the packets out that end a list of columns.
	canOmitEOF = 1 << 24
)

// Commands that a relay knows beside those of the front. Their answer is a single OK, or an error.
const (
	comChangeUser = 17
	comDebug      = 13
)

// Asks reads what a client of MySQL sends, and tells each command. The first message is its
// greeting.
func (x *MySQLExchange) Asks(in *bufio.Reader, asked func(store.Ask)) error {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.ended = true
		x.more.Broadcast()
	}()
	if err := x.greet(in); err != nil {
		return err
	}
	d := mysql()
	for {
		text, sequence, err := mysqlMessage(in)
		switch {
		case err != nil:
			return err
		case sequence != 0 || len(text) == 0:
			continue // a part of the greeting
		}
		command, rest := text[0], text[1:]
		switch command {
		case comQuery:
			x.note(mysqlAsked{})
			asked(d.relayed(string(rest)).ask(nil))
		case comPrepare:
			x.note(mysqlAsked{prepared: newMySQLRelayed(d, string(rest))})
			asked(store.Ask{})
		case comExecute:
			a, err := x.execute(rest)
			if err != nil {
				return err
			}
			x.note(mysqlAsked{})
			asked(a)
		case comLongData, comClose:
			x.without(command, rest)
		case comQuit:
		case comInitDB, comPing, comReset, comResetStatement, comDebug, comChangeUser:
			x.note(mysqlAsked{})
			asked(store.Ask{})
		default:
			return errLost // its answer may look like anything
		}
	}
}

// greet reads the greeting of a client.
func (x *MySQLExchange) greet(in *bufio.Reader) error {
	text, _, err := mysqlMessage(in)
	if err != nil {
		return err
	}
	if len(text) < 4 || binary.LittleEndian.Uint32(text)&(canEncrypt|canCompress) != 0 {
		return errLost
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.client = binary.LittleEndian.Uint32(text)
	return nil
}

func newMySQLRelayed(d *dialect, text string) *mysqlRelayed {
	st := &mysqlRelayed{relayed: d.relayed(text)}
	st.prepared, st.long = &prepared{}, map[int][]byte{}
	return st
}

func (x *MySQLExchange) note(a mysqlAsked) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = append(x.asked, a)
	if a.prepared != nil {
		x.preparing++
	}
	x.more.Broadcast()
}

// newest stands for the number of the statement that was prepared last.
const newest = 1<<32 - 1

// statement is one that was prepared, by the number at the beginning of a message. The client
// may know the number before the answer has been read along.
func (x *MySQLExchange) statement(b []byte) (st *mysqlRelayed, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.preparing > 0 && !x.deaf {
		x.more.Wait()
	}
	id := binary.LittleEndian.Uint32(b)
	if id == newest {
		return x.last, b[4:]
	}
	return x.statements[id], b[4:]
}

// execute is what a statement asks for with the arguments of a message.
func (x *MySQLExchange) execute(b []byte) (store.Ask, error) {
	st, rest := x.statement(b)
	if st == nil {
		return store.Ask{}, nil // the server says that there is none
	}
	if len(rest) > 0 && rest[0] != 0 {
		return store.Ask{}, errLost // by a cursor, whose rows come later
	}
	args, _ := st.arguments(rest) // as far as they are here
	clear(st.long)
	return st.relayed.ask(args), nil
}

// without takes in a command that has no answer.
func (x *MySQLExchange) without(command byte, b []byte) {
	st, rest := x.statement(b)
	switch {
	case st == nil:
	case command == comLongData && len(rest) >= 2:
		st.long[int(binary.LittleEndian.Uint16(rest))] = []byte{} // it is not the name of an item
	case command == comClose:
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.statements, binary.LittleEndian.Uint32(b))
	}
}

// next is the oldest command that waits for its answer, which may be here before the command has
// been read along.
func (x *MySQLExchange) next() (a mysqlAsked, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.asked) == 0 && !x.ended {
		x.more.Wait()
	}
	if len(x.asked) == 0 {
		return a, false
	}
	a, x.asked = x.asked[0], x.asked[1:]
	return a, true
}

// Answers reads what a MySQL server sends, and tells each end of an answer.
func (x *MySQLExchange) Answers(in *bufio.Reader, answered func(refused bool)) error {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.deaf = true
		x.more.Broadcast()
	}()
	if err := x.hearGreeting(in); err != nil {
		return err
	}
	for {
		if _, err := in.Peek(1); err != nil {
			return err
		}
		a, ok := x.next()
		if !ok {
			return errLost
		}
		refused, err := x.hear(in, a)
		if err != nil {
			return err
		}
		answered(refused)
	}
}

// hearGreeting reads what a server says up to the end of the greeting.
func (x *MySQLExchange) hearGreeting(in *bufio.Reader) error {
	text, _, err := mysqlMessage(in)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.server = flagsOf(text)
	x.mu.Unlock()
	for {
		text, _, err := mysqlMessage(in)
		switch {
		case err != nil:
			return err
		case len(text) == 0 || text[0] == 0xff:
			return errLost
		case text[0] == 0:
			return nil
		} // else it asks on
	}
}

// flagsOf are those of the greeting of a server: after its version there are twelve bytes and
// the end of one, half of the flags, three bytes, and the other half.
func flagsOf(greeting []byte) uint32 {
	_, b, _ := bytes.Cut(greeting, []byte{0})
	const low, high = 4 + 8 + 1, 4 + 8 + 1 + 2 + 3
	if len(b) < high+2 {
		return 0
	}
	return uint32(binary.LittleEndian.Uint16(b[low:])) | uint32(binary.LittleEndian.Uint16(b[high:]))<<16
}

// hear reads one answer.
func (x *MySQLExchange) hear(in *bufio.Reader, a mysqlAsked) (refused bool, err error) {
	if a.prepared != nil {
		return x.hearPrepared(in, a.prepared)
	}
	for more := true; more; {
		if more, refused, err = mysqlResult(in); err != nil {
			return false, err
		}
	}
	return refused, nil
}

// hearPrepared reads the answer to a statement that is prepared: its number, how many columns
// and arguments it has, and those.
func (x *MySQLExchange) hearPrepared(in *bufio.Reader, st *mysqlRelayed) (refused bool, err error) {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.preparing--
		x.more.Broadcast()
	}()
	text, _, err := mysqlMessage(in)
	const least = 1 + 4 + 2 + 2
	switch {
	case err != nil:
		return false, err
	case len(text) > 0 && text[0] == 0xff:
		return true, nil
	case len(text) < least:
		return false, errLost
	}
	x.mu.Lock()
	omits := x.client&x.server&canOmitEOF != 0
	st.places = int(binary.LittleEndian.Uint16(text[7:]))
	if len(x.statements) >= mostRelayed {
		x.mu.Unlock()
		return false, errLost
	}
	x.statements[binary.LittleEndian.Uint32(text[1:])], x.last = st, st
	x.mu.Unlock()
	for _, n := range []int{st.places, int(binary.LittleEndian.Uint16(text[5:]))} {
		if n > 0 && !omits {
			n++
		}
		for range n {
			if _, _, err := mysqlMessage(in); err != nil {
				return false, err
			}
		}
	}
	return false, nil
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
