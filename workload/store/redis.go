package store

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// The front of Redis: RESP2 and RESP3 (https://redis.io/docs/reference/protocol-spec), and the
// commands on strings and keys. Replies and errors are those of Redis 7.0.

// redisError is what Redis says for a code.
func redisError(code store.Code) string {
	switch code {
	case store.TooManyConnections:
		return "ERR max number of clients reached"
	case store.NoAuth:
		return "NOAUTH Authentication required."
	case store.ReadOnly:
		return "READONLY You can't write against a read only replica."
	case store.NoSpace:
		return "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
	case store.Full:
		return "OOM command not allowed when used memory > 'maxmemory'."
	default:
		return "ERR " + code.Error()
	}
}

// A redisConn is one connection of a client.
type redisConn struct {
	ctx context.Context
	s   *Server
	out *redcon.Writer
	// commands are those that the front knows.
	commands map[string]redisCommand
	name     string
	// protocol is the version of RESP that the client has asked for.
	protocol int
	// do asks the model: in real time or, within EXEC, at once. look asks it what is
	// no operation.
	do   func(store.Query) (store.Answer, bool)
	look func(ask func(m *store.Store, now time.Duration))
	// multi says that commands are queued for EXEC, and broken that one of them was
	// refused.
	multi, broken bool
	queued        [][][]byte
	queuedBytes   int
	quit          bool
}

// serveRedis is the front.
func serveRedis(ctx context.Context, s *Server, conn net.Conn) {
	meter := &intake.Meter{In: conn, Budget: s.intake}
	defer meter.Close()
	in := redcon.NewReader(meter)
	c := &redisConn{ctx: ctx, s: s, out: redcon.NewWriter(conn), protocol: resp2, commands: newRedisCommands()}
	defer c.unqueue()
	c.do, c.look = c.inTime, s.look
	for !c.quit {
		commands, err := in.ReadCommands()
		if err != nil {
			if strings.HasPrefix(err.Error(), "Protocol error") {
				c.out.WriteError("ERR " + err.Error())
				_ = c.out.Flush() // the connection ends anyway
			}
			return
		}
		meter.Whole()
		for i := range commands {
			c.command(commands[i].Args)
		}
		if c.out.Flush() != nil {
			return
		}
	}
}

// inTime does an operation in real time. It reports false, and closes the
// connection, if the store has ended meanwhile.
func (c *redisConn) inTime(q store.Query) (store.Answer, bool) {
	a, err := c.s.do(c.ctx, q)
	if err != nil {
		c.quit = true
	}
	return a, err == nil
}

// ask does an operation, and answers an error of its own. ok says that the answer
// is to be written.
func (c *redisConn) ask(q store.Query) (a store.Answer, ok bool) {
	a, ok = c.do(q)
	if ok && a.Code != store.OK {
		c.out.WriteError(redisError(a.Code))
		return a, false
	}
	return a, ok
}

// A redisCommand is one that the front knows. arity counts the name; a negative one
// is the least. outside says that it is not queued after MULTI.
type redisCommand struct {
	arity   int
	run     func(c *redisConn, args [][]byte)
	outside bool
}

