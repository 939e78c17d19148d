package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// The front of memcached: the text protocol
// (https://github.com/memcached/memcached/blob/master/doc/protocol.txt), of its
// commands get, gets, gat, set, add, replace, delete, incr, decr, touch, flush_all,
// version, verbosity and quit. Flags of items are not kept.

const (
	memcachedVersion = "1.6.0-microsim"
	// longestKey and longestValue are memcached's own bounds.
	longestKey   = 250
	longestValue = 1 << 20
	// longestLine bounds a command without its value.
	longestLine = 8 << 10
	// binaryRequest begins the messages of the older binary protocol, which have no lines to
	// wait for.
	binaryRequest = 0x80
)

// memcachedError is what memcached says for a code.
func memcachedError(code store.Code) string {
	switch code {
	case store.TooManyConnections:
		return "ERROR Too many open connections"
	case store.Full, store.NoSpace:
		return "SERVER_ERROR out of memory storing object"
	default:
		return "SERVER_ERROR " + code.Error()
	}
}

func refuseMemcached(conn net.Conn, code store.Code) {
	_, _ = io.WriteString(conn, memcachedError(code)+"\r\n") // who does not read it is gone
}

// A memcachedConn is one connection of a client.
type memcachedConn struct {
	ctx context.Context
	s   *Server
	in  *bufio.Reader
	out *bufio.Writer
}

// errQuit ends a connection.
var errQuit = errors.New("the client quits")

func serveMemcached(ctx context.Context, s *Server, conn net.Conn) {
	c := &memcachedConn{ctx: ctx, s: s, in: bufio.NewReaderSize(conn, longestLine), out: bufio.NewWriter(conn)}
	if first, err := c.in.Peek(1); err == nil && first[0] == binaryRequest {
		_ = c.say("ERROR the embedded store speaks the text protocol; use a client of that, or engine: real")
		_ = c.out.Flush() // the connection ends anyway
		return
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return
		}
		if err := c.command(bytes.Fields(bytes.Clone(line))); err != nil {
			_ = c.out.Flush() // the connection ends anyway
			return
		}
		if c.in.Buffered() == 0 && c.out.Flush() != nil {
			return
		}
	}
}

func (c *memcachedConn) say(text string) error {
	_, err := c.out.WriteString(text + "\r\n")
	return err
}

const badFormat = "CLIENT_ERROR bad command line format"

// command answers one command. An error ends the connection.
func (c *memcachedConn) command(words [][]byte) error {
	if len(words) == 0 {
		return c.say("ERROR")
	}
	name, args := string(words[0]), words[1:]
	quiet := len(args) > 0 && string(args[len(args)-1]) == "noreply"
	if quiet {
		args = args[:len(args)-1]
		defer func(w *bufio.Writer) { c.out = w }(c.out)
		c.out = bufio.NewWriter(io.Discard)
	}
	switch name {
	case "get", "gets":
		return c.get(args, name == "gets")
	case "set", "add", "replace":
		return c.store(name, args)
	case "delete":
		return c.remove(args)
	case "incr", "decr":
		return c.count(args, name == "incr")
	case "touch":
		return c.touch(args)
	case "flush_all":
		c.s.look(func(m *store.Store, now time.Duration) { m.Flush(now) })
		return c.say("OK")
	case "version":
		return c.say("VERSION " + memcachedVersion)
	case "verbosity":
		return c.say("OK")
	case "quit":
		return errQuit
	}
	return c.say("ERROR")
}

// ask does an operation. ok says that it has not been answered by an error.
func (c *memcachedConn) ask(q store.Query) (a store.Answer, ok bool, err error) {
	if a, err = c.s.do(c.ctx, q); err != nil {
		return a, false, err
	}
	if a.Code != store.OK {
		return a, false, c.say(memcachedError(a.Code))
	}
	return a, true, nil
}

func (c *memcachedConn) get(keys [][]byte, unique bool) error {
	if len(keys) == 0 {
		return c.say("ERROR")
	}
	q := store.Query{Operation: topology.OpRead, Item: string(keys[0])}
	for _, key := range keys {
		if len(key) > longestKey {
			return c.say(badFormat)
		}
		q.Items = append(q.Items, string(key))
	}
	if len(keys) > 1 {
		q.Operation = topology.OpRange
	} else {
		q.Items = nil
	}
	a, ok, err := c.ask(q)
	if !ok {
		return err
	}
	values := a.Items
	if len(keys) == 1 {
		if values = [][]byte{a.Value}; !a.Found {
			values[0] = nil
		}
	}
	for i, value := range values {
		if value == nil {
			continue
		}
		head := fmt.Sprintf("VALUE %s 0 %d", keys[i], len(value))
		if unique {
			head += " " + strconv.FormatUint(a.Version, 10)
		}
		if err := errors.Join(c.say(head), c.say(string(value))); err != nil {
			return err
		}
	}
	return c.say("END")
}

// untilAbsolute is how many seconds a time may have at most that is counted from now;
// longer ones count from 1970.
const untilAbsolute = 60 * 60 * 24 * 30

