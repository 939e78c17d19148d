package sqlfront

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A real server is reached through a relay, which reads along what a client asks and
// how it is answered. These readers tell, and change nothing.

// A relayed is a statement that a relay has seen.
type relayed struct {
	operation topology.Operation
	// item is the name of the item that it is on first, place the argument that is it.
	item  string
	place int
}

// ask is what the statement asks for, with its arguments.
func (r relayed) ask(args []string) store.Ask {
	a := store.Ask{Operation: r.operation, Item: r.item}
	if r.place > 0 && r.place <= len(args) {
		a.Item = args[r.place-1]
	}
	return a
}

// relayed is what is known of the text of a message, which may be the beginning of a long one.
func (d *dialect) relayed(text string) relayed {
	r := relayed{operation: operationOf(text)}
	if r.operation == "" {
		return r
	}
	tokens, _ := d.scan(text) // what comes before a text that has no end
	for i := range tokens {
		if t := &tokens[i]; (t.quoted || t.place > 0) && names(tokens[:i]) {
			r.item, r.place = t.text, t.place
			break
		}
	}
	return r
}

// names reports whether an item is named after these words.
func names(before []token) bool {
	ends := func(words ...string) bool {
		n := len(before) - len(words)
		if n < 0 {
			return false
		}
		for i, word := range words {
			if t := before[n+i]; t.quoted || t.text != word {
				return false
			}
		}
		return true
	}
	return ends("name", "=") || ends("name", "in", "(") || ends("values", "(")
}

// operationOf is what the text of a message asks a store for; empty for one that is not
// counted.
func operationOf(text string) topology.Operation {
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

// mostRelayed bounds how many statements of one client a relay keeps. Of each it keeps little.
const mostRelayed = 10_000

// mostText is how much of a message is looked at.
const mostText = 4 << 10

// errLost is that of a connection that is not understood any more, such as one that is
// encrypted.
var errLost = errors.New("the connection does not keep to what is known of its protocol")

// PostgresAsks reads what a client of PostgreSQL sends, and tells each message that is an
// operation, or asks for an answer which ends with ReadyForQuery.
func PostgresAsks(in *bufio.Reader, asked func(store.Ask)) error {
	x := extended{dialect: postgres(), statements: map[string]relayed{}, portals: map[string]store.Ask{}}
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
				asked(store.Ask{}) // the greeting ends so, too
			}
		case kind == 'Q':
			asked(x.dialect.relayed(string(bytes.TrimRight(text, "\x00"))).ask(nil))
		case kind == 'S':
			asked(x.sync())
		case kind == 'E':
			if a := x.execute(text); a.Operation != "" {
				asked(a)
			}
		default:
			if err := x.note(kind, text); err != nil {
				return err
			}
		}
	}
}

// An extended is what the messages of the extended protocol have said so far.
type extended struct {
	dialect    *dialect
	statements map[string]relayed
	portals    map[string]store.Ask
	// executed are the operations since the last Sync.
	executed []topology.Operation
}

// note takes in a statement, its arguments, or that it is wanted no more.
func (x *extended) note(kind byte, b []byte) error {
	if len(x.statements) >= mostRelayed || len(x.portals) >= mostRelayed {
		return errLost
	}
	switch kind {
	case 'P':
		name, rest, _ := bytes.Cut(b, []byte{0})
		text, _, _ := bytes.Cut(rest, []byte{0})
		x.statements[string(name)] = x.dialect.relayed(string(text))
	case 'B':
		portal, rest, _ := bytes.Cut(b, []byte{0})
		name, rest, _ := bytes.Cut(rest, []byte{0})
		x.portals[string(portal)] = x.statements[string(name)].ask(argumentsOf(rest))
	case 'C':
		if len(b) > 0 && b[0] == 'S' {
			delete(x.statements, string(bytes.TrimRight(b[1:], "\x00")))
		} else if len(b) > 0 {
			delete(x.portals, string(bytes.TrimRight(b[1:], "\x00")))
		}
	}
	return nil
}

// argumentsOf reads those of a message Bind, as far as they are here.
func argumentsOf(b []byte) (args []string) {
	short := func() (n int) {
		if len(b) < 2 {
			b = nil
			return 0
		}
		n, b = int(binary.BigEndian.Uint16(b)), b[2:]
		return n
	}
	if formats := 2 * short(); formats <= len(b) {
		b = b[formats:]
	}
	for range short() {
		if len(b) < 4 {
			return args
		}
		n := int32(binary.BigEndian.Uint32(b)) //nolint:gosec // -1 stands for null
		b = b[4:]
		if n < 0 {
			n = 0
		}
		if int(n) > len(b) {
			return args
		}
		args, b = append(args, string(b[:n])), b[n:]
	}
	return args
}

// execute is the operation of a portal, whose answer comes with that of the next Sync.
func (x *extended) execute(b []byte) store.Ask {
	name, _, _ := bytes.Cut(b, []byte{0})
	a := x.portals[string(name)]
	a.Silent = true
	if a.Operation != "" && len(x.executed) < 2 {
		x.executed = append(x.executed, a.Operation)
	}
	return a
}

// sync asks for the answer. If it is one of several operations, it does not say which of
// them were done.
func (x *extended) sync() store.Ask {
	a := store.Ask{Told: true}
	if len(x.executed) == 1 {
		a.Operation = x.executed[0]
	}
	x.executed = x.executed[:0]
	clear(x.portals)
	return a
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
