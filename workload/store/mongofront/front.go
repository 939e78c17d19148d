package mongofront

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// Collection is the name of the collection that has the items.
const Collection = "items"

// The version that the front says it is, for drivers and tools, which ask for the number
// of the protocol.
const (
	version     = "7.0.0"
	wireVersion = 21
)

// An Engine does the operations of commands. Each of its methods may be called by
// several goroutines.
type Engine interface {
	// Do waits for as long as the operation takes. An error says that ctx has ended
	// before, or the store has.
	Do(ctx context.Context, q store.Query) (store.Answer, error)
	// Len is how many items there are.
	Len() int
	// Names lists items from a place in their order, at most so many; next is the place to
	// go on at, or 0 at the end.
	Names(from, most int) (names []string, next int)
	// Flush removes all items, and says how many there were.
	Flush() int
	// Connections is how many clients are connected.
	Connections() int
}

// messagePatience bounds how long a client may take to send a message that it has begun.
const messagePatience = 30 * time.Second

// Serve serves one connection until it ends.
func Serve(ctx context.Context, conn net.Conn, e Engine, budget *intake.Budget) {
	c := &client{ctx: ctx, engine: e, began: time.Now()}
	in := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Time{})
		h, err := readHead(in)
		if err != nil {
			return
		}
		if h.length > in.Buffered() {
			_ = conn.SetReadDeadline(time.Now().Add(messagePatience))
		}
		if !c.exchange(&h, in, conn, budget) { //nolint:contextcheck // the client has it
			return
		}
	}
}

// A client is one connection.
type client struct {
	//nolint:containedctx // it lives as long as the connection
	ctx    context.Context
	engine Engine
	began  time.Time
	out    []byte
}

// exchange reads one message and answers it. It reports false if the connection ends.
func (c *client) exchange(h *head, in io.Reader, out io.Writer, budget *intake.Budget) bool {
	message, release, err := budget.Read(in, h.length)
	defer release()
	if err != nil {
		return false
	}
	asked, err := h.read(message)
	if err != nil {
		return false
	}
	answer, err := c.answer(&asked)
	if err != nil {
		return false
	}
	if asked.silent {
		return true
	}
	if c.out, err = appendAnswer(c.out[:0], &asked, answer); err != nil {
		return false
	}
	_, err = out.Write(c.out)
	if cap(c.out) > intake.Free {
		c.out = nil
	}
	return err == nil
}

// answer does a command. The error says that the store has ended.
func (c *client) answer(asked *command) (bson.D, error) {
	first, err := asked.body.IndexErr(0)
	if err != nil {
		return (&failure{code: failedToParse, name: "FailedToParse", text: "a command has a name"}).answer(), nil //nolint:nilerr // it is answered
	}
	name := first.Key()
	answer, err := c.run(name, asked)
	var failed *failure
	if errors.As(err, &failed) {
		return failed.answer(), nil
	}
	return answer, err
}

func (c *client) run(name string, asked *command) (bson.D, error) {
	switch strings.ToLower(name) {
	case "hello", "ismaster":
		return c.hello(), nil
	}
	if asked.legacy {
		return nil, &failure{code: 352, name: "UnsupportedOpQueryCommand", text: "Unsupported OP_QUERY command: " + name + ". The client driver may require an upgrade."}
	}
	switch name {
	case "find":
		return c.find(asked)
	case "insert":
		return c.insert(asked)
	case "update":
		return c.update(asked)
	case "delete":
		return c.remove(asked)
	case "findAndModify", "findandmodify":
		return c.findAndModify(asked)
	case "count":
		return c.count(asked)
	case "aggregate":
		return c.aggregate(asked)
	case "ping", "endSessions":
		return done(), nil
	case "buildInfo", "buildinfo":
		return append(bson.D{
			{Key: "version", Value: version}, {Key: "gitVersion", Value: "microsim"}, {Key: "modules", Value: bson.A{}},
			{Key: "versionArray", Value: bson.A{int32(7), int32(0), int32(0), int32(0)}}, {Key: "bits", Value: int32(64)},
			{Key: "debug", Value: false}, {Key: "maxBsonObjectSize", Value: int32(mostDocument)},
		}, done()...), nil
	case "connectionStatus":
		nobody := bson.D{{Key: "authenticatedUsers", Value: bson.A{}}, {Key: "authenticatedUserRoles", Value: bson.A{}}}
		return append(bson.D{{Key: "authInfo", Value: nobody}}, done()...), nil
	case "getMore":
		return c.getMore(asked)
	case "killCursors":
		return c.killCursors(asked)
	case "listDatabases":
		return c.listDatabases(), nil
	case "listIndexes":
		return c.listIndexes(asked)
	case "drop":
		return c.drop(asked)
	case "listCollections":
		return c.listCollections(asked)
	case "serverStatus":
		return append(bson.D{
			{Key: "version", Value: version}, {Key: "process", Value: "embedded"}, {Key: "uptime", Value: time.Since(c.began).Seconds()},
			{Key: "connections", Value: bson.D{{Key: "current", Value: int32(c.engine.Connections())}}}, //nolint:gosec // it is bound
		}, done()...), nil
	}
	return nil, &failure{code: noCommand, name: "CommandNotFound", text: "no such command: '" + name[:min(len(name), mostWord)] + "'"}
}

// mostWord bounds what an error repeats of a command.
const mostWord = 128

// done ends an answer.
func done() bson.D { return bson.D{{Key: "ok", Value: 1.0}} }

// hello says what the server is: one that stands alone.
func (c *client) hello() bson.D {
	return append(bson.D{
		{Key: "helloOk", Value: true}, {Key: "ismaster", Value: true}, {Key: "isWritablePrimary", Value: true},
		{Key: "maxBsonObjectSize", Value: int32(mostDocument)}, {Key: "maxMessageSizeBytes", Value: int32(mostMessage)}, {Key: "maxWriteBatchSize", Value: int32(mostWrites)},
		{Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())}, {Key: "logicalSessionTimeoutMinutes", Value: int32(30)}, {Key: "connectionId", Value: int32(1)},
		{Key: "minWireVersion", Value: int32(0)}, {Key: "maxWireVersion", Value: int32(wireVersion)}, {Key: "readOnly", Value: false},
	}, done()...)
}