// newRedisCommands is the table of the commands by name.
func newRedisCommands() map[string]redisCommand {
	return map[string]redisCommand{
		"get": {arity: 2, run: redisGet}, "set": {arity: -3, run: redisSet}, "setnx": {arity: 3, run: redisSetNX}, "getdel": {arity: 2, run: redisGetDel},
		"del": {arity: -2, run: redisDel}, "unlink": {arity: -2, run: redisDel}, "exists": {arity: -2, run: redisExists},
		"mget": {arity: -2, run: redisMGet}, "mset": {arity: -3, run: redisMSet}, "strlen": {arity: 2, run: redisStrlen},
		"append": {arity: 3, run: redisAppend}, "incr": {arity: 2, run: redisIncr}, "decr": {arity: 2, run: redisIncr},
		"incrby": {arity: 3, run: redisIncr}, "decrby": {arity: 3, run: redisIncr},
		"expire": {arity: 3, run: redisExpire}, "pexpire": {arity: 3, run: redisExpire}, "ttl": {arity: 2, run: redisTTL}, "pttl": {arity: 2, run: redisTTL},
		"type": {arity: 2, run: redisType}, "dbsize": {arity: 1, run: redisDBSize}, "keys": {arity: 2, run: redisKeys}, "scan": {arity: -2, run: redisScan},
		"flushall": {arity: -1, run: redisFlush}, "flushdb": {arity: -1, run: redisFlush},
		"ping": {arity: -1, run: redisPing}, "echo": {arity: 2, run: func(c *redisConn, args [][]byte) { c.out.WriteBulk(args[1]) }},
		"info": {arity: -1, run: redisInfo}, "time": {arity: 1, run: redisTime},
		"multi": {arity: 1, run: redisMulti, outside: true}, "exec": {arity: 1, run: redisExec, outside: true}, "discard": {arity: 1, run: redisDiscard, outside: true},
		"hello": {arity: -1, run: redisHello}, "auth": {arity: -2, run: redisAuth}, "select": {arity: 2, run: redisSelect},
		"client": {arity: -2, run: redisClient}, "command": {arity: -1, run: func(c *redisConn, _ [][]byte) { c.out.WriteArray(0) }},
		"config": {arity: -2, run: redisConfig},
		"quit": {arity: -1, outside: true, run: func(c *redisConn, _ [][]byte) {
			c.out.WriteString("OK")
			c.quit = true
		}},
	}
}

// mostWord bounds what an error repeats of a command.
const mostWord = 128

func (c *redisConn) command(args [][]byte) {
	if len(args) == 0 || c.quit {
		return
	}
	name := strings.ToLower(string(args[0]))
	known, ok := c.commands[name]
	wrong := ""
	switch {
	case !ok:
		wrong = unknownCommand(args)
	case known.arity > 0 && len(args) != known.arity || len(args) < -known.arity:
		wrong = fmt.Sprintf("ERR wrong number of arguments for '%s' command", name)
	}
	switch {
	case wrong != "":
		c.broken = c.broken || c.multi
		c.out.WriteError(wrong)
	case c.multi && !known.outside:
		if err := c.queue(args); err != nil {
			c.broken = true
			c.out.WriteError("OOM " + err.Error())
			return
		}
		c.out.WriteString("QUEUED")
	default:
		known.run(c, args)
	}
}

// queue keeps a command for EXEC. It takes memory until then.
func (c *redisConn) queue(args [][]byte) error {
	const each = 64 // of a slice, about
	size, kept := each, make([][]byte, len(args))
	for i := range args {
		size += len(args[i]) + each
	}
	if err := c.s.intake.Take(size); err != nil {
		return err
	}
	for i := range args {
		kept[i] = bytes.Clone(args[i])
	}
	c.queued, c.queuedBytes = append(c.queued, kept), c.queuedBytes+size
	return nil
}

// unqueue forgets what was queued.
func (c *redisConn) unqueue() {
	c.s.intake.Give(c.queuedBytes)
	c.multi, c.queued, c.queuedBytes = false, nil, 0
}

// unknownCommand is Redis's words for one.
func unknownCommand(args [][]byte) string {
	var rest strings.Builder
	for _, a := range args[1:] {
		if rest.Len() >= mostWord {
			break
		}
		fmt.Fprintf(&rest, "'%.*s' ", mostWord-rest.Len(), a)
	}
	return fmt.Sprintf("ERR unknown command '%.128s', with args beginning with: %s", args[0], rest.String())
}

// Errors of arguments, in the words of Redis.
const (
	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
)

func readQuery(key []byte) store.Query {
	return store.Query{Operation: topology.OpRead, Item: string(key)}
}

// null writes what stands for nothing.
func (c *redisConn) null() {
	if c.protocol == resp3 {
		c.out.WriteRaw([]byte("_\r\n"))
		return
	}
	c.out.WriteNull()
}

