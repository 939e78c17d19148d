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
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
	"github.com/microsim-dev/kubectl-microsim/workload/store/mongofront"
	"github.com/microsim-dev/kubectl-microsim/workload/store/sqlfront"
)

// A tally counts the operations of a relayed connection by reading along: each thing
// that a client asks has one answer, in the same order. Of a connection that does not
// keep to what is known of its protocol, nothing is counted any more.
type tally struct {
	s       *Server
	reading reading

	mu sync.Mutex
	// more is signalled when there is another that waits, or when counting has ended.
	more sync.Cond
	asks []asked
	lost bool
}

// newTally returns that of a client that has reached the relay at an address.
func newTally(s *Server, relay net.Addr) *tally {
	t := &tally{s: s, reading: readingOf(s, relay)}
	t.more.L = &t.mu
	return t
}

// A reading reads one direction of a connection, up to its end or to what it does not
// understand.
type reading struct {
	// asks tells each thing that a client asks for as soon as it has read the last byte of it.
	asks func(in *bufio.Reader, asked func(store.Ask)) error
	// answers hands on what a server sends, and tells each answer, and how many operations it
	// is of. It returns what follows and can be handed on unread; nil if nothing can.
	answers func(from io.Reader, to io.Writer, answered func(refused bool, operations int)) (rest io.Reader)
}

// each makes answers of those of which each is of one operation, and is handed on as it is.
func each(answers func(*bufio.Reader, func(refused bool)) error) func(io.Reader, io.Writer, func(bool, int)) io.Reader {
	return func(from io.Reader, to io.Writer, answered func(bool, int)) io.Reader {
		in := bufio.NewReader(io.TeeReader(from, to))
		_ = answers(in, func(refused bool) { answered(refused, 1) }) // however it ends
		return from
	}
}

func readingOf(s *Server, relay net.Addr) reading {
	switch s.cfg.Service.Kind {
	case topology.Postgres:
		return reading{sqlfront.PostgresAsks, each(sqlfront.PostgresAnswers)}
	case topology.MySQL:
		x := sqlfront.NewMySQLExchange()
		return reading{x.Asks, each(x.Answers)}
	case topology.Memcached:
		return reading{memcachedAsks, each(memcachedAnswers)}
	case topology.MongoDB:
		return reading{mongofront.Asks, each(mongofront.Answers)}
	case topology.Kafka:
		x := kafkafront.NewExchange(s.intake, relay)
		return reading{x.Asks, x.Relay}
	default:
		return reading{redisAsks, each(redisAnswers)}
	}
}

// asked is a command that waits for its reply. Those that are no operation, or part of
// a transaction, have none.
type asked struct {
	operation topology.Operation
	at        time.Duration
}

// relayedOperation is what a command asks a store for; empty for one that is not
// counted.
func relayedOperation(command string) topology.Operation {
	switch strings.ToLower(command) {
	case "get", "exists", "strlen", "ttl", "pttl", "type":
		return topology.OpRead
	case "set", "setnx", "getdel", "del", "unlink", "append", "incr", "decr", "incrby", "decrby", "expire", "pexpire", "mset":
		return topology.OpWrite
	case "mget":
		return topology.OpRange
	case "exec":
		return topology.OpTransaction
	}
	return ""
}

// redisAsks reads the commands of a client of Redis.
func redisAsks(in *bufio.Reader, asked func(store.Ask)) error {
	inMulti, queued := false, "" // the item of the first command that waits
	for {
		name, key, err := readRedis(in)
		switch {
		case err != nil:
			return err
		case name == "":
			continue // an empty line
		}
		a := store.Ask{Operation: relayedOperation(name), Item: key}
		switch name = strings.ToLower(name); {
		case name == "multi":
			inMulti, queued = true, ""
		case name == "exec":
			inMulti, a.Item = false, queued
		case name == "discard":
			inMulti = false
		case inMulti: // its reply only says that it is queued
			if queued == "" && a.Operation != "" {
				queued = key
			}
			a = store.Ask{}
		}
		asked(a)
	}
}

// mostSeen is how much of the name and of the key of a command is looked at.
const mostSeen = 1 << 10

// readRedis reads a command: a list of texts, or words in a line.
func readRedis(in *bufio.Reader) (name, key string, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", "", err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[0] != '*' {
		words := bytes.Fields(line)
		if len(words) > 0 {
			name = string(words[0])
		}
		if len(words) > 1 && !bytes.ContainsAny(words[1], "'\"") { // else it is not all of it
			key = string(words[1])
		}
		return name, key, nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return "", "", errReply
	}
	for i := range n {
		word, err := redisText(in)
		switch {
		case err != nil:
			return "", "", err
		case i == 0:
			name = word
		case i == 1:
			key = word
		}
	}
	return name, key, nil
}

