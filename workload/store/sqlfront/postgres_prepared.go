package sqlfront

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// The extended query protocol (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY):
// statements are prepared, bound to arguments as portals, and executed.

// A session is one connection of a client of PostgreSQL.
type session struct {
	tx      transaction
	b       *pgproto3.Backend
	engine  Engine
	dialect *dialect
	// statements and portals have names. Their bytes come out of the budget.
	statements map[string]*pgStatement
	portals    map[string]*portal
	budget     *intake.Budget
	// skipping says that an error has made void what comes before the next Sync.
	skipping bool
	// much says that what is to be sent takes memory.
	much bool
}

type pgStatement struct {
	*prepared
	// types are those of the arguments.
	types []uint32
	size  int
}

// A portal is a statement with arguments.
type portal struct {
	statement statement
	// formats are those of the columns of its rows: one for all, one for each, or none.
	formats []int16
	// result is there once it was executed, sent counts the rows that the client has.
	result *result
	sent   int
	size   int
}

// Types of arguments and columns (pg_type.dat).
const (
	oidVarchar = 1043
	oidInt8    = 20
	oidInt4    = 23
)

// Formats of values.
const (
	formatText   = 0
	formatBinary = 1
)

// Codes of errors of this protocol.
const (
	noStatement    = "26000"
	noCursor       = "34000"
	twiceStatement = "42P05"
	twiceCursor    = "42P03"
	protocolError  = "08P01"
	tooMuch        = "54000"
	noMemory       = "53200"
)

// extended answers a message of the extended protocol. The error says that the store
// has ended.
func (s *session) extended(m pgproto3.FrontendMessage) error {
	if s.skipping {
		return nil
	}
	var why *pgproto3.ErrorResponse
	var err error
	switch m := m.(type) {
	case *pgproto3.Parse:
		why = s.parse(m)
	case *pgproto3.Bind:
		why = s.bind(m)
	case *pgproto3.Describe:
		why = s.describe(m)
	case *pgproto3.Execute:
		why, err = s.execute(m)
	case *pgproto3.Close:
		s.close(m)
	default:
		why = refused(notSupported, "the embedded store does not know this message; use engine: real")
	}
	if why != nil {
		s.skipping = true
		s.tx.refuse(s.engine, nil, s.tx.data.Mark())
		s.b.Send(why)
	}
	return err
}

// sync ends what came since the last one, and with it all portals.
func (s *session) sync() {
	s.skipping = false
	for name := range s.portals {
		s.drop(name)
	}
}

// keep takes the bytes that the connection is to keep out of the budget.
func (s *session) keep(n int) *pgproto3.ErrorResponse {
	if len(s.statements)+len(s.portals) >= mostPrepared {
		return refused(tooMuch, fmt.Sprintf("the embedded store keeps %d statements for a connection", mostPrepared))
	}
	if err := s.budget.Take(n); err != nil {
		return refused(noMemory, err.Error())
	}
	return nil
}

func (s *session) drop(portal string) {
	if p, ok := s.portals[portal]; ok {
		s.budget.Give(p.size)
		delete(s.portals, portal)
	}
}

func (s *session) forget(statement string) {
	if st, ok := s.statements[statement]; ok {
		s.budget.Give(st.size)
		delete(s.statements, statement)
	}
}

// end forgets everything.
func (s *session) end() {
	s.sync()
	for name := range s.statements {
		s.forget(name)
	}
}

func (s *session) parse(m *pgproto3.Parse) *pgproto3.ErrorResponse {
	if m.Name == "" {
		s.forget("")
	} else if _, twice := s.statements[m.Name]; twice {
		return refused(twiceStatement, fmt.Sprintf("prepared statement %q already exists", m.Name))
	}
	p, err := s.dialect.prepare(m.Query)
	switch {
	case errors.Is(err, errSeveral):
		return refused(syntax, errSeveral.Error())
	case err != nil:
		return postgresRefusal(&refusal{text: err})
	}
	st := &pgStatement{prepared: p, types: make([]uint32, p.places), size: len(m.Name) + 4*len(m.Query)}
	for i := range st.types {
		st.types[i] = oidText
		if i < len(m.ParameterOIDs) && m.ParameterOIDs[i] != 0 {
			st.types[i] = m.ParameterOIDs[i]
		}
		if t := st.types[i]; t != oidText && t != oidVarchar {
			return refused(notSupported, fmt.Sprintf("the embedded store has texts only, and no arguments of type %d", t))
		}
	}
	if why := s.keep(st.size); why != nil {
		return why
	}
	s.statements[m.Name] = st
	s.b.Send(&pgproto3.ParseComplete{})
	return nil
}