// pairs begins a list of pairs, which RESP3 knows as a map.
func (c *redisConn) pairs(n int) {
	if c.protocol == resp3 {
		c.out.WriteRaw(fmt.Appendf(nil, "%%%d\r\n", n))
		return
	}
	c.out.WriteArray(2 * n)
}

func (c *redisConn) value(a store.Answer) {
	if !a.Found {
		c.null()
		return
	}
	c.out.WriteBulk(a.Value)
}

func redisGet(c *redisConn, args [][]byte) {
	if a, ok := c.ask(readQuery(args[1])); ok {
		c.value(a)
	}
}

func redisStrlen(c *redisConn, args [][]byte) {
	if a, ok := c.ask(readQuery(args[1])); ok {
		c.out.WriteInt(len(a.Value))
	}
}

func redisType(c *redisConn, args [][]byte) {
	a, ok := c.ask(readQuery(args[1]))
	switch {
	case ok && a.Found:
		c.out.WriteString("string")
	case ok:
		c.out.WriteString("none")
	}
}

func redisTTL(c *redisConn, args [][]byte) {
	a, ok := c.ask(readQuery(args[1]))
	switch {
	case !ok:
	case !a.Found:
		c.out.WriteInt(-2)
	case a.TTL == 0:
		c.out.WriteInt(-1)
	case is(args[0], "ttl"):
		c.out.WriteInt64(int64((a.TTL + time.Second/2) / time.Second))
	default:
		c.out.WriteInt64(a.TTL.Milliseconds())
	}
}

func is(word []byte, name string) bool { return strings.EqualFold(string(word), name) }

// A setting is what SET is asked to do beside.
type setting struct {
	ttl                 time.Duration
	nx, xx, get, keepTT bool
}

// parseSet reads the options of SET; the text is Redis's error.
func parseSet(args [][]byte) (o setting, wrong string) {
	for i := 0; i < len(args); i++ {
		switch option := strings.ToLower(string(args[i])); option {
		case "nx":
			o.nx = true
		case "xx":
			o.xx = true
		case "get":
			o.get = true
		case "keepttl":
			o.keepTT = true
		case "ex", "px":
			if i++; i == len(args) || o.ttl != 0 {
				return o, errSyntax
			}
			if o.ttl, wrong = timeToLive(args[i], option == "ex", "set"); wrong != "" {
				return o, wrong
			}
		default:
			return o, errSyntax
		}
	}
	if o.nx && o.xx || o.keepTT && o.ttl != 0 {
		return o, errSyntax
	}
	return o, ""
}

// timeToLive reads one.
func timeToLive(text []byte, seconds bool, command string) (time.Duration, string) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	unit := time.Millisecond
	if seconds {
		unit = time.Second
	}
	switch {
	case err != nil:
		return 0, errNotInteger
	case n <= 0 || n > math.MaxInt64/int64(unit):
		return 0, fmt.Sprintf("ERR invalid expire time in '%s' command", command)
	}
	return time.Duration(n) * unit, ""
}

func redisSet(c *redisConn, args [][]byte) {
	o, wrong := parseSet(args[3:])
	if wrong != "" {
		c.out.WriteError(wrong)
		return
	}
	done := true
	q := store.Query{Operation: topology.OpWrite, Item: string(args[1]), Value: bytes.Clone(args[2]), TTL: o.ttl, KeepTTL: o.keepTT}
	if o.nx || o.xx {
		q.Change = func(_ []byte, found bool) ([]byte, bool) {
			done = found == o.xx
			return q.Value, done
		}
	}
	a, ok := c.ask(q)
	switch {
	case !ok:
	case o.get:
		c.value(a)
	case done:
		c.out.WriteString("OK")
	default:
		c.null()
	}
}

func redisSetNX(c *redisConn, args [][]byte) {
	set := false
	value := bytes.Clone(args[2])
	_, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[1]), Change: func(_ []byte, found bool) ([]byte, bool) {
		set = !found
		return value, set
	}})
	if ok {
		c.out.WriteInt(number(set))
	}
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func redisGetDel(c *redisConn, args [][]byte) {
	if a, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[1]), Remove: true}); ok {
		c.value(a)
	}
}

