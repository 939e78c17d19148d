package store

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
	"github.com/microsim-dev/kubectl-microsim/workload/store/mongofront"
	"github.com/microsim-dev/kubectl-microsim/workload/store/sqlfront"
)

// A front speaks the protocol of one kind.
type front struct {
	// serve serves one connection until it ends or ctx does; then the connection is
	// closed.
	serve func(ctx context.Context, s *Server, conn net.Conn)
	// refuse tells a client in the words of the protocol why it is not let in.
	refuse func(conn net.Conn, code store.Code)
}

// frontOf returns the front of a kind, if there is one.
func frontOf(kind topology.Kind) (front, bool) {
	switch kind {
	case topology.Redis:
		return front{serveRedis, refuseRedis}, true
	case topology.Postgres:
		return front{serveSQL(sqlfront.ServePostgres), sqlfront.RefusePostgres}, true
	case topology.MySQL:
		return front{serveSQL(sqlfront.ServeMySQL), sqlfront.RefuseMySQL}, true
	case topology.Memcached:
		return front{serveMemcached, refuseMemcached}, true
	case topology.MongoDB:
		return front{serveMongo, func(net.Conn, store.Code) {}}, true // mongod closes a connection over its bound
	case topology.Kafka:
		return front{serveKafka, func(net.Conn, store.Code) {}}, true // brokers close a connection over their bound
	default:
		return front{}, false
	}
}

// refuseTime bounds how long a client may take to read why it is refused.
const refuseTime = 200 * time.Millisecond

// refuse tells a client why it is refused. It reads what the client sends meanwhile:
// data that nobody reads would reset the connection, and the client would not see the
// reason.
func (f front) turnAway(conn net.Conn, code store.Code) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(refuseTime))
	f.refuse(conn, code)
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, conn) // until the client closes, or the time is over
	}
}

func refuseRedis(conn net.Conn, code store.Code) {
	_, _ = conn.Write([]byte("-" + redisError(code) + "\r\n")) // who does not read it is gone
}

// An engine is what the fronts of SQL ask.
type engine struct {
	ctx context.Context
	s   *Server
}

// Do implements sqlfront.Engine.
func (e engine) Do(q store.Query) (store.Answer, error) { return e.s.do(e.ctx, q) }

// Len implements sqlfront.Engine.
func (e engine) Len(t *store.Transaction) (n int) {
	e.s.look(func(m *store.Store, now time.Duration) { n = m.LenIn(t, now) })
	return n
}

// Commit implements sqlfront.Engine.
func (e engine) Commit(t *store.Transaction) {
	e.s.look(func(m *store.Store, now time.Duration) {
		if m.CommitTransaction(t, now) {
			e.s.wake()
		}
	})
}

// Rollback implements sqlfront.Engine.
func (e engine) Rollback(t *store.Transaction) {
	e.s.look(func(m *store.Store, _ time.Duration) {
		if m.RollbackTransaction(t) {
			e.s.wake()
		}
	})
}

// A mongoEngine is what the front of MongoDB asks.
type mongoEngine struct{ *Server }

// Do implements mongofront.Engine.
func (e mongoEngine) Do(ctx context.Context, q store.Query) (store.Answer, error) {
	return e.do(ctx, q)
}

// Len implements mongofront.Engine.
func (e mongoEngine) Len() (n int) {
	e.look(func(m *store.Store, now time.Duration) { n = m.Len(now) })
	return n
}

// Names implements mongofront.Engine.
func (e mongoEngine) Names(from, most int) (names []string, next int) {
	e.look(func(m *store.Store, now time.Duration) { names, next = m.Names(now, from, most) })
	return names, next
}

// Flush implements mongofront.Engine.
func (e mongoEngine) Flush() (n int) {
	e.look(func(m *store.Store, now time.Duration) { n = m.Flush(now) })
	return n
}

// Connections implements mongofront.Engine.
func (e mongoEngine) Connections() (n int) {
	e.look(func(m *store.Store, _ time.Duration) { n = m.Connections() })
	return n
}

func serveMongo(ctx context.Context, s *Server, conn net.Conn) {
	mongofront.Serve(ctx, conn, mongoEngine{s}, s.intake)
}

// A kafkaEngine is what the front of Kafka asks.
type kafkaEngine struct{ *Server }

// Do implements kafkafront.Engine.
func (e kafkaEngine) Do(ctx context.Context, q store.Query) (store.Answer, error) {
	return e.do(ctx, q)
}

// Look implements kafkafront.Engine.
func (e kafkaEngine) Look(ask func(m *store.Store, now time.Duration)) { e.look(ask) }

// Began implements kafkafront.Engine.
func (e kafkaEngine) Began() time.Time { return e.began }

// Groups implements kafkafront.Engine.
func (e kafkaEngine) Groups() *kafkafront.Groups { return e.groups }

func serveKafka(ctx context.Context, s *Server, conn net.Conn) {
	kafkafront.Serve(ctx, conn, kafkaEngine{s}, s.intake)
}

func serveSQL(serve func(net.Conn, sqlfront.Engine, *intake.Budget)) func(context.Context, *Server, net.Conn) {
	return func(ctx context.Context, s *Server, conn net.Conn) { serve(conn, engine{ctx, s}, s.intake) }
}
