// Package sqlfront speaks the protocols of PostgreSQL and MySQL for the embedded
// engine: it reads statements on the one table that a store has, asks the engine for
// the operations they mean, and answers in the words of the server.
//
// The table is items (name text primary key, value text). Statements read or write
// items by name; anything else is refused with an error that says so.
package sqlfront

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Table is the name of the table that has the items.
const Table = "items"

// A verb is what a statement does.
type verb uint8

const (
	// selectItems reads the items named.
	selectItems verb = iota + 1
	// selectCount counts all items.
	selectCount
	// selectText answers a text that needs no table.
	selectText
	// insert adds an item, which must not be there.
	insert
	// upsert adds an item, or changes the one that is there.
	upsert
	update
	remove
	begin
	commit
	// set changes something of the session, and has no effect here.
	set
	// selectOne answers a 1.
	selectOne
	// autocommitOn and autocommitOff say whether each statement of MySQL ends with itself.
	autocommitOn
	autocommitOff
	rollback
	// start is begin in other words.
	start
	// selectForUpdate is a read that locks, in the words of errors.
	selectForUpdate
)

// A statement is one that has been understood.
type statement struct {
	verb    verb
	columns []string
	// names are those of the items; many says that they were given as a list.
	names []string
	many  bool
	// value is what is written, or the text that is answered.
	value string
	// locks says that a read locks its rows until the end of the transaction.
	locks bool
	// readOnly says that a transaction begins that only reads.
	readOnly bool
}

// A dialect is what differs between servers in the words of statements.
type dialect struct {
	// backslash says that a backslash in a text takes away the meaning of what
	// follows.
	backslash bool
	// conflict are the words after which an insert changes an item that is there,
	// assigned what stands for the value given.
	conflict, assigned string
	// numbered says that the places of arguments are $1 and on, and not question marks.
	numbered bool
	// version is what the server says it is, count and one are the names of columns
	// that a statement gives no name.
	version, count, one string
}

// errManyLocks is that of a read that locks several rows.
var errManyLocks = errors.New("the embedded store locks one row with a select ... for update; name one, or use engine: real")

// errNotKnown is that of a statement that is none of those that are understood.
var errNotKnown = errors.New("the embedded store reads and writes rows of items (name, value) by name; for anything else use engine: real")

// maxStatements bounds how many there are in one message.
const maxStatements = 100

// parse reads the statements of one message.
func (d *dialect) parse(text string) ([]statement, error) {
	tokens, err := d.scan(text)
	if err != nil {
		return nil, err
	}
	return d.read(tokens)
}

func (d *dialect) read(tokens []token) ([]statement, error) {
	p := parser{dialect: d, tokens: tokens}
	var list []statement
	for {
		for p.take(";") {
		}
		if p.at == len(p.tokens) {
			return list, nil
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		if p.at < len(p.tokens) && !p.take(";") {
			return nil, p.unexpected()
		}
		if list = append(list, s); len(list) > maxStatements {
			return nil, fmt.Errorf("a message has more than %d statements", maxStatements)
		}
	}
}

// A token is a word in small letters, a sign, or a text.
type token struct {
	text   string
	quoted bool
	// place is the number of the argument that it stands for, from 1; 0 means none.
	place int
}

// A syntaxError is a text that is no statement; Near is where.
type syntaxError struct{ near string }

func (e *syntaxError) Error() string { return fmt.Sprintf("syntax error at or near %q", e.near) }

// scan reads the tokens of a text; with an error, those before it.
func (d *dialect) scan(text string) (tokens []token, err error) {
	places := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case strings.HasPrefix(text[i:], "--"): // a comment, as pgx sends to see whether anybody is there
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(text)
			}
		case strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return tokens, &syntaxError{text[i:]}
			}
			i += end + len("/**/")
		case c == '\'':
			value, n, err := d.quoted(text[i:])
			if err != nil {
				return tokens, err
			}
			tokens = append(tokens, token{text: value, quoted: true})
			i += n
		case isWordByte(c):
			end := i
			for end < len(text) && isWordByte(text[end]) {
				end++
			}
			tokens = append(tokens, token{text: strings.ToLower(text[i:end])})
			i = end
		case c == '?' && !d.numbered:
			places++
			tokens = append(tokens, token{text: "?", place: places})
			i++
		case c == '$' && d.numbered && i+1 < len(text) && text[i+1] >= '1' && text[i+1] <= '9':
			end := i + 1
			for end < len(text) && text[end] >= '0' && text[end] <= '9' {
				end++
			}
			place, err := strconv.Atoi(text[i+1 : end])
			if err != nil || place > mostPlaces {
				return tokens, &syntaxError{text[i:end]}
			}
			tokens = append(tokens, token{text: text[i:end], place: place})
			i = end
		default:
			tokens = append(tokens, token{text: text[i : i+1]})
			i++
		}
	}
	return tokens, nil
}

// mostPlaces is how many arguments a statement may have: their number has 16 bits.
const mostPlaces = 1<<16 - 1

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@' || c == '.' || c >= 0x80
}