func redisDel(c *redisConn, args [][]byte) {
	n := 0
	for _, key := range args[1:] {
		a, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(key), Remove: true})
		if !ok {
			return
		}
		n += number(a.Found)
	}
	c.out.WriteInt(n)
}

func redisExists(c *redisConn, args [][]byte) {
	n := 0
	for _, key := range args[1:] {
		a, ok := c.ask(readQuery(key))
		if !ok {
			return
		}
		n += number(a.Found)
	}
	c.out.WriteInt(n)
}

func redisMGet(c *redisConn, args [][]byte) {
	q := store.Query{Operation: topology.OpRange, Item: string(args[1])}
	for _, key := range args[1:] {
		q.Items = append(q.Items, string(key))
	}
	a, ok := c.ask(q)
	if !ok {
		return
	}
	c.out.WriteArray(len(a.Items))
	for _, value := range a.Items {
		c.value(store.Answer{Found: value != nil, Value: value})
	}
}

func redisMSet(c *redisConn, args [][]byte) {
	if len(args)%2 == 0 {
		c.out.WriteError("ERR wrong number of arguments for 'mset' command")
		return
	}
	for i := 1; i < len(args); i += 2 {
		if _, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[i]), Value: bytes.Clone(args[i+1])}); !ok {
			return
		}
	}
	c.out.WriteString("OK")
}

func redisAppend(c *redisConn, args [][]byte) {
	more, length := bytes.Clone(args[2]), 0
	_, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[1]), KeepTTL: true, Change: func(old []byte, _ bool) ([]byte, bool) {
		value := append(bytes.Clone(old), more...)
		length = len(value)
		return value, true
	}})
	if ok {
		c.out.WriteInt(length)
	}
}

func redisIncr(c *redisConn, args [][]byte) {
	by, err := int64(1), error(nil)
	if len(args) == 3 {
		if by, err = strconv.ParseInt(string(args[2]), 10, 64); err != nil {
			c.out.WriteError(errNotInteger)
			return
		}
	}
	if name := args[0]; is(name, "decr") || is(name, "decrby") {
		if by == math.MinInt64 {
			c.out.WriteError("ERR decrement would overflow")
			return
		}
		by = -by
	}
	wrong, n := "", int64(0)
	_, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: string(args[1]), KeepTTL: true, Change: func(old []byte, found bool) ([]byte, bool) {
		if n = 0; found {
			if n, err = strconv.ParseInt(string(old), 10, 64); err != nil {
				wrong = errNotInteger
				return nil, false
			}
		}
		if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
			wrong = "ERR increment or decrement would overflow"
			return nil, false
		}
		n += by
		return strconv.AppendInt(nil, n, 10), true
	}})
	switch {
	case !ok:
	case wrong != "":
		c.out.WriteError(wrong)
	default:
		c.out.WriteInt64(n)
	}
}

func redisExpire(c *redisConn, args [][]byte) {
	n, err := strconv.ParseInt(string(args[2]), 10, 64)
	if err != nil {
		c.out.WriteError(errNotInteger)
		return
	}
	q := store.Query{Operation: topology.OpWrite, Item: string(args[1])}
	command := strings.ToLower(string(args[0]))
	switch {
	case command == "expire" && n < math.MinInt64/1000:
		c.out.WriteError("ERR invalid expire time in 'expire' command")
		return
	case n <= 0:
		q.Remove = true
	default:
		wrong := ""
		if q.TTL, wrong = timeToLive(args[2], command == "expire", command); wrong != "" {
			c.out.WriteError(wrong)
			return
		}
		q.Change = func(old []byte, found bool) ([]byte, bool) { return old, found }
	}
	if a, ok := c.ask(q); ok {
		c.out.WriteInt(number(a.Found))
	}
}

func redisDBSize(c *redisConn, _ [][]byte) {
	n := 0
	c.look(func(m *store.Store, now time.Duration) { n = m.Len(now) })
	c.out.WriteInt(n)
}

