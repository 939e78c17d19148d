package mongofront

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// fields tells the fields of a command, after its name, that one or all commands have
// of their own. One that see does not know is refused.
func (c *command) fields(see func(name string, v bson.RawValue) (known bool, err error)) error {
	elements, err := c.body.Elements()
	if err != nil {
		return notKnown("a command that cannot be read")
	}
	for _, e := range elements[1:] {
		known, err := see(e.Key(), e.Value())
		switch {
		case err != nil:
			return err
		case known || slices.Contains(generic(), e.Key()):
		case slices.Contains([]string{"txnNumber", "startTransaction", "autocommit"}, e.Key()):
			return &failure{code: 20, name: "IllegalOperation", text: "Transaction numbers are only allowed on a replica set member or mongos"}
		default:
			return notKnown("field " + e.Key() + " of " + elements[0].Key())
		}
	}
	return nil
}

// generic are the fields that every command may have, and that change nothing on a
// server that stands alone and keeps all in memory.
func generic() []string {
	return []string{"$db", "lsid", "$readPreference", "$clusterTime", "comment", "readConcern", "writeConcern", "apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS", "ordered", "bypassDocumentValidation"}
}

// patience is the time that a client gives a command, in ctx.
func (c *command) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if ms, ok := c.body.Lookup("maxTimeMS").AsInt64OK(); ok && ms > 0 && ms <= 1<<31 {
		return context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	}
	return ctx, func() {}
}

// ordered reports whether the first write that fails ends the command.
func (c *command) ordered() bool {
	ordered, ok := c.body.Lookup("ordered").BooleanOK()
	return ordered || !ok
}

// namespace is the name of the collection with its database. It is an error if that is
// not the one that there is.
func (c *command) namespace() (string, error) {
	first, err := c.body.IndexErr(0)
	if err != nil {
		return "", notKnown("a command without a name")
	}
	collection, ok := first.Value().StringValueOK()
	if !ok {
		return "", wrongType(first.Key(), "string")
	}
	if collection != Collection {
		return "", notKnown("collection " + collection[:min(len(collection), mostWord)])
	}
	db, _ := c.body.Lookup("$db").StringValueOK()
	return db + "." + Collection, nil
}

// list is a list of documents, in the body or beside it.
func (c *command) list(name string) ([]bson.Raw, error) {
	if list, ok := c.lists[name]; ok {
		return list, nil
	}
	array, ok := c.body.Lookup(name).ArrayOK()
	if !ok {
		return nil, wrongType(name, "array")
	}
	values, err := array.Values()
	if err != nil {
		return nil, wrongType(name, "array")
	}
	list := make([]bson.Raw, 0, len(values))
	for _, v := range values {
		doc, ok := v.DocumentOK()
		if !ok || doc.Validate() != nil {
			return nil, wrongType(name, "object")
		}
		list = append(list, doc)
	}
	return list, nil
}

// A choice is what a filter chooses.
type choice struct {
	// all says that it is every document.
	all bool
	// names are those of the documents; many says that they came as a list.
	names []string
	many  bool
}

// filter reads {}, {_id: text}, {_id: {$eq: text}} or {_id: {$in: [text, ...]}}.
func filter(doc bson.Raw) (f choice, err error) {
	elements, err := doc.Elements()
	if err != nil {
		return f, wrongType("filter", "object")
	}
	if len(elements) == 0 {
		return choice{all: true}, nil
	}
	if len(elements) != 1 || elements[0].Key() != "_id" {
		return f, notKnown("a filter by something else than _id")
	}
	v := elements[0].Value()
	if name, ok := v.StringValueOK(); ok {
		return choice{names: []string{name}}, nil
	}
	how, ok := v.DocumentOK()
	if !ok {
		return f, notKnown("an _id that is no text")
	}
	operators, err := how.Elements()
	if err != nil || len(operators) != 1 {
		return f, notKnown("a filter by more than one condition")
	}
	switch v := operators[0].Value(); operators[0].Key() {
	case "$eq":
		if name, ok := v.StringValueOK(); ok {
			return choice{names: []string{name}}, nil
		}
	case "$in":
		array, ok := v.ArrayOK()
		if !ok {
			return f, &failure{code: 2, name: "BadValue", text: "$in needs an array"}
		}
		values, err := array.Values()
		if err != nil {
			return f, wrongType("$in", "array")
		}
		f.many = true
		for _, v := range values {
			name, ok := v.StringValueOK()
			if !ok {
				return f, notKnown("an _id that is no text")
			}
			f.names = append(f.names, name)
		}
		slices.Sort(f.names)
		f.names = slices.Compact(f.names)
		return f, nil
	}
	return f, notKnown("a filter with " + operators[0].Key())
}

// fields of a document: its _id, if it has one, and its value.
func item(doc bson.Raw) (id string, hasID bool, value []byte, err error) {
	elements, err := doc.Elements()
	if err != nil {
		return "", false, nil, wrongType("document", "object")
	}
	hasValue := false
	for _, e := range elements {
		switch e.Key() {
		case "_id":
			if id, hasID = e.Value().StringValueOK(); !hasID {
				return "", false, nil, notKnown("an _id that is no text")
			}
		case "value":
			if value, hasValue = text(e.Value()); !hasValue {
				return "", false, nil, notKnown("a value that is no text")
			}
		default:
			return "", false, nil, notKnown("a document with a field " + shortly(e.Key()))
		}
	}
	if !hasValue {
		return "", false, nil, notKnown("a document without a value")
	}
	return id, hasID, value, nil
}

