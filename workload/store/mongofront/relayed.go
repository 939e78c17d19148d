package mongofront

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A real server is reached through a relay, which reads along what a client asks and
// how it is answered. These readers tell, and change nothing.

// mostSeen is how long a message may be that is looked at. Errors are shorter.
const mostSeen = 64 << 10

// next reads a message, of which nothing is returned if it is a long one.
func next(in *bufio.Reader) (h head, message []byte, err error) {
	if h, err = readHead(in); err != nil {
		return h, nil, err
	}
	message = make([]byte, min(h.length, mostSeen))
	if _, err := io.ReadFull(in, message); err != nil {
		return h, nil, err
	}
	_, err = in.Discard(h.length - len(message))
	return h, message, err
}

// Asks reads what a client of MongoDB sends, and tells each message that asks for an
// answer; operation is empty for what is not counted.
func Asks(in *bufio.Reader, asked func(operation topology.Operation)) error {
	for {
		h, message, err := next(in)
		if err != nil {
			return err
		}
		switch {
		case h.code == opQuery:
			asked("")
		case h.code != opMsg || len(message) < 5:
			return errLost
		case binary.LittleEndian.Uint32(message)&moreToCome == 0:
			asked(operation(&h, message))
		}
	}
}

// operation is what a message asks a store for.
func operation(h *head, message []byte) topology.Operation {
	if h.length > len(message) {
		return operations()[firstName(message)] // of which a find is none
	}
	c, err := h.read(message)
	if err != nil {
		return ""
	}
	first, err := c.body.IndexErr(0)
	if err != nil {
		return ""
	}
	if first.Key() != "find" {
		return operations()[first.Key()]
	}
	if collection, _ := first.Value().StringValueOK(); collection != Collection {
		return ""
	}
	if doc, ok := c.body.Lookup("filter").DocumentOK(); ok {
		if f, err := filter(doc); err == nil && !f.many && !f.all {
			return topology.OpRead
		}
	}
	return topology.OpRange
}

func operations() map[string]topology.Operation {
	return map[string]topology.Operation{"insert": topology.OpWrite, "update": topology.OpWrite, "delete": topology.OpWrite, "findAndModify": topology.OpTransaction, "find": topology.OpRange}
}

// firstName is the name of the first element of the body of a message that is not
// whole.
func firstName(message []byte) string {
	const at = 4 + 1 + 4 + 1 // flags, the kind of section, the length, and the type
	if len(message) < at || message[4] != 0 {
		return ""
	}
	for i, b := range message[at:] {
		if b == 0 {
			return string(message[at : at+i])
		}
	}
	return ""
}

// Answers reads what a MongoDB server sends, and tells each answer.
func Answers(in *bufio.Reader, answered func(refused bool)) error {
	for {
		h, message, err := next(in)
		if err != nil {
			return err
		}
		switch {
		case h.code == opReply:
			answered(false)
		case h.code != opMsg || len(message) < 5:
			return errLost
		case binary.LittleEndian.Uint32(message)&moreToCome != 0: // others follow to the same question
		default:
			answered(h.length <= len(message) && refused(&h, message))
		}
	}
}

// refused reports whether an answer is an error, or has one.
func refused(h *head, message []byte) bool {
	c, err := h.read(message)
	if err != nil {
		return false
	}
	ok, isNumber := c.body.Lookup("ok").AsFloat64OK()
	_, err = c.body.LookupErr("writeErrors")
	return isNumber && ok != 1 || err == nil
}
