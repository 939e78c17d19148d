package sqlfront

import (
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Engine does the operations of statements. Each of its methods may be called by
// several goroutines.
type Engine interface {
	// Do waits for as long as the operation takes; an error says that the store has
	// ended.
	Do(q store.Query) (store.Answer, error)
	// Len is how many items a transaction sees; nil is none.
	Len(t *store.Transaction) int
	// Commit and Rollback end a transaction.
	Commit(t *store.Transaction)
	Rollback(t *store.Transaction)
}

// A result is what a statement has given.
type result struct {
	verb    verb
	columns []string
	rows    [][]string
	// written counts the rows that were written: added, replaced by an insert, or
	// left with the value that they had.
	written, replaced, same int
}

// A refusal is why a statement was not done: a code of the model, a duplicate, or a
// text that is not understood.
type refusal struct {
	code      store.Code
	duplicate string
	text      error
	// verb is that of the statement refused.
	verb verb
}

// run does the statements of a message, up to the first that is refused. The error
// says that the store has ended.
func run(e Engine, t *transaction, list []statement, each func(*result) error) (*refusal, error) {
	for i := 0; i < len(list); i++ {
		if whole := list[i:]; isTransaction(whole) && !t.open && !t.failed && !t.manual {
			if refused, err := runTransaction(e, whole[:4], each); refused != nil || err != nil { //nolint:gosec // it has four
				return refused, err
			}
			i += 3
			continue
		}
		mark := t.data.Mark()
		if refused := t.admit(&list[i]); refused != nil {
			t.refuse(e, refused, mark)
			return refused, nil
		}
		r, refused, err := execute(e, t, &list[i])
		if refused != nil || err != nil {
			t.refuse(e, refused, mark)
			return refused, err
		}
		r.verb = t.note(e, &list[i])
		if err := each(r); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// isTransaction reports whether the statements begin with a transaction: an item is
// read and written, both or none.
func isTransaction(list []statement) bool {
	return len(list) >= 4 && (list[0].verb == begin || list[0].verb == start) && list[1].verb == selectItems && list[2].verb == upsert && list[3].verb == commit &&
		slices.Equal(list[1].names, list[2].names)
}

func runTransaction(e Engine, list []statement, each func(*result) error) (*refusal, error) {
	write := &list[2]
	a, err := e.Do(store.Query{Operation: topology.OpTransaction, Item: write.names[0], Value: []byte(write.value)})
	if err != nil {
		return nil, err
	}
	if a.Code != store.OK {
		return &refusal{code: a.Code, verb: upsert}, nil //nolint:nilerr // the store has answered
	}
	read := &result{verb: selectItems, columns: list[1].columns}
	read.add(&list[1], write.names[0], a.Value, a.Found)
	wrote := &result{verb: upsert}
	wrote.count(write, &a)
	for _, r := range []*result{{verb: list[0].verb}, read, wrote, {verb: commit}} {
		if err := each(r); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// count counts a row that was written.
func (r *result) count(s *statement, a *store.Answer) {
	r.written++
	switch {
	case !a.Found || s.verb == remove:
	case string(a.Value) == s.value:
		r.same++
	case s.verb == upsert:
		r.replaced++
	}
}

// numeric reports whether the column of a result is a number, of how many bytes.
func (v verb) numeric() int {
	switch v {
	case selectCount:
		return 8
	case selectOne:
		return 4
	default:
		return 0
	}
}

type textError string

func (e textError) Error() string { return string(e) }

func execute(e Engine, t *transaction, s *statement) (*result, *refusal, error) {
	r := &result{verb: s.verb, columns: s.columns}
	q := store.Query{Operation: topology.OpWrite, Value: []byte(s.value), Transaction: t.of(s)}
	switch s.verb {
	case begin, start, commit, rollback, set, autocommitOn, autocommitOff:
		return r, nil, nil
	case selectCount:
		r.rows = [][]string{{strconv.Itoa(e.Len(t.of(s)))}}
		return r, nil, nil
	case selectText, selectOne:
		r.rows = [][]string{{s.value}}
		return r, nil, nil
	case selectItems:
		return selectFrom(e, q.Transaction, s, r)
	case insert:
		q.Change = func(_ []byte, found bool) ([]byte, bool) { return []byte(s.value), !found }
	case update:
		q.Change = func(_ []byte, found bool) ([]byte, bool) { return []byte(s.value), found }
		q.Existing = t.aborts
	case remove:
		q.Remove, q.Existing = true, t.aborts
	default: // upsert
	}
	for _, name := range s.names {
		q.Item = name
		a, err := e.Do(q)
		switch {
		case err != nil:
			return nil, nil, err
		case a.Code != store.OK:
			return nil, &refusal{code: a.Code, verb: s.verb}, nil //nolint:nilerr // the store has answered
		case s.verb == insert && a.Found:
			return nil, &refusal{duplicate: name, verb: s.verb}, nil
		case s.verb == insert || s.verb == upsert || a.Found:
			r.count(s, &a)
		}
	}
	return r, nil, nil
}

// selectFrom reads items, in the order of their names.
func selectFrom(e Engine, t *store.Transaction, s *statement, r *result) (*result, *refusal, error) {
	q := store.Query{Operation: topology.OpRead, Item: s.names[0], Transaction: t, Locks: s.locks, Existing: s.locks}
	names := s.names
	if s.many {
		names = slices.Clone(names)
		slices.Sort(names)
		names = slices.Compact(names)
		q.Operation, q.Item, q.Items = topology.OpRange, s.names[0], names
	}
	a, err := e.Do(q)
	switch {
	case err != nil:
		return nil, nil, err
	case a.Code != store.OK:
		return nil, &refusal{code: a.Code, verb: s.verb}, nil //nolint:nilerr // the store has answered
	}
	if !s.many {
		r.add(s, names[0], a.Value, a.Found)
		return r, nil, nil
	}
	for i, value := range a.Items {
		r.add(s, names[i], value, value != nil)
	}
	return r, nil, nil
}

// add adds a row, if there is the item.
func (r *result) add(s *statement, name string, value []byte, found bool) {
	if !found {
		return
	}
	row := make([]string, len(s.columns))
	for i, column := range s.columns {
		row[i] = name
		if column == "value" {
			row[i] = string(value)
		}
	}
	r.rows = append(r.rows, row)
}