// shortly is a name as an error repeats it.
func shortly(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), mostWord)], "?")
}

// text is a value that is a text or bytes. It is a copy: the message does not last.
func text(v bson.RawValue) ([]byte, bool) {
	if s, ok := v.StringValueOK(); ok {
		return []byte(s), true
	}
	if subtype, data, ok := v.BinaryOK(); ok && subtype == bson.TypeBinaryGeneric {
		return slices.Clone(data), true
	}
	return nil, false
}

// present is a document as clients get it.
func present(name string, value []byte) bson.D {
	return bson.D{{Key: "_id", Value: name}, {Key: "value", Value: shown(value)}}
}

func shown(value []byte) any {
	if utf8.Valid(value) {
		return string(value)
	}
	return bson.Binary{Data: value}
}

// A projection is what of the documents is shown.
type projection uint8

const (
	hidesID projection = 1 << iota
	hidesValue
)

// projectionOf reads the fields that are wanted, or those that are not.
func projectionOf(v bson.RawValue) (p projection, err error) {
	doc, ok := v.DocumentOK()
	if !ok || doc.Validate() != nil {
		return p, wrongType("projection", "object")
	}
	elements, err := doc.Elements()
	if err != nil {
		return p, wrongType("projection", "object")
	}
	wants, hides, named := false, false, projection(0)
	for _, e := range elements {
		yes, isBool := e.Value().BooleanOK()
		if n, isNumber := e.Value().AsFloat64OK(); isNumber {
			yes = n != 0
		} else if !isBool {
			return p, notKnown("a projection by more than field names")
		}
		switch {
		case e.Key() == "_id" && !yes:
			p |= hidesID
			continue
		case e.Key() == "_id" && len(elements) > 1:
			continue // it is shown anyway
		case e.Key() == "value":
			named |= hidesValue
		}
		switch {
		case wants && !yes:
			return p, &failure{code: 31254, name: "Location31254", text: "Cannot do exclusion on field " + shortly(e.Key()) + " in inclusion projection"}
		case hides && yes:
			return p, &failure{code: 31253, name: "Location31253", text: "Cannot do inclusion on field " + shortly(e.Key()) + " in exclusion projection"}
		}
		wants, hides = yes, !yes
	}
	switch {
	case wants:
		p |= hidesValue &^ named
	case hides:
		p |= named
	}
	return p, nil
}

// present are the documents as clients get them.
func (p projection) present(docs []entry) bson.A {
	list := make(bson.A, len(docs))
	for i, doc := range docs {
		d := bson.D{}
		if p&hidesID == 0 {
			d = append(d, bson.E{Key: "_id", Value: doc.id})
		}
		if p&hidesValue == 0 {
			d = append(d, bson.E{Key: "value", Value: shown(doc.value)})
		}
		list[i] = d
	}
	return list
}

// An order compares documents; nil leaves them in the order of their names.
type order func(a, b entry) int

func (o order) sort(docs []entry) {
	if o != nil {
		// Package slices would bring a sort of its own into the program, whose size counts.
		sort.SliceStable(docs, func(i, j int) bool { return o(docs[i], docs[j]) < 0 })
	}
}

// orderOf reads the fields that documents are sorted by.
func orderOf(v bson.RawValue) (order, error) {
	doc, ok := v.DocumentOK()
	if !ok || doc.Validate() != nil {
		return nil, wrongType("sort", "object")
	}
	elements, err := doc.Elements()
	if err != nil {
		return nil, wrongType("sort", "object")
	}
	if len(elements) == 0 {
		return nil, nil //nolint:nilnil // no order is wanted
	}
	var by []order
	for _, e := range elements {
		n, isNumber := number(e.Value())
		if !isNumber || n != 1 && n != -1 {
			return nil, &failure{code: 15975, name: "Location15975", text: "$sort key ordering must be 1 (for ascending) or -1 (for descending)"}
		}
		compare := map[string]order{
			"_id":   func(a, b entry) int { return strings.Compare(a.id, b.id) },
			"value": compareValues,
		}[e.Key()]
		if compare != nil { // a field that no document has orders nothing
			by = append(by, func(a, b entry) int { return int(n) * compare(a, b) })
		}
	}
	return func(a, b entry) int {
		for _, compare := range by {
			if n := compare(a, b); n != 0 {
				return n
			}
		}
		return 0
	}, nil
}

// compareValues compares texts, which come before bytes; of these the shorter come first.
func compareValues(a, b entry) int {
	isA, isB := utf8.Valid(a.value), utf8.Valid(b.value)
	switch {
	case isA && isB:
		return bytes.Compare(a.value, b.value)
	case isA:
		return -1
	case isB:
		return 1
	}
	return cmp.Or(cmp.Compare(len(a.value), len(b.value)), bytes.Compare(a.value, b.value))
}

// number reads a field that is a number of documents.
func number(v bson.RawValue) (int64, bool) {
	n, ok := v.AsInt64OK()
	return n, ok
}
