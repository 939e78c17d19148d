package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/redcon"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
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

func newTally(s *Server) *tally {
	t := &tally{s: s, reading: readingOf(s)}
	t.more.L = &t.mu
	return t
}

// A reading reads one direction of a connection, up to its end or to what it does not
// understand.
type reading struct {
	// asks tells what a client asks for, empty for what is not counted.
	asks func(in io.Reader, asked func(topology.Operation)) error
	// answers tells each answer, and how many operations it is of.
	answers func(in *bufio.Reader, answered func(refused bool, operations int)) error
}

// each makes answers of those of which each is of one operation.
func each(answers func(*bufio.Reader, func(refused bool)) error) func(*bufio.Reader, func(bool, int)) error {
	return func(in *bufio.Reader, answered func(bool, int)) error {
		return answers(in, func(refused bool) { answered(refused, 1) })
	}
}

func readingOf(s *Server) reading {
	ofSQL := func(asks func(*bufio.Reader, func(string)) error) func(io.Reader, func(topology.Operation)) error {
		return func(in io.Reader, asked func(topology.Operation)) error {
			return asks(bufio.NewReader(in), func(text string) { asked(sqlfront.Operation(text)) })
		}
	}
	switch s.cfg.Service.Kind {
	case topology.Postgres:
		return reading{ofSQL(sqlfront.PostgresAsks), each(sqlfront.PostgresAnswers)}
	case topology.MySQL:
		return reading{ofSQL(sqlfront.MySQLAsks), each(sqlfront.MySQLAnswers)}
	case topology.Memcached:
		return reading{memcachedAsks, each(memcachedAnswers)}
	case topology.MongoDB:
		asks := func(in io.Reader, asked func(topology.Operation)) error {
			return mongofront.Asks(bufio.NewReader(in), asked)
		}
		return reading{asks, each(mongofront.Answers)}
	case topology.Kafka:
		x := kafkafront.NewExchange(s.intake)
		return reading{x.Asks, x.Answers}
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
func redisAsks(from io.Reader, asked func(topology.Operation)) error {
	in := redcon.NewReader(from)
	inMulti := false
	for {
		command, err := in.ReadCommand()
		if err != nil {
			return err
		}
		if len(command.Args) == 0 {
			continue
		}
		name := string(command.Args[0])
		operation := relayedOperation(name)
		switch {
		case strings.EqualFold(name, "multi"):
			inMulti = true
		case strings.EqualFold(name, "exec"), strings.EqualFold(name, "discard"):
			inMulti = false
		case inMulti:
			operation = "" // its reply only says that it is queued
		}
		asked(operation)
	}
}

// commands copies what a client sends, and notes what it asks for.
func (t *tally) commands(to io.Writer, from io.Reader) {
	forwarded := &forwarder{from: from, to: to, now: t.s.now}
	_ = t.reading.asks(forwarded, func(operation topology.Operation) { // however it ends
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.lost {
			if operation.Writes() {
				t.s.met(metWrite)
			}
			t.asks = append(t.asks, asked{operation, forwarded.at})
			t.more.Signal()
		}
	})
	t.lose()
	_, _ = io.Copy(to, from) // what is left, if the client goes on at all
}

// A forwarder hands on what it reads, and knows when it has read it.
type forwarder struct {
	from io.Reader
	to   io.Writer
	now  func() time.Duration
	at   time.Duration
}

// Read implements io.Reader.
func (f *forwarder) Read(b []byte) (int, error) {
	n, err := f.from.Read(b)
	f.at = f.now()
	if n > 0 {
		if _, failed := f.to.Write(b[:n]); failed != nil {
			return n, failed
		}
	}
	return n, err
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
	in := bufio.NewReader(io.TeeReader(from, to))
	_ = t.reading.answers(in, t.answered) // however it ends
	t.lose()
	_, _ = io.Copy(to, from)
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
	if a.operation == "" {
		return
	}
	code := store.OK
	if refused {
		code = store.NotUnderstood
		t.s.met(metRefusal)
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
