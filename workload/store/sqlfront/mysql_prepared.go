package sqlfront

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Prepared statements and the binary protocol
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase_ps.html).

// Commands of prepared statements.
const (
	comPrepare, comExecute, comLongData, comClose, comResetStatement, comFetch = 22, 23, 24, 25, 26, 28
)

// A mysqlStatement is one that a client has prepared.
type mysqlStatement struct {
	*prepared
	// types are those of the arguments, as the client has told them last.
	types []mysqlType
	// long are arguments that came in parts, by place.
	long map[int][]byte
	size int
}

type mysqlType struct {
	kind     byte
	unsigned bool
}

// ofStatements answers a command of prepared statements. It reports false for others.
// The error says that the store has ended.
func (c *mysqlConn) ofStatements(d *dialect, e Engine, command byte, rest []byte) (known bool, err error) {
	switch command {
	case comPrepare:
		c.prepare(d, string(rest))
		return true, nil
	case comExecute, comLongData, comClose, comResetStatement, comFetch:
	default:
		return false, nil
	}
	if len(rest) < 4 {
		c.writeError(errMalformed)
		return true, nil
	}
	id := binary.LittleEndian.Uint32(rest)
	st, ok := c.statements[id]
	switch {
	case command == comClose: // has no answer
		c.forgetStatement(id)
	case command == comLongData: // nor has this; what is wrong is told when the statement is executed
		if ok {
			c.takeLong(st, rest[4:])
		}
	case !ok:
		c.writeError(mysqlError{1243, "HY000", "Unknown prepared statement handler (" + strconv.FormatUint(uint64(id), 10) + ") given to EXECUTE"})
	case command == comResetStatement:
		c.dropLong(st)
		c.writeOK(0, c.status())
	case command == comFetch:
		c.writeError(mysqlError{1235, "42000", "the embedded store has no cursors; use engine: real"})
	default:
		return true, c.execute(e, st, rest[4:])
	}
	return true, nil
}

//nolint:gochecknoglobals // a constant
var errMalformed = mysqlError{1835, "HY000", "Malformed communication packet"}

func (c *mysqlConn) prepare(d *dialect, text string) {
	p, err := d.prepare(text)
	switch {
	case errors.Is(err, errSeveral):
		c.writeError(mysqlRefusal(&refusal{text: &syntaxError{";"}}))
		return
	case err != nil:
		c.writeError(mysqlRefusal(&refusal{text: err}))
		return
	case p.shape.verb == 0:
		c.writeError(mysqlError{1065, "42000", "Query was empty"})
		return
	case p.places > mostPlaces:
		c.writeError(mysqlError{1390, "HY000", "Prepared statement contains too many placeholders"})
		return
	}
	st := &mysqlStatement{prepared: p, long: map[int][]byte{}, size: 4 * len(text)}
	if len(c.statements) >= mostPrepared || c.budget.Take(st.size) != nil {
		c.writeError(mysqlError{1461, "42000", "Can't create more than max_prepared_stmt_count statements (current value: " + strconv.Itoa(mostPrepared) + ")"})
		return
	}
	c.last++
	c.statements[c.last] = st
	answer := binary.LittleEndian.AppendUint32([]byte{0}, c.last)
	answer = binary.LittleEndian.AppendUint16(answer, uint16(len(p.shape.columns))) //nolint:gosec // there are two at most
	answer = binary.LittleEndian.AppendUint16(answer, uint16(p.places))             //nolint:gosec // it is bound above
	c.write(append(answer, 0, 0, 0))
	if p.places > 0 {
		names := make([]string, p.places)
		for i := range names {
			names[i] = "?"
		}
		c.writeColumns(selectItems, names, c.status())
	}
	if len(p.shape.columns) > 0 {
		c.writeColumns(p.shape.verb, p.shape.columns, c.status())
	}
}

func (c *mysqlConn) forgetStatement(id uint32) {
	if st, ok := c.statements[id]; ok {
		c.dropLong(st)
		c.budget.Give(st.size)
		delete(c.statements, id)
	}
}

func (c *mysqlConn) forgetAll() {
	for id := range c.statements {
		c.forgetStatement(id)
	}
}

// takeLong keeps a part of an argument. One for which there is no memory is nil, which
// no argument is that came.
func (c *mysqlConn) takeLong(st *mysqlStatement, rest []byte) {
	if len(rest) < 2 {
		return
	}
	place, data := int(binary.LittleEndian.Uint16(rest)), rest[2:]
	kept, begun := st.long[place]
	switch {
	case place >= st.places || begun && kept == nil:
	case len(kept)+len(data) > mostQuery || c.budget.Take(len(data)) != nil:
		c.budget.Give(len(kept))
		st.long[place] = nil
	default:
		st.long[place] = append(append([]byte{}, kept...), data...)
	}
}

func (c *mysqlConn) dropLong(st *mysqlStatement) {
	for place, data := range st.long {
		c.budget.Give(len(data))
		delete(st.long, place)
	}
}

