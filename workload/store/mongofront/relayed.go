package mongofront

import (
	"bufio"
	"encoding/binary"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/microsim-dev/kubectl-microsim/model/store"
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

// Asks reads what a client of MongoDB sends, and tells each message.
func Asks(in *bufio.Reader, asked func(store.Ask)) error {
	for {
		h, message, err := next(in)
		if err != nil {
			return err
		}
		switch {
		case h.code == opQuery:
			asked(store.Ask{})
		case h.code != opMsg || len(message) < 5:
			return errLost
		default:
			a := ask(&h, message)
			a.Silent = binary.LittleEndian.Uint32(message)&moreToCome != 0
			asked(a)
		}
	}
}

// ask is what a message asks a store for.
func ask(h *head, message []byte) store.Ask {
	if h.length > len(message) {
		return store.Ask{Operation: operations()[firstName(message)]} // of which a find is none
	}
	c, err := h.read(message)
	if err != nil {
		return store.Ask{}
	}
	first, err := c.body.IndexErr(0)
	if err != nil {
		return store.Ask{}
	}
	a := store.Ask{Operation: operations()[first.Key()]}
	if a.Operation == "" {
		return a
	}
	switch name := first.Key(); name {
	case "find":
		if collection, _ := first.Value().StringValueOK(); collection != Collection {
			return store.Ask{}
		}
		f, known := chosen(c.body.Lookup("filter"))
		if a.Item = f.first(); known && !f.many && !f.all {
			a.Operation = topology.OpRead
		}
	case "findAndModify":
		f, _ := chosen(c.body.Lookup("query"))
		a.Item = f.first()
	default: // they have lists
		docs, err := c.list(map[string]string{"insert": "documents", "update": "updates", "delete": "deletes"}[name])
		if err != nil || len(docs) == 0 {
			return a
		}
		if name == "insert" {
			a.Item, _ = docs[0].Lookup("_id").StringValueOK()
			return a
		}
		f, _ := chosen(docs[0].Lookup("q"))
		a.Item = f.first()
	}
	return a
}

// chosen is what a filter chooses, if it is known.
func chosen(v bson.RawValue) (f choice, known bool) {
	doc, ok := v.DocumentOK()
	if !ok || doc.Validate() != nil {
		return f, false
	}
	f, err := filter(doc)
	return f, err == nil
}

// first is the first item that is named, if any is.
func (f *choice) first() string {
	if len(f.names) == 0 {
		return ""
	}
	return f.names[0]
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
