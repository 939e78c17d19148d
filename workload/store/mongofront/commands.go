package mongofront

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// do does an operation of a command. A failure of the store is an error as well.
func (c *client) do(ctx context.Context, name string, q store.Query) (store.Answer, error) {
	a, err := c.engine.Do(ctx, q)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return a, &failure{code: expired, name: "MaxTimeMSExpired", text: "operation exceeded time limit"}
	case err == nil && a.Code != store.OK:
		return a, failureOf(a.Code, name)
	}
	return a, err
}

// mostLooked bounds how many documents one answer has.
const mostLooked = 1000

// A search is what a find asks for.
type search struct {
	choice
	shows projection
	order order
	limit int64
	skip  int64
	batch int64
	// single says that what does not fit into the first batch is not wanted.
	single bool
}

// search reads the fields of a find.
func (asked *command) search() (f search, err error) {
	f.all, f.batch = true, -1
	err = asked.fields(func(name string, v bson.RawValue) (known bool, err error) {
		ok := true
		switch name {
		case "filter":
			doc, isDoc := v.DocumentOK()
			if !isDoc {
				return true, wrongType(name, "object")
			}
			f.choice, err = filter(doc)
		case "projection":
			f.shows, err = projectionOf(v)
		case "sort":
			f.order, err = orderOf(v)
		case "limit":
			f.limit, ok = number(v)
		case "skip":
			f.skip, ok = number(v)
		case "batchSize":
			f.batch, ok = number(v)
		case "singleBatch":
			f.single, ok = v.BooleanOK()
		default:
			return false, nil
		}
		if !ok || f.limit < 0 || f.skip < 0 {
			return true, wrongType(name, "number")
		}
		return true, err
	})
	return f, err
}