// execute does a statement with the arguments of a message. The error says that the
// store has ended.
func (c *mysqlConn) execute(e Engine, st *mysqlStatement, rest []byte) error {
	defer c.dropLong(st)
	args, failed := st.arguments(rest)
	if failed != nil {
		c.writeError(*failed)
		return nil
	}
	bound, err := st.bind(args)
	if err != nil {
		c.writeError(mysqlRefusal(&refusal{text: err}))
		return nil //nolint:nilerr // it is answered
	}
	why, err := run(e, &c.tx, []statement{bound}, func(r *result) error {
		c.writeBinary(r)
		return nil
	})
	if why != nil {
		c.writeError(mysqlRefusal(why))
	}
	return err
}

// arguments reads those of a message: flags, a count that is 1, which are null, their
// types if they are new, and the values.
func (st *mysqlStatement) arguments(b []byte) (args []string, failed *mysqlError) {
	const flags = 5
	if len(b) < flags {
		return nil, &errMalformed
	}
	if b[0] != 0 {
		return nil, &mysqlError{1235, "42000", "the embedded store has no cursors; use engine: real"}
	}
	b = b[flags:]
	if st.places == 0 {
		return nil, nil
	}
	nulls := (st.places + 7) / 8
	if len(b) < nulls+1 {
		return nil, &errMalformed
	}
	null, newTypes := b[:nulls], b[nulls] == 1
	b = b[nulls+1:]
	if newTypes {
		if len(b) < 2*st.places {
			return nil, &errMalformed
		}
		st.types = make([]mysqlType, st.places)
		for i := range st.types {
			st.types[i] = mysqlType{b[2*i], b[2*i+1]&0x80 != 0}
		}
		b = b[2*st.places:]
	}
	if len(st.types) != st.places {
		return nil, &errMalformed
	}
	args = make([]string, st.places)
	for i := range args {
		data, long := st.long[i]
		switch {
		case long && data == nil:
			return nil, &mysqlError{1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes"}
		case long:
			args[i] = string(data)
		case null[i/8]&(1<<(i%8)) != 0:
			return nil, &mysqlError{1048, "23000", "Column 'value' cannot be null"}
		default:
			if args[i], b, failed = st.types[i].value(b); failed != nil {
				return nil, failed
			}
		}
	}
	return args, nil
}

// value reads one in its binary form. Numbers become their text.
func (t mysqlType) value(b []byte) (text string, rest []byte, failed *mysqlError) {
	size := 0
	switch t.kind {
	case typeTiny:
		size = 1
	case typeShort:
		size = 2
	case typeLong, typeInt24:
		size = 4
	case typeLongLong:
		size = 8
	case typeVarchar, typeDecimal, typeText, typeString, typeBlobs, typeBlobs + 1, typeBlobs + 2, typeBlobs + 3:
		n, rest, ok := lengthOf(b)
		if !ok || n > uint64(len(rest)) {
			return "", nil, &errMalformed
		}
		return string(rest[:n]), rest[n:], nil
	default:
		return "", nil, &mysqlError{1235, "42000", "the embedded store has texts only, and no arguments of type " + strconv.Itoa(int(t.kind)) + "; use engine: real"}
	}
	if len(b) < size {
		return "", nil, &errMalformed
	}
	var wide [8]byte
	copy(wide[:], b[:size])
	n := binary.LittleEndian.Uint64(wide[:])
	if t.unsigned {
		return strconv.FormatUint(n, 10), b[size:], nil
	}
	unused := 64 - 8*size
	return strconv.FormatInt(int64(n<<unused)>>unused, 10), b[size:], nil //nolint:gosec // its bits are the sign's, too
}

// lengthOf reads a number of a length that depends on it.
func lengthOf(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := 0
	switch b[0] {
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	case 0xfb, 0xff:
		return 0, nil, false
	default:
		return uint64(b[0]), b[1:], true
	}
	if len(b) < 1+size {
		return 0, nil, false
	}
	var wide [8]byte
	copy(wide[:], b[1:1+size])
	return binary.LittleEndian.Uint64(wide[:]), b[1+size:], true
}

// writeBinary answers with a result whose rows are in the binary form.
func (c *mysqlConn) writeBinary(r *result) {
	if len(r.columns) == 0 {
		c.writeOK(r.written+r.replaced-r.same, c.status())
		return
	}
	c.write(appendLength(nil, uint64(len(r.columns))))
	c.writeColumns(r.verb, r.columns, c.status())
	for _, row := range r.rows {
		values := make([]byte, 1+(len(row)+9)/8) // none is null
		for _, value := range row {
			n, err := strconv.ParseUint(value, 10, 63)
			switch size := r.verb.numeric(); {
			case size == 8 && err == nil:
				values = binary.LittleEndian.AppendUint64(values, n)
			case size == 4 && err == nil:
				values = binary.LittleEndian.AppendUint32(values, uint32(n)) //nolint:gosec // it is 1
			default:
				values = appendText(values, value)
			}
		}
		c.write(values)
	}
	c.writeEOF(c.status())
}