func redisKeys(c *redisConn, args [][]byte) {
	var keys []string
	c.look(func(m *store.Store, now time.Duration) { keys, _ = m.Names(now, 0, math.MaxInt) })
	c.keys(keys, string(args[1]))
}

// keys writes those that a pattern matches.
func (c *redisConn) keys(keys []string, pattern string) {
	var matching []string
	for _, key := range keys {
		if ok, err := path.Match(pattern, key); err == nil && ok {
			matching = append(matching, key)
		}
	}
	c.out.WriteArray(len(matching))
	for _, key := range matching {
		c.out.WriteBulkString(key)
	}
}

func redisScan(c *redisConn, args [][]byte) {
	from, err := strconv.Atoi(string(args[1]))
	if err != nil || from < 0 {
		c.out.WriteError("ERR invalid cursor")
		return
	}
	pattern, count := "*", 10
	for i := 2; i < len(args); i += 2 {
		switch {
		case i+1 == len(args):
			c.out.WriteError(errSyntax)
			return
		case is(args[i], "match"):
			pattern = string(args[i+1])
		case is(args[i], "count"):
			if count, err = strconv.Atoi(string(args[i+1])); err != nil || count < 1 {
				c.out.WriteError(errSyntax)
				return
			}
		default:
			c.out.WriteError(errSyntax)
			return
		}
	}
	var keys []string
	next := 0
	c.look(func(m *store.Store, now time.Duration) { keys, next = m.Names(now, from, count) })
	c.out.WriteArray(2)
	c.out.WriteBulkString(strconv.Itoa(next))
	c.keys(keys, pattern)
}

func redisFlush(c *redisConn, _ [][]byte) {
	// It needs the same leave as any write.
	if _, ok := c.ask(store.Query{Operation: topology.OpWrite, Item: "", Change: func([]byte, bool) ([]byte, bool) { return nil, false }}); !ok {
		return
	}
	c.look(func(m *store.Store, now time.Duration) { m.Flush(now) })
	c.out.WriteString("OK")
}

func redisPing(c *redisConn, args [][]byte) {
	switch len(args) {
	case 1:
		c.out.WriteString("PONG")
	case 2:
		c.out.WriteBulk(args[1])
	default:
		c.out.WriteError("ERR wrong number of arguments for 'ping' command")
	}
}

func redisTime(c *redisConn, _ [][]byte) {
	now := time.Now()
	c.out.WriteArray(2)
	c.out.WriteBulkString(strconv.FormatInt(now.Unix(), 10))
	c.out.WriteBulkString(strconv.Itoa(now.Nanosecond() / 1000))
}

func redisInfo(c *redisConn, _ [][]byte) {
	text := ""
	c.look(func(m *store.Store, now time.Duration) {
		text = fmt.Sprintf("# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\nengine:embedded\r\n\r\n# Clients\r\nconnected_clients:%d\r\n\r\n# Replication\r\nrole:master\r\n\r\n# Keyspace\r\ndb0:keys=%d,expires=0,avg_ttl=0\r\n",
			m.Connections(), m.Len(now))
	})
	if c.protocol == resp3 {
		c.out.WriteRaw(fmt.Appendf(nil, "=%d\r\ntxt:%s\r\n", len("txt:")+len(text), text))
		return
	}
	c.out.WriteBulkString(text)
}

func redisMulti(c *redisConn, _ [][]byte) {
	if c.multi {
		c.out.WriteError("ERR MULTI calls can not be nested")
		return
	}
	c.multi, c.broken, c.queued = true, false, nil
	c.out.WriteString("OK")
}

func redisDiscard(c *redisConn, _ [][]byte) {
	if !c.multi {
		c.out.WriteError("ERR DISCARD without MULTI")
		return
	}
	c.unqueue()
	c.out.WriteString("OK")
}