func (c *client) find(asked *command) (bson.D, error) {
	namespace, err := asked.namespace()
	if err != nil {
		return nil, err
	}
	f, err := asked.search()
	if err != nil {
		return nil, err
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	if f.all {
		found, cursor, err := c.walkFrom(ctx, &f)
		if err != nil {
			return nil, err
		}
		return cursorOf("firstBatch", found, cursor, namespace), nil
	}
	docs, err := c.read(ctx, f.choice)
	if err != nil {
		return nil, err
	}
	f.order.sort(docs)
	docs = docs[min(int64(len(docs)), f.skip):]
	if f.limit > 0 && int64(len(docs)) > f.limit {
		docs = docs[:f.limit]
	}
	if f.batch >= 0 && int64(len(docs)) > f.batch && !f.single {
		return nil, notKnown(fmt.Sprintf("an answer of %d documents in batches of %d", len(docs), f.batch))
	}
	return cursorOf("firstBatch", f.shows.present(docs), 0, namespace), nil
}

// walkFrom begins to read all documents.
func (c *client) walkFrom(ctx context.Context, f *search) (found bson.A, cursor int64, err error) {
	if f.order != nil {
		return nil, 0, notKnown("a find of all documents in an order")
	}
	at := place{left: f.limit, shows: f.shows}
	if f.limit > mostLeft {
		at.left = 0
	}
	if f.skip > 0 {
		if _, at.from = c.engine.Names(0, int(min(f.skip, mostLeft))); at.from == 0 {
			return bson.A{}, 0, nil // there are not so many
		}
	}
	found, cursor, err = c.walk(ctx, at, f.batch)
	if f.single {
		cursor = 0
	}
	return found, cursor, err
}

// An entry is a document that was read.
type entry struct {
	id    string
	value []byte
}

// read reads the documents that a filter chooses, in the order of their names.
func (c *client) read(ctx context.Context, f choice) (found []entry, err error) {
	names := f.names
	if len(names) == 0 {
		return nil, nil
	}
	q := store.Query{Operation: topology.OpRead, Item: names[0]}
	if f.many {
		q.Operation, q.Items = topology.OpRange, names
	}
	a, err := c.do(ctx, "find", q)
	if err != nil {
		return nil, err
	}
	if q.Operation == topology.OpRead {
		if a.Found {
			found = append(found, entry{names[0], a.Value})
		}
		return found, nil
	}
	size := 0
	for i, value := range a.Items {
		if value == nil {
			continue
		}
		if size += len(value) + len(names[i]); size > mostDocument {
			return nil, &failure{code: tooLarge, name: "BSONObjectTooLarge", text: fmt.Sprintf("the answer has more than %d bytes", mostDocument)}
		}
		found = append(found, entry{names[i], value})
	}
	return found, nil
}

// A tally is what the writes of a command have done.
type tally struct {
	n, modified int32
	upserted    bson.A
	failed      bson.A
}

func (t *tally) answer(counts bool) bson.D {
	d := bson.D{{Key: "n", Value: t.n}}
	if counts {
		d = append(d, bson.E{Key: "nModified", Value: t.modified})
	}
	if len(t.upserted) > 0 {
		d = append(d, bson.E{Key: "upserted", Value: t.upserted})
	}
	if len(t.failed) > 0 {
		d = append(d, bson.E{Key: "writeErrors", Value: t.failed})
	}
	return append(d, done()...)
}

// writes does each write of a list. The error ends the command.
func (c *client) writes(asked *command, list string, counts bool, each func(ctx context.Context, namespace string, i int, doc bson.Raw, t *tally) error) (bson.D, error) {
	namespace, err := asked.namespace()
	if err != nil {
		return nil, err
	}
	docs, err := asked.list(list)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 || len(docs) > mostWrites {
		return nil, &failure{code: 16, name: "InvalidLength", text: fmt.Sprintf("Write batch sizes must be between 1 and %d. Got %d operations.", mostWrites, len(docs))}
	}
	if err := asked.fields(func(name string, _ bson.RawValue) (bool, error) { return name == list, nil }); err != nil {
		return nil, err
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	t := tally{}
	for i, doc := range docs {
		err := each(ctx, namespace, i, doc, &t)
		var failed *failure
		switch {
		case err == nil:
		case !errors.As(err, &failed) || failed.ofCommand():
			return nil, err
		default:
			t.failed = append(t.failed, failed.inList(i))
			if asked.ordered() {
				return t.answer(counts), nil
			}
		}
	}
	return t.answer(counts), nil
}

func (c *client) insert(asked *command) (bson.D, error) {
	return c.writes(asked, "documents", false, func(ctx context.Context, namespace string, _ int, doc bson.Raw, t *tally) error {
		id, hasID, value, err := item(doc)
		if err != nil {
			return err
		}
		if !hasID {
			return notKnown("a document without an _id")
		}
		a, err := c.do(ctx, "insert", store.Query{
			Operation: topology.OpWrite, Item: id, Change: func(_ []byte, found bool) ([]byte, bool) { return value, !found },
		})
		if err != nil {
			return err
		}
		if a.Found {
			return duplicate(namespace, id)
		}
		t.n++
		return nil
	})
}

// A change is one of an update, or of findAndModify.
type change struct {
	// ids are the documents that it is on: the first that is there, or all.
	ids    []string
	id     string
	many   bool
	value  []byte
	upsert bool
}

// read reads a filter and an update: {$set: {value: ...}}, or a document in its place.
func (ch *change) read(query, update bson.Raw) error {
	f, err := filter(query)
	switch {
	case err != nil:
		return err
	case f.all:
		return notKnown("an update of all documents")
	case len(f.names) != 1 && ch.upsert:
		return notKnown("an upsert of other than one _id")
	}
	ch.ids = f.names
	if len(ch.ids) > 0 {
		ch.id = ch.ids[0]
	}
	if first, err := update.IndexErr(0); err == nil && first.Key() == "$set" {
		if elements, err := update.Elements(); err != nil || len(elements) != 1 {
			return notKnown("an update with more than $set")
		}
		doc, ok := first.Value().DocumentOK()
		if !ok || doc.Validate() != nil {
			return wrongType("$set", "object")
		}
		update = doc
	} else if ch.many {
		return &failure{code: failedToParse, name: "FailedToParse", text: "multi update is not supported for replacement-style update"}
	}
	id, hasID, value, err := item(update)
	if err != nil {
		return err
	}
	if hasID && (id != ch.id || len(ch.ids) > 1) {
		return &failure{code: 66, name: "ImmutableField", text: "Performing an update on the path '_id' would modify the immutable field '_id'"}
	}
	ch.value = value
	return nil
}

func (ch *change) query(op topology.Operation) store.Query {
	q := store.Query{Operation: op, Item: ch.id, Value: ch.value}
	if !ch.upsert {
		q.Change = func(_ []byte, found bool) ([]byte, bool) { return ch.value, found }
	}
	return q
}

func (c *client) update(asked *command) (bson.D, error) {
	return c.writes(asked, "updates", true, func(ctx context.Context, _ string, i int, doc bson.Raw, t *tally) error {
		ch := change{}
		query, isQuery := doc.Lookup("q").DocumentOK()
		update, isUpdate := doc.Lookup("u").DocumentOK()
		if !isQuery || !isUpdate || query.Validate() != nil || update.Validate() != nil {
			return notKnown("an update that is no document")
		}
		if err := only(doc, "q", "u", "upsert", "multi"); err != nil {
			return err
		}
		ch.upsert, _ = doc.Lookup("upsert").BooleanOK()
		ch.many, _ = doc.Lookup("multi").BooleanOK()
		if err := ch.read(query, update); err != nil {
			return err
		}
		return c.change(ctx, i, &ch, t)
	})
}

// change does one update, on the first document that is there, or on all.
func (c *client) change(ctx context.Context, index int, ch *change, t *tally) error {
	for _, ch.id = range ch.ids {
		a, err := c.do(ctx, "update", ch.query(topology.OpWrite))
		switch {
		case err != nil:
			return err
		case a.Found:
			t.n++
			if string(a.Value) != string(ch.value) {
				t.modified++
			}
			if !ch.many {
				return nil
			}
		case ch.upsert:
			t.n++
			t.upserted = append(t.upserted, bson.D{{Key: "index", Value: int32(index)}, {Key: "_id", Value: ch.id}}) //nolint:gosec // it is bound by mostWrites
		}
	}
	return nil
}

// only refuses fields of a document that are not known.
func only(doc bson.Raw, known ...string) error {
	elements, err := doc.Elements()
	if err != nil {
		return wrongType("document", "object")
	}
next:
	for _, e := range elements {
		for _, name := range known {
			if e.Key() == name {
				continue next
			}
		}
		return notKnown("field " + e.Key())
	}
	return nil
}

func (c *client) remove(asked *command) (bson.D, error) {
	return c.writes(asked, "deletes", false, func(ctx context.Context, _ string, _ int, doc bson.Raw, t *tally) error {
		query, ok := doc.Lookup("q").DocumentOK()
		if !ok || query.Validate() != nil {
			return notKnown("a delete that is no document")
		}
		if err := only(doc, "q", "limit"); err != nil {
			return err
		}
		f, err := filter(query)
		switch {
		case err != nil:
			return err
		}
		one := false
		if limit, ok := number(doc.Lookup("limit")); ok {
			one = limit == 1
		}
		switch {
		case f.all && one:
			f.names, _ = c.engine.Names(0, 1)
		case f.all:
			n, err := c.flush(ctx, "delete")
			t.n += int32(n) //nolint:gosec // it is bound by topology.MaxItems and memory
			return err
		}
		for _, name := range f.names {
			a, err := c.do(ctx, "delete", store.Query{Operation: topology.OpWrite, Item: name, Remove: true})
			if err != nil {
				return err
			}
			if a.Found {
				if t.n++; one {
					return nil
				}
			}
		}
		return nil
	})
}

// findAndModify reads a document and writes it, both or none.
func (c *client) findAndModify(asked *command) (bson.D, error) {
	if _, err := asked.namespace(); err != nil {
		return nil, err
	}
	ch, after := change{}, false
	err := asked.fields(func(name string, v bson.RawValue) (known bool, err error) {
		ok := true
		switch name {
		case "query", "update":
		case "upsert":
			ch.upsert, ok = v.BooleanOK()
		case "new":
			after, ok = v.BooleanOK()
		case "remove": // drivers say that they do not
			removes, isBool := v.BooleanOK()
			return isBool && !removes, nil
		default:
			return false, nil
		}
		if !ok {
			return true, wrongType(name, "bool")
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	query, isQuery := asked.body.Lookup("query").DocumentOK()
	update, isUpdate := asked.body.Lookup("update").DocumentOK()
	if !isQuery || !isUpdate || query.Validate() != nil || update.Validate() != nil {
		return nil, notKnown("a findAndModify without query and update")
	}
	if err := ch.read(query, update); err != nil {
		return nil, err
	}
	if len(ch.ids) != 1 {
		return nil, notKnown("a findAndModify of other than one _id")
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	a, err := c.do(ctx, "findAndModify", ch.query(topology.OpTransaction))
	if err != nil {
		return nil, err
	}
	last := bson.D{{Key: "n", Value: int32(0)}, {Key: "updatedExisting", Value: a.Found}}
	var value any
	if a.Found || ch.upsert {
		last[0].Value = int32(1)
	}
	if !a.Found && ch.upsert {
		last = append(last, bson.E{Key: "upserted", Value: ch.id})
	}
	switch {
	case after && (a.Found || ch.upsert):
		value = present(ch.id, ch.value)
	case !after && a.Found:
		value = present(ch.id, a.Value)
	}
	return append(bson.D{{Key: "lastErrorObject", Value: last}, {Key: "value", Value: value}}, done()...), nil
}

// count counts all documents, or those that a filter chooses.
func (c *client) count(asked *command) (bson.D, error) {
	if _, err := asked.namespace(); err != nil {
		return nil, err
	}
	f, w := choice{all: true}, window{}
	err := asked.fields(func(name string, v bson.RawValue) (bool, error) {
		if known, err := w.field(name, v); known {
			return true, err
		}
		doc, ok := v.DocumentOK()
		if name != "query" {
			return false, nil
		}
		if !ok {
			return true, wrongType(name, "object")
		}
		var err error
		f, err = filter(doc)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	n, err := c.countOf(asked, f)
	if err != nil {
		return nil, err
	}
	return append(bson.D{{Key: "n", Value: w.of(n)}}, done()...), nil
}

// A window is the part of the documents that is counted: some are skipped, and of the others so
// many are counted; 0 means all.
type window struct{ skip, limit int64 }

// field reads one of a count.
func (w *window) field(name string, v bson.RawValue) (known bool, err error) {
	var to *int64
	switch name {
	case "skip":
		to = &w.skip
	case "limit":
		to = &w.limit
	default:
		return false, nil
	}
	n, ok := number(v)
	if *to = n; !ok || n < 0 {
		return true, wrongType(name, "number")
	}
	return true, nil
}

func (w *window) of(n int32) int32 {
	left := max(int64(n)-w.skip, 0)
	if w.limit > 0 {
		left = min(left, w.limit)
	}
	return int32(left) //nolint:gosec // it is at most n
}

func (c *client) countOf(asked *command, f choice) (int32, error) {
	if f.all {
		return int32(c.engine.Len()), nil //nolint:gosec // it is bound by topology.MaxItems and memory
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	found, err := c.read(ctx, f)
	return int32(len(found)), err //nolint:gosec // it is bound by the length of a message
}

// aggregate counts, in the form in which drivers count: [{$match: ...}, {$skip: 1}, {$limit: 1},
// {$group: {_id: 1, n: {$sum: 1}}}].
func (c *client) aggregate(asked *command) (bson.D, error) {
	namespace, err := asked.namespace()
	if err != nil {
		return nil, err
	}
	if err := asked.fields(func(name string, _ bson.RawValue) (bool, error) { return name == "pipeline" || name == "cursor", nil }); err != nil {
		return nil, err
	}
	stages, err := asked.list("pipeline")
	if err != nil {
		return nil, err
	}
	f, w := choice{all: true}, window{}
	if match, ok := stage(stages, "$match"); ok {
		if f, err = filter(match); err != nil {
			return nil, err
		}
		stages = stages[1:]
	}
	for _, name := range []string{"skip", "limit"} {
		if len(stages) > 0 && only(stages[0], "$"+name) == nil {
			if _, err := w.field(name, stages[0].Lookup("$"+name)); err != nil {
				return nil, err
			}
			stages = stages[1:]
		}
	}
	group, ok := stage(stages, "$group")
	if sum, isNumber := number(group.Lookup("n", "$sum")); len(stages) != 1 || !ok || !isNumber || sum != 1 || only(group, "_id", "n") != nil {
		return nil, notKnown("an aggregation that does more than count")
	}
	all, err := c.countOf(asked, f)
	if err != nil {
		return nil, err
	}
	batch := bson.A{}
	if n := w.of(all); n > 0 {
		batch = append(batch, bson.D{{Key: "_id", Value: int32(1)}, {Key: "n", Value: n}})
	}
	return append(bson.D{{Key: "cursor", Value: bson.D{{Key: "firstBatch", Value: batch}, {Key: "id", Value: int64(0)}, {Key: "ns", Value: namespace}}}}, done()...), nil
}

// stage is the document of a stage, if that is the first.
func stage(stages []bson.Raw, name string) (bson.Raw, bool) {
	if len(stages) == 0 {
		return nil, false
	}
	doc, ok := stages[0].Lookup(name).DocumentOK()
	return doc, ok && doc.Validate() == nil && only(stages[0], name) == nil
}

// listCollections lists the one collection, which is there as long as it has documents.
func (c *client) listCollections(asked *command) (bson.D, error) {
	db, _ := asked.body.Lookup("$db").StringValueOK()
	list := bson.A{}
	if c.engine.Len() > 0 {
		list = append(list, bson.D{{Key: "name", Value: Collection}, {Key: "type", Value: "collection"}})
	}
	return append(bson.D{{Key: "cursor", Value: bson.D{{Key: "firstBatch", Value: list}, {Key: "id", Value: int64(0)}, {Key: "ns", Value: db + ".$cmd.listCollections"}}}}, done()...), nil
}

// drop removes all documents. It needs the same leave as any write.
func (c *client) drop(asked *command) (bson.D, error) {
	namespace, err := asked.namespace()
	if err != nil {
		return nil, err
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	n, err := c.flush(ctx, "drop")
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, &failure{code: 26, name: "NamespaceNotFound", text: "ns not found"}
	}
	return append(bson.D{{Key: "nIndexesWas", Value: int32(1)}, {Key: "ns", Value: namespace}}, done()...), nil
}

// flush removes all documents, as one operation, and says how many there were.
func (c *client) flush(ctx context.Context, name string) (n int, err error) {
	if _, err := c.do(ctx, name, store.Query{Operation: topology.OpWrite, Change: func([]byte, bool) ([]byte, bool) { return nil, false }}); err != nil {
		return 0, err
	}
	return c.engine.Flush(), nil
}