// redisText reads a text with its length, of which the beginning is returned.
func redisText(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[0] != '$' {
		return "", errReply
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 0 {
		return "", errReply
	}
	text := make([]byte, min(n, mostSeen))
	if _, err := io.ReadFull(in, text); err != nil {
		return "", err
	}
	_, err = in.Discard(n - len(text) + len("\r\n"))
	return string(text), err
}

// commands hands on what a client sends, notes what it asks for, and holds what slow
// queries act on. Of a client that it does not understand it hands on the rest unread.
func (t *tally) commands(ctx context.Context, to io.Writer, from net.Conn) {
	f := &forwarder{from: from, to: to}
	in := bufio.NewReaderSize(f, longestLine)
	err := t.reading.asks(in, func(a store.Ask) {
		now := t.s.now()
		if !a.Silent {
			t.note(a.Operation, now)
		}
		if t.s.hold(ctx, a) {
			_ = f.forward(in.Buffered()) // an error comes again when it is to hand on the rest
		}
	})
	t.lose()
	if f.ended == nil && f.forward(0) == nil && t.s.unread(from, err) {
		_, _ = io.Copy(to, from)
	}
}

// note notes what waits for an answer.
func (t *tally) note(operation topology.Operation, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return
	}
	if operation.Writes() {
		t.s.met(metWrite)
	}
	t.asks = append(t.asks, asked{operation, now})
	t.more.Signal()
}

// A forwarder reads for somebody who tells when the end of a message has been read. It keeps the
// last bytes that it has read until more are wanted, or until it is told to hand them on: who
// reads asks for more only within a message, or after one that was told. So a server has
// no message as a whole before it was told.
type forwarder struct {
	from io.Reader
	to   io.Writer
	// kept are the bytes that were read, and not handed on yet.
	kept []byte
	// ended is how one of the connections has ended.
	ended error
}

// Read implements io.Reader.
func (f *forwarder) Read(b []byte) (int, error) {
	if err := f.forward(0); err != nil {
		return 0, err
	}
	n, err := f.from.Read(b)
	f.kept = append(f.kept, b[:n]...)
	if err != nil {
		f.ended = errors.Join(f.forward(0), err)
	}
	return n, err
}

// forward hands on all but the last bytes.
func (f *forwarder) forward(but int) error {
	n := len(f.kept) - but
	if n <= 0 {
		return nil
	}
	_, err := f.to.Write(f.kept[:n])
	if f.kept = append(f.kept[:0], f.kept[n:]...); len(f.kept) == 0 && cap(f.kept) > intake.Free {
		f.kept = nil
	}
	if err != nil {
		f.ended = err
	}
	return err
}

// redisAnswers reads the replies of Redis.
func redisAnswers(in *bufio.Reader, answered func(refused bool)) error {
	for {
		refused, err := skipReply(in, 0)
		if err != nil {
			return err
		}
		answered(refused)
	}
}

// replies copies what a server sends, and counts what has been answered.
func (t *tally) replies(to io.Writer, from io.Reader) {
	rest := t.reading.answers(from, to, t.answered)
	t.lose()
	if rest != nil {
		_, _ = io.Copy(to, rest)
	}
}

// answered counts the oldest command that waits. Its reply may be here before the
// command has been read along.
func (t *tally) answered(refused bool, operations int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.asks) == 0 && !t.lost {
		t.more.Wait()
	}
	if len(t.asks) == 0 {
		return
	}
	a := t.asks[0]
	t.asks = t.asks[1:]
	if refused {
		t.s.met(metRefusal) // also of a greeting, after which a client may give up
	}
	if a.operation == "" {
		return
	}
	code := store.OK
	if refused {
		code = store.NotUnderstood
		if a.operation.Writes() {
			t.s.met(metRefusedWrite)
		}
	}
	for range operations {
		t.s.metrics.count(a.operation, code, t.s.now()-a.at)
	}
}

// lose ends the noting of commands. Those that were noted are still counted: a client
// may go as soon as it has its answer, before the answer is read along.
func (t *tally) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = true
	t.more.Broadcast()
}

// deepest bounds how deep the replies of a server are nested.
const deepest = 32

// errReply is a reply that does not keep to the protocol.
var errReply = errors.New("reading a reply: it does not keep to the protocol")

// skipReply reads one reply of the protocol RESP, versions 2 and 3
// (https://redis.io/docs/latest/develop/reference/protocol-spec), and says whether it
// is an error.
func skipReply(in *bufio.Reader, depth int) (refused bool, err error) {
	if depth > deepest {
		return false, errReply
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	line = line[:max(len(line)-2, 0)]
	if len(line) == 0 {
		return false, errReply
	}
	kind, rest := line[0], string(line[1:])
	length := func() (n int) {
		if n, err = strconv.Atoi(rest); err != nil {
			err = fmt.Errorf("%w: %w", errReply, err)
		}
		return n
	}
	switch kind {
	case '+', ':', '_', '#', ',', '(':
	case '-':
		return true, nil
	case '$', '=', '!':
		if n := length(); err == nil && n >= 0 {
			_, err = in.Discard(n + len("\r\n"))
		}
		return kind == '!', err
	case '*', '~', '>', '%', '|':
		n := length()
		if kind == '%' || kind == '|' {
			n *= 2
		}
		for i := 0; i < n && err == nil; i++ {
			_, err = skipReply(in, depth+1)
		}
		if err == nil && (kind == '>' || kind == '|') {
			return skipReply(in, depth+1) // these come beside a reply
		}
	default:
		return false, errReply
	}
	return false, err
}
