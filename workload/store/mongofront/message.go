// Package mongofront speaks the wire protocol of MongoDB for the embedded engine: it
// reads commands on the one collection that a store has, asks the engine for the
// operations they mean, and answers in the words of mongod.
//
// The collection is items, in whatever database a client names. Its documents are
// {_id: text, value: text}. Commands read or write documents by _id; anything else is
// refused with an error that says so.
package mongofront

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Codes of messages (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol).
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// Flags of OP_MSG.
const (
	checksumPresent = 1 << 0
	// moreToCome says that the sender wants no answer.
	moreToCome = 1 << 1
	// knownFlags are those that a receiver must understand, and does.
	knownFlags   = checksumPresent | moreToCome
	requiredBits = math.MaxUint16
)

// Bounds that mongod tells its clients.
const (
	mostMessage  = 48_000_000
	mostDocument = 16 << 20
	mostWrites   = 100_000
)

const (
	headLength     = 16
	checksumLength = 4
	leastDocument  = 5
)

// A head is that of a message.
type head struct {
	length           int
	request, respond int32
	code             int32
}

func readHead(in io.Reader) (h head, err error) {
	var b [headLength]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return h, err
	}
	word := func(i int) int32 { return int32(binary.LittleEndian.Uint32(b[4*i:])) } //nolint:gosec // it is signed
	h = head{int(word(0)) - headLength, word(1), word(2), word(3)}
	if h.length < 0 || h.length > mostMessage-headLength {
		return h, errLost
	}
	return h, nil
}

// errLost is that of a connection that does not keep to what is known of its protocol.
var errLost = errors.New("the connection does not keep to what is known of its protocol")

// A command is what a client asks for.
type command struct {
	request int32
	// body is the document, whose first element names the command.
	body bson.Raw
	// lists are the sequences of documents that came beside the body.
	lists map[string][]bson.Raw
	// legacy says that it came as OP_QUERY, which only asks who the server is.
	legacy bool
	// silent says that no answer is wanted.
	silent bool
}

// read is what the message after a head asks for.
func (h *head) read(message []byte) (c command, err error) {
	c.request = h.request
	switch h.code {
	case opMsg:
		return c, c.readMsg(message)
	case opQuery:
		c.legacy = true
		return c, c.readQuery(message)
	}
	return c, errLost
}

// readQuery reads flags, the name of a collection, two numbers, and the document.
func (c *command) readQuery(b []byte) (err error) {
	const flags, numbers = 4, 8
	if len(b) < flags {
		return errLost
	}
	end := slices.Index(b[flags:], 0)
	if end < 0 || len(b) < flags+end+1+numbers {
		return errLost
	}
	c.body, _, err = document(b[flags+end+1+numbers:])
	return err
}

func (c *command) readMsg(b []byte) (err error) {
	if len(b) < 4 {
		return errLost
	}
	flags := binary.LittleEndian.Uint32(b)
	if flags&requiredBits&^knownFlags != 0 {
		return errLost
	}
	c.silent = flags&moreToCome != 0
	b = b[4:]
	if flags&checksumPresent != 0 { // TCP has one, too
		if len(b) < checksumLength {
			return errLost
		}
		b = b[:len(b)-checksumLength]
	}
	for len(b) > 0 {
		kind := b[0]
		switch b = b[1:]; {
		case kind == 0 && c.body == nil:
			c.body, b, err = document(b)
		case kind == 1:
			b, err = c.readList(b)
		default:
			err = errLost
		}
		if err != nil {
			return err
		}
	}
	if c.body == nil {
		return errLost
	}
	return nil
}

// readList reads a section that is a sequence of documents.
func (c *command) readList(b []byte) (rest []byte, err error) {
	if len(b) < 4 {
		return nil, errLost
	}
	length := int(binary.LittleEndian.Uint32(b))
	if length < 4 || length > len(b) {
		return nil, errLost
	}
	section, rest := b[4:length], b[length:]
	end := slices.Index(section, 0)
	if end < 0 {
		return nil, errLost
	}
	name := string(section[:end])
	section = section[end+1:]
	if _, twice := c.lists[name]; twice {
		return nil, errLost
	}
	list := []bson.Raw{}
	for len(section) > 0 {
		var one bson.Raw
		if one, section, err = document(section); err != nil {
			return nil, err
		}
		if list = append(list, one); len(list) > mostWrites {
			return nil, errLost
		}
	}
	if c.lists == nil {
		c.lists = map[string][]bson.Raw{}
	}
	c.lists[name] = list
	return rest, nil
}

// document reads one document. Those in it are not looked at yet.
func document(b []byte) (doc bson.Raw, rest []byte, err error) {
	if len(b) < leastDocument {
		return nil, nil, errLost
	}
	length := int(binary.LittleEndian.Uint32(b))
	if length < leastDocument || length > len(b) || length > mostDocument {
		return nil, nil, errLost
	}
	doc = bson.Raw(b[:length])
	if doc.Validate() != nil {
		return nil, nil, errLost
	}
	return doc, b[length:], nil
}

// appendAnswer appends the message that answers a command.
func appendAnswer(b []byte, c *command, answer bson.D) ([]byte, error) {
	doc, err := bson.Marshal(answer)
	if err != nil {
		return b, err
	}
	code, before := uint32(opMsg), []byte{0, 0, 0, 0, 0} // flags, and the kind of section
	if c.legacy {
		const one = 16 // where the number of documents stands, after flags, cursor and first
		code, before = opReply, make([]byte, one+4)
		before[0] = 8 // the server can wait for data
		before[one] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(headLength+len(before)+len(doc)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.request))
	b = binary.LittleEndian.AppendUint32(b, code)
	return append(append(b, before...), doc...), nil
}