// stays is how long a value stays; gone says that it goes at once.
func stays(seconds int64) (ttl time.Duration, gone bool) {
	if seconds > untilAbsolute {
		seconds -= time.Now().Unix()
	} else if seconds == 0 {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, seconds <= 0
}

// store reads the value of a command, and stores it.
func (c *memcachedConn) store(name string, args [][]byte) error {
	if len(args) != 4 {
		return c.say("ERROR")
	}
	length, err := strconv.Atoi(string(args[3]))
	seconds, wrong := strconv.ParseInt(string(args[2]), 10, 64)
	_, odd := strconv.ParseUint(string(args[1]), 10, 32)
	if err != nil || wrong != nil || odd != nil || length < 0 || len(args[0]) > longestKey {
		return c.say(badFormat)
	}
	if length > longestValue {
		if _, err := io.CopyN(io.Discard, c.in, int64(length)+2); err != nil {
			return err
		}
		return c.say("SERVER_ERROR object too large for cache")
	}
	data, release, err := c.s.intake.Read(c.in, length+2)
	defer release()
	if err != nil {
		return err
	}
	value, end := data[:length], data[length:]
	if string(end) != "\r\n" { // what follows is read as a command
		return c.say("CLIENT_ERROR bad data chunk")
	}
	ttl, gone := stays(seconds)
	q := store.Query{Operation: topology.OpWrite, Item: string(args[0]), TTL: ttl, Remove: gone}
	stored := true
	q.Change = func(_ []byte, found bool) ([]byte, bool) {
		stored = name == "set" || (name == "add") != found
		return value, stored
	}
	if _, ok, err := c.ask(q); !ok {
		return err
	}
	if !stored {
		return c.say("NOT_STORED")
	}
	return c.say("STORED")
}

func (c *memcachedConn) remove(args [][]byte) error {
	if len(args) == 2 && string(args[1]) == "0" {
		args = args[:1]
	}
	if len(args) != 1 {
		return c.say("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]")
	}
	a, ok, err := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[0]), Remove: true})
	switch {
	case !ok:
		return err
	case a.Found:
		return c.say("DELETED")
	}
	return c.say("NOT_FOUND")
}

// count adds to a number, which never falls below 0.
func (c *memcachedConn) count(args [][]byte, up bool) error {
	if len(args) != 2 {
		return c.say("ERROR")
	}
	by, err := strconv.ParseUint(string(args[1]), 10, 64)
	if err != nil {
		return c.say("CLIENT_ERROR invalid numeric delta argument")
	}
	var now uint64
	numeric := true
	q := store.Query{Operation: topology.OpWrite, Item: string(args[0]), KeepTTL: true, Change: func(old []byte, found bool) ([]byte, bool) {
		digits, _, _ := strings.Cut(string(old), " ")
		n, err := strconv.ParseUint(digits, 10, 64)
		numeric = !found || err == nil
		switch {
		case up:
			now = n + by
		case by < n:
			now = n - by
		default:
			now = 0
		}
		text := strconv.FormatUint(now, 10)
		if len(text) < len(old) { // memcached keeps the length
			text += string(bytes.Repeat([]byte{' '}, len(old)-len(text)))
		}
		return []byte(text), found && err == nil
	}}
	a, ok, err := c.ask(q)
	switch {
	case !ok:
		return err
	case !a.Found:
		return c.say("NOT_FOUND")
	case !numeric:
		return c.say("CLIENT_ERROR cannot increment or decrement non-numeric value")
	}
	return c.say(strconv.FormatUint(now, 10))
}

func (c *memcachedConn) touch(args [][]byte) error {
	if len(args) != 2 {
		return c.say("ERROR")
	}
	seconds, err := strconv.ParseInt(string(args[1]), 10, 64)
	if err != nil {
		return c.say("CLIENT_ERROR invalid exptime argument")
	}
	ttl, gone := stays(seconds)
	q := store.Query{Operation: topology.OpWrite, Item: string(args[0]), TTL: ttl, Remove: gone, Change: func(old []byte, found bool) ([]byte, bool) { return old, found }}
	a, ok, err := c.ask(q)
	switch {
	case !ok:
		return err
	case a.Found:
		return c.say("TOUCHED")
	}
	return c.say("NOT_FOUND")
}

// memcachedAsks reads the commands of a client of a real memcached.
func memcachedAsks(in *bufio.Reader, asked func(store.Ask)) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		words := bytes.Fields(line)
		if len(words) == 0 {
			asked(store.Ask{})
			continue
		}
		a := store.Ask{Silent: string(words[len(words)-1]) == "noreply"}
		if len(words) > 1 {
			a.Item = string(words[1])
		}
		switch name := string(words[0]); name {
		case "get", "gets":
			a.Operation = topology.OpRead
			if len(words) > 2 {
				a.Operation = topology.OpRange
			}
		case "set", "add", "replace", "append", "prepend", "cas":
			a.Operation = topology.OpWrite
			if len(words) < 5 {
				break
			}
			length, err := strconv.Atoi(string(words[4]))
			if err != nil || length < 0 {
				break
			}
			if _, err := io.CopyN(io.Discard, in, int64(length)+2); err != nil {
				return err
			}
		case "delete", "incr", "decr", "touch":
			a.Operation = topology.OpWrite
		case "quit":
			continue
		}
		asked(a)
	}
}

// memcachedAnswers reads the answers of a real memcached.
func memcachedAnswers(in *bufio.Reader, answered func(refused bool)) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		words := bytes.Fields(line)
		switch {
		case len(words) >= 4 && string(words[0]) == "VALUE":
			length, err := strconv.Atoi(string(words[3]))
			if err != nil || length < 0 {
				return errReply
			}
			if _, err := in.Discard(length + 2); err != nil {
				return err
			}
		case len(words) > 0 && string(words[0]) == "STAT": // until END
		default:
			answered(bytes.Contains(line, []byte("ERROR")))
		}
	}
}
