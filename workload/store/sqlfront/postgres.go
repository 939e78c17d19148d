package sqlfront

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// The front of PostgreSQL: the simple and the extended query protocol of version 3
// (https://www.postgresql.org/docs/15/protocol-flow.html). Messages and errors are
// those of PostgreSQL 15.

// postgres is PostgreSQL's dialect.
func postgres() *dialect {
	return &dialect{conflict: "on conflict ( name ) do update set", assigned: "excluded.value", numbered: true, count: "count", one: "?column?", version: "PostgreSQL 15.0 (the embedded store of kubectl microsim)"}
}

// Severities and codes of errors (https://www.postgresql.org/docs/15/errcodes-appendix.html).
const (
	severityError = "ERROR"
	severityFatal = "FATAL"
	notSupported  = "0A000"
	syntax        = "42601"
	uniqueness    = "23505"
	inFailed      = "25P02"
)

// postgresError is what PostgreSQL says for a code, to a statement.
func postgresError(code store.Code, v verb) *pgproto3.ErrorResponse {
	e := &pgproto3.ErrorResponse{Severity: severityError}
	switch code {
	case store.TooManyConnections:
		e.Severity, e.Code, e.Message = severityFatal, "53300", "sorry, too many clients already"
	case store.NoAuth:
		e.Code, e.Message = "42501", "permission denied for table "+Table
	case store.ReadOnly:
		e.Code, e.Message = "25006", fmt.Sprintf("cannot execute %s in a read-only transaction", v.command())
	case store.Deadlock:
		e.Code, e.Message = "40P01", "deadlock detected"
	case store.LockTimeout:
		e.Code, e.Message = "55P03", "canceling statement due to lock timeout"
	case store.NoSpace, store.Full:
		e.Code, e.Message = "53100", `could not extend file "base/5/16384": No space left on device`
	default:
		e.Code, e.Message = "XX000", code.Error()
	}
	e.SeverityUnlocalized = e.Severity
	return e
}

// command is a verb as servers name it.
func (v verb) command() string {
	switch v {
	case selectItems, selectCount, selectText, selectOne:
		return "SELECT"
	case selectForUpdate:
		return "SELECT FOR UPDATE"
	case insert, upsert:
		return "INSERT"
	case update:
		return "UPDATE"
	case remove:
		return "DELETE"
	case begin:
		return "BEGIN"
	case commit:
		return "COMMIT"
	case start:
		return "START TRANSACTION"
	case rollback:
		return "ROLLBACK"
	default:
		return "SET"
	}
}

// RefusePostgres tells a client why it is not let in. It answers what the client asks
// first, without which it would not read the reason.
func RefusePostgres(conn net.Conn, code store.Code) {
	b, r := newBackend(conn, intake.NewBudget(0))
	defer r.free()
	if greetPostgres(conn, b) {
		b.Send(postgresError(code, 0))
		_ = b.Flush() // who does not read it is gone
	}
}

// greetPostgres reads the messages that begin a connection. It reports false for a
// client that does not want to be served, or is gone.
func greetPostgres(conn net.Conn, b *pgproto3.Backend) bool {
	for {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return false
		}
		switch m.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := conn.Write([]byte{'N'}); err != nil { // not encrypted
				return false
			}
		case *pgproto3.StartupMessage:
			return true
		default: // CancelRequest, whose query goes on
			return false
		}
	}
}

// ServePostgres serves one connection until it ends.
func ServePostgres(conn net.Conn, e Engine, budget *intake.Budget) {
	b, r := newBackend(conn, budget)
	defer r.free()
	_ = conn.SetReadDeadline(time.Now().Add(greetingPatience))
	if !greetPostgres(conn, b) {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	r.begun = true
	b.Send(&pgproto3.AuthenticationOk{})
	for _, p := range [][2]string{
		{"server_version", "15.0"}, {"server_encoding", "UTF8"}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"},
		{"integer_datetimes", "on"}, {"standard_conforming_strings", "on"},
	} {
		b.Send(&pgproto3.ParameterStatus{Name: p[0], Value: p[1]})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 0}})
	c := &session{tx: transaction{aborts: true}, b: b, engine: e, dialect: postgres(), statements: map[string]*pgStatement{}, portals: map[string]*portal{}, budget: budget}
	defer c.end()
	defer c.tx.end(e)
	c.ready()
	for n := 0; ; n++ {
		// Answers go together to a client that sends its questions together, within bounds.
		if (r.in.Buffered() == 0 || c.much || n%mostTogether == 0) && b.Flush() != nil {
			return
		}
		c.much = false
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Query:
			c.sync() // it ends the portals, too
			if c.query(m.String) != nil {
				return
			}
			c.ready()
		case *pgproto3.Terminate:
			return
		case *pgproto3.Sync:
			c.sync()
			c.ready()
		case *pgproto3.Flush:
			if b.Flush() != nil {
				return
			}
		default:
			if c.extended(m) != nil {
				return
			}
		}
	}
}

// mostTogether is how many answers wait for each other at most.
const mostTogether = 32

// greetingPatience bounds how long a client may take to begin.
const greetingPatience = 10 * time.Second

func refused(code, message string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severityError, SeverityUnlocalized: severityError, Code: code, Message: message}
}

// ready says that the next statement may come, and whether it is in a transaction.
func (s *session) ready() {
	status := byte('I')
	switch {
	case s.tx.failed:
		status = 'E'
	case s.tx.open:
		status = 'T'
	}
	s.b.Send(&pgproto3.ReadyForQuery{TxStatus: status})
}

// query answers one message of statements. The error says that the store has ended.
func (s *session) query(text string) error {
	list, err := s.dialect.parse(text)
	if err != nil {
		s.tx.refuse(s.engine, nil, s.tx.data.Mark())
		s.b.Send(postgresRefusal(&refusal{text: err}))
		return nil //nolint:nilerr // it is answered
	}
	if len(list) == 0 {
		s.b.Send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	why, err := run(s.engine, &s.tx, list, func(r *result) error {
		sendRows(s.b, r)
		return nil
	})
	if why != nil {
		s.b.Send(postgresRefusal(why))
	}
	return err
}

func postgresRefusal(why *refusal) *pgproto3.ErrorResponse {
	var wrong *syntaxError
	switch {
	case errors.As(why.text, &wrong):
		if wrong.near == "end of input" {
			return refused(syntax, "syntax error at end of input")
		}
		return refused(syntax, wrong.Error())
	case errors.Is(why.text, errAborted):
		return refused(inFailed, why.text.Error())
	case why.text != nil:
		return refused(notSupported, why.text.Error())
	case why.duplicate != "":
		e := refused(uniqueness, `duplicate key value violates unique constraint "items_pkey"`)
		e.Detail = fmt.Sprintf("Key (name)=(%s) already exists.", why.duplicate)
		return e
	}
	return postgresError(why.code, why.verb)
}

// oidText is the type text (pg_type.dat).
const oidText = 25

func sendRows(b *pgproto3.Backend, r *result) {
	if len(r.columns) > 0 {
		b.Send(fieldsOf(r.verb, r.columns, nil))
		for _, row := range r.rows {
			values := make([][]byte, len(row))
			for i := range row {
				values[i] = []byte(row[i])
			}
			b.Send(&pgproto3.DataRow{Values: values})
		}
	}
	b.Send(&pgproto3.CommandComplete{CommandTag: tagOf(r, len(r.rows))})
}