// redisExec does the queued commands one after another, with nothing between them.
// The model takes them as one transaction on the first item that they change.
func redisExec(c *redisConn, _ [][]byte) {
	if !c.multi {
		c.out.WriteError("ERR EXEC without MULTI")
		return
	}
	queued := c.queued
	c.unqueue() // what follows lasts no longer than a message
	if c.broken {
		c.out.WriteError("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	item := ""
	for _, args := range queued {
		if len(args) > 1 && (item == "" || is(args[0], "set")) {
			item = string(args[1])
		}
	}
	if item != "" {
		q := store.Query{Operation: topology.OpTransaction, Item: item, Change: func([]byte, bool) ([]byte, bool) { return nil, false }}
		if _, ok := c.ask(q); !ok {
			return
		}
	}
	c.out.WriteArray(len(queued))
	c.s.look(func(m *store.Store, now time.Duration) {
		c.do = func(q store.Query) (store.Answer, bool) { return m.Immediate(q, now), true }
		c.look = func(ask func(*store.Store, time.Duration)) { ask(m, now) }
		for _, args := range queued {
			c.commands[strings.ToLower(string(args[0]))].run(c, args)
		}
	})
	c.do, c.look = c.inTime, c.s.look
}

// The versions of RESP.
const (
	resp2 = 2
	resp3 = 3
)

func redisHello(c *redisConn, args [][]byte) {
	protocol, name := c.protocol, c.name
	if len(args) > 1 {
		var err error
		if protocol, err = strconv.Atoi(string(args[1])); err != nil {
			c.out.WriteError("ERR Protocol version is not an integer or out of range")
			return
		}
		if protocol != resp2 && protocol != resp3 {
			c.out.WriteError("NOPROTO unsupported protocol version")
			return
		}
		for rest := args[2:]; len(rest) > 0; {
			switch {
			case is(rest[0], "auth") && len(rest) > 2: // every user is let in
				rest = rest[3:]
			case is(rest[0], "setname") && len(rest) > 1:
				name, rest = string(rest[1]), rest[2:]
			default:
				c.out.WriteError(fmt.Sprintf("ERR Syntax error in HELLO option '%.128s'", rest[0]))
				return
			}
		}
	}
	c.protocol, c.name = protocol, name
	text := func(name, value string) { c.out.WriteBulkString(name); c.out.WriteBulkString(value) }
	number := func(name string, value int) { c.out.WriteBulkString(name); c.out.WriteInt(value) }
	const fields = 7
	c.pairs(fields)
	text("server", "redis")
	text("version", "7.0.0")
	number("proto", c.protocol)
	number("id", 1)
	text("mode", "standalone")
	text("role", "master")
	c.out.WriteBulkString("modules")
	c.out.WriteArray(0)
}

func redisAuth(c *redisConn, _ [][]byte) {
	c.out.WriteError("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
}

func redisSelect(c *redisConn, args [][]byte) {
	n, err := strconv.Atoi(string(args[1]))
	switch {
	case err != nil:
		c.out.WriteError(errNotInteger)
	case n != 0:
		c.out.WriteError("ERR DB index is out of range")
	default:
		c.out.WriteString("OK")
	}
}

func redisClient(c *redisConn, args [][]byte) {
	switch sub := strings.ToLower(string(args[1])); {
	case sub == "getname":
		if c.name == "" {
			c.null()
		} else {
			c.out.WriteBulkString(c.name)
		}
	case sub == "setname" && len(args) == 3:
		c.name = string(args[2])
		c.out.WriteString("OK")
	case sub == "setinfo" && len(args) == 4:
		c.out.WriteString("OK")
	case sub == "id":
		c.out.WriteInt(1)
	default:
		c.out.WriteError(fmt.Sprintf("ERR unknown subcommand '%.128s'. Try CLIENT HELP.", args[1]))
	}
}

func redisConfig(c *redisConn, args [][]byte) {
	if !is(args[1], "get") {
		c.out.WriteError(fmt.Sprintf("ERR unknown subcommand '%.128s'. Try CONFIG HELP.", args[1]))
		return
	}
	c.pairs(0)
}