func (s *session) bind(m *pgproto3.Bind) *pgproto3.ErrorResponse {
	st, ok := s.statements[m.PreparedStatement]
	switch {
	case !ok && m.PreparedStatement == "":
		return refused(noStatement, "unnamed prepared statement does not exist")
	case !ok:
		return refused(noStatement, fmt.Sprintf("prepared statement %q does not exist", m.PreparedStatement))
	case len(m.Parameters) != st.places:
		return refused(protocolError, fmt.Sprintf("bind message supplies %d parameters, but prepared statement %q requires %d", len(m.Parameters), m.PreparedStatement, st.places))
	}
	if m.DestinationPortal == "" {
		s.drop("")
	} else if _, twice := s.portals[m.DestinationPortal]; twice {
		return refused(twiceCursor, fmt.Sprintf("cursor %q already exists", m.DestinationPortal))
	}
	args, size := make([]string, len(m.Parameters)), len(m.DestinationPortal)
	for i, value := range m.Parameters { // a text is the same in both formats
		if value == nil {
			return refused(notSupported, "the embedded store has no null")
		}
		args[i] = string(value)
		size += len(value)
	}
	bound, err := st.prepared.bind(args)
	if err != nil {
		return postgresRefusal(&refusal{text: err})
	}
	if n := len(m.ResultFormatCodes); n > 1 && n != len(bound.columns) {
		return refused(protocolError, fmt.Sprintf("bind message has %d result formats but query has %d columns", n, len(bound.columns)))
	}
	p := &portal{statement: bound, formats: slices.Clone(m.ResultFormatCodes), size: size}
	if why := s.keep(p.size); why != nil {
		return why
	}
	s.portals[m.DestinationPortal] = p
	s.b.Send(&pgproto3.BindComplete{})
	return nil
}

func (s *session) describe(m *pgproto3.Describe) *pgproto3.ErrorResponse {
	if m.ObjectType == 'S' {
		st, ok := s.statements[m.Name]
		if !ok {
			return refused(noStatement, fmt.Sprintf("prepared statement %q does not exist", m.Name))
		}
		s.b.Send(&pgproto3.ParameterDescription{ParameterOIDs: st.types})
		s.sendFields(&st.shape, nil)
		return nil
	}
	p, ok := s.portals[m.Name]
	if !ok {
		return refused(noCursor, fmt.Sprintf("portal %q does not exist", m.Name))
	}
	s.sendFields(&p.statement, p.formats)
	return nil
}

// sendFields tells the columns of a statement, if it has any.
func (s *session) sendFields(st *statement, formats []int16) {
	if len(st.columns) == 0 {
		s.b.Send(&pgproto3.NoData{})
		return
	}
	s.b.Send(fieldsOf(st.verb, st.columns, formats))
}

func fieldsOf(v verb, columns []string, formats []int16) *pgproto3.RowDescription {
	fields := make([]pgproto3.FieldDescription, len(columns))
	for i, name := range columns {
		fields[i] = pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oidText, DataTypeSize: -1, TypeModifier: -1, Format: formatOf(formats, i)}
		switch v.numeric() {
		case 8:
			fields[i].DataTypeOID, fields[i].DataTypeSize = oidInt8, 8
		case 4:
			fields[i].DataTypeOID, fields[i].DataTypeSize = oidInt4, 4
		}
	}
	return &pgproto3.RowDescription{Fields: fields}
}

func formatOf(formats []int16, column int) int16 {
	switch {
	case len(formats) == 0:
		return formatText
	case len(formats) == 1:
		return formats[0]
	}
	return formats[min(column, len(formats)-1)]
}

// encode is a value in a format.
func encode(v verb, value string, format int16) []byte {
	if format != formatBinary || v.numeric() == 0 {
		return []byte(value)
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return []byte(value)
	}
	if v.numeric() == 4 {
		return binary.BigEndian.AppendUint32(nil, uint32(n)) //nolint:gosec // it is 1
	}
	return binary.BigEndian.AppendUint64(nil, n)
}

// execute does a portal, or goes on with its rows. The error says that the store has
// ended.
func (s *session) execute(m *pgproto3.Execute) (*pgproto3.ErrorResponse, error) {
	p, ok := s.portals[m.Portal]
	if !ok {
		return refused(noCursor, fmt.Sprintf("portal %q does not exist", m.Portal)), nil
	}
	if p.statement.verb == 0 {
		s.b.Send(&pgproto3.EmptyQueryResponse{})
		return nil, nil
	}
	if p.result == nil {
		why, err := run(s.engine, &s.tx, []statement{p.statement}, func(r *result) error {
			p.result = r
			return nil
		})
		if why != nil {
			return postgresRefusal(why), err
		}
		if err != nil {
			return nil, err
		}
	}
	rows := p.result.rows[p.sent:]
	if most := int(m.MaxRows); most > 0 && most < len(rows) {
		rows = rows[:most]
	}
	p.sent += len(rows)
	s.much = len(rows) > mostTogether || p.size > intake.Free
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i := range row {
			values[i] = encode(p.result.verb, row[i], formatOf(p.formats, i))
		}
		s.b.Send(&pgproto3.DataRow{Values: values})
	}
	if p.sent < len(p.result.rows) {
		s.b.Send(&pgproto3.PortalSuspended{})
		return nil, nil
	}
	s.b.Send(&pgproto3.CommandComplete{CommandTag: tagOf(p.result, len(rows))})
	return nil, nil
}

// tagOf says what a statement has done.
func tagOf(r *result, rows int) []byte {
	switch tag := r.verb.command(); tag {
	case "SELECT":
		return fmt.Appendf(nil, "SELECT %d", rows)
	case "INSERT":
		return fmt.Appendf(nil, "INSERT 0 %d", r.written)
	case "UPDATE", "DELETE":
		return fmt.Appendf(nil, "%s %d", tag, r.written)
	default:
		return []byte(tag)
	}
}

func (s *session) close(m *pgproto3.Close) {
	if m.ObjectType == 'S' {
		s.forget(m.Name)
	} else {
		s.drop(m.Name)
	}
	s.b.Send(&pgproto3.CloseComplete{})
}