// quoted reads a text in quotes, and says how long it is with them.
func (d *dialect) quoted(text string) (value string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' && i+1 < len(text) && text[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			return b.String(), i + 1, nil
		case c == '\\' && d.backslash && i+1 < len(text):
			i++
			b.WriteByte(unescape(text[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, &syntaxError{text}
}

// unescape is what a character means after a backslash, in MySQL
// (https://dev.mysql.com/doc/refman/8.0/en/string-literals.html).
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '0':
		return 0
	case 'b':
		return '\b'
	case 'Z':
		return 0x1a
	}
	return c
}

type parser struct {
	dialect *dialect
	tokens  []token
	at      int
}

// take goes past words if they come next.
func (p *parser) take(words string) bool {
	list := strings.Fields(words)
	if p.at+len(list) > len(p.tokens) {
		return false
	}
	for i, word := range list {
		if t := p.tokens[p.at+i]; t.quoted || t.text != word {
			return false
		}
	}
	p.at += len(list)
	return true
}

func (p *parser) unexpected() error {
	if p.at < len(p.tokens) {
		return &syntaxError{p.tokens[p.at].text}
	}
	return &syntaxError{"end of input"}
}

// literal takes a text.
func (p *parser) literal() (string, error) {
	if p.at < len(p.tokens) && p.tokens[p.at].quoted {
		p.at++
		return p.tokens[p.at-1].text, nil
	}
	return "", p.unexpected()
}

func (p *parser) statement() (s statement, err error) {
	switch {
	case p.take("select"):
		return p.selects()
	case p.take("insert into " + Table):
		return p.inserts()
	case p.take("update " + Table + " set value ="):
		s.verb = update
		if s.value, err = p.literal(); err != nil {
			return s, err
		}
		return s, p.where(&s)
	case p.take("delete from " + Table):
		s.verb = remove
		return s, p.where(&s)
	case p.take("begin"):
		p.noise()
		return p.begins(begin)
	case p.take("start transaction"):
		return p.begins(start)
	case p.take("commit"):
		p.noise()
		return statement{verb: commit}, nil
	case p.take("rollback"):
		p.noise()
		return statement{verb: rollback}, nil
	case p.take("set"):
		return p.sets()
	}
	return s, errNotKnown
}

// noise goes past words that mean nothing.
func (p *parser) noise() {
	if !p.take("transaction") {
		p.take("work")
	}
}

// errIsolation is that of another level of isolation.
var errIsolation = errors.New("the transactions of the embedded store are READ COMMITTED; for others use engine: real")

// isolation goes past a level of isolation, which is the one that there is.
func (p *parser) isolation() error {
	if p.take("isolation level") && !p.take("read committed") && !p.take("read uncommitted") {
		return errIsolation
	}
	return nil
}

func (p *parser) begins(v verb) (s statement, err error) {
	s.verb = v
	for {
		if err := p.isolation(); err != nil {
			return s, err
		}
		if s.readOnly = p.take("read only"); !s.readOnly {
			p.take("read write")
		}
		if !p.take(",") {
			return s, nil
		}
	}
}

// sets goes past settings, of which MySQL's autocommit has a meaning.
func (p *parser) sets() (s statement, err error) {
	s.verb = set
	for p.at < len(p.tokens) && p.tokens[p.at] != (token{text: ";"}) {
		if err := p.isolation(); err != nil {
			return s, err
		}
		if p.at == len(p.tokens) || p.tokens[p.at] == (token{text: ";"}) {
			break
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.tokens[p.at].text, "@@"), "session.")
		if p.at++; name != "autocommit" || p.dialect.numbered || !p.take("=") || p.at == len(p.tokens) {
			continue
		}
		switch p.tokens[p.at].text {
		case "0", "off", "false":
			s.verb = autocommitOff
		case "1", "on", "true":
			s.verb = autocommitOn
		}
	}
	return s, nil
}

func (p *parser) selects() (s statement, err error) {
	switch {
	case p.take("count ( * ) from " + Table):
		return statement{verb: selectCount, columns: []string{p.dialect.count}}, nil
	case p.take("1"):
		return statement{verb: selectOne, columns: []string{p.dialect.one}, value: "1"}, nil
	case p.take("version ( )"), p.take("@@version"), p.take("@@version_comment limit 1"):
		return statement{verb: selectText, columns: []string{"version"}, value: p.dialect.version}, nil
	case p.take("*"):
		s.columns = []string{"name", "value"}
	default:
		for more := true; more; more = p.take(",") {
			switch {
			case p.take("name"):
				s.columns = append(s.columns, "name")
			case p.take("value"):
				s.columns = append(s.columns, "value")
			default:
				return s, errNotKnown
			}
		}
	}
	if !p.take("from " + Table) {
		return s, errNotKnown
	}
	s.verb = selectItems
	if err := p.where(&s); err != nil {
		return s, err
	}
	p.take("order by name")
	if s.locks = p.take("for update"); s.locks && s.many {
		return s, errManyLocks
	}
	return s, nil
}

func (p *parser) inserts() (s statement, err error) {
	s.verb, s.names = insert, make([]string, 1)
	p.take("( name , value )")
	if !p.take("values (") {
		return s, errNotKnown
	}
	if s.names[0], err = p.literal(); err != nil {
		return s, err
	}
	if !p.take(",") {
		return s, p.unexpected()
	}
	if s.value, err = p.literal(); err != nil {
		return s, err
	}
	if !p.take(")") {
		return s, p.unexpected()
	}
	if p.take(p.dialect.conflict) {
		if !p.take("value = " + p.dialect.assigned) {
			return s, errNotKnown
		}
		s.verb = upsert
	}
	return s, nil
}

// where reads which items a statement is on.
func (p *parser) where(s *statement) (err error) {
	switch {
	case p.take("where name ="):
		name, err := p.literal()
		s.names = []string{name}
		return err
	case p.take("where name in ("):
		s.many = true
		for more := true; more; more = p.take(",") {
			name, err := p.literal()
			if err != nil {
				return err
			}
			s.names = append(s.names, name)
		}
		if !p.take(")") {
			return p.unexpected()
		}
		return nil
	}
	return errNotKnown
}
