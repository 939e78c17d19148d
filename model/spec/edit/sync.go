package edit

import (
	"errors"
	"reflect"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
)

// A syncer compares what a file describes with what it is to describe, along the
// nodes of the file, and collects the edits that make the one the other. It knows
// the short forms in which the decoder takes the domain's fields.
//
// It need not be right about everything: what it writes is read again. Where the
// file has an alias it writes nothing, and where an anchor is used elsewhere it
// notes so. If that gives what is wanted, all users were to change alike.
type syncer struct {
	file   *source.File
	draft  *source.Draft
	shared []*source.SharedError
	err    error
}

// note keeps the reason why a change of the draft was refused.
func (s *syncer) note(err error) {
	var shared *source.SharedError
	switch {
	case errors.As(err, &shared):
		s.shared = append(s.shared, shared)
	case err != nil && s.err == nil:
		s.err = err
	}
}

// enter reports whether the value of a node can be changed where it stands.
func (s *syncer) enter(n *source.Node) bool {
	if n.Kind == source.Alias || len(n.Users) > 0 {
		s.shared = append(s.shared, s.file.Shared(n))
	}
	return n.Kind != source.Alias
}

// short returns what stands for a value in the file.
func (s *syncer) short(v any) *decode.Node {
	n, err := spec.Short(v)
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return &decode.Node{}
	}
	return n
}

// replace puts another value in place of a node.
func (s *syncer) replace(n *source.Node, v *decode.Node) {
	if !s.enter(n) {
		return
	}
	if carries := s.file.Carries(n); carries != nil {
		s.shared = append(s.shared, carries)
		return
	}
	s.note(s.draft.Replace(n, v))
}

// An object collects what becomes of the keys of a node.
type object struct {
	*syncer
	node   *source.Node
	change source.Change
	// order ranks the keys, so that new ones find their place.
	order []string
}

func (s *syncer) object(n *source.Node, order []string) *object {
	return &object{syncer: s, node: n, change: source.Change{Delete: map[int]bool{}}, order: order}
}

// get returns the value that the node itself has for a key, or nil.
func (o *object) get(key string) *source.Node { return o.node.Get(key) }

// set gives a key a value, in place of the one it has.
func (o *object) set(key string, v *decode.Node) {
	if own := o.get(key); own != nil {
		o.replace(own, v)
		return
	}
	if _, from := o.node.Merged(key); from != nil {
		o.shared = append(o.shared, o.file.MergedError(from))
		return
	}
	o.change.Insert = append(o.change.Insert, source.Insertion{Before: o.placeFor(key), Key: key, Value: v})
}

// placeFor returns the place after the last key of the node that ranks lower.
func (o *object) placeFor(key string) int {
	rank := slices.Index(o.order, key)
	for i := len(o.node.Entries) - 1; i >= 0 && rank >= 0; i-- {
		if k := o.node.Entries[i].Key; k != nil {
			if other := slices.Index(o.order, k.Value); other >= 0 && other < rank {
				return i + 1
			}
		}
	}
	return len(o.node.Entries)
}

// remove takes a key away.
func (o *object) remove(key string) {
	if _, from := o.node.Merged(key); from != nil {
		o.shared = append(o.shared, o.file.MergedError(from))
		return
	}
	i := o.node.Find(key)
	if i < 0 {
		return
	}
	if carries := o.file.Carries(o.node.Entries[i].Value); carries != nil {
		o.shared = append(o.shared, carries)
		return
	}
	o.change.Delete[i] = true
}

// done adds the edits of the keys that come and go.
func (o *object) done() {
	slices.SortStableFunc(o.change.Insert, func(a, b source.Insertion) int {
		if a.Before != b.Before {
			return a.Before - b.Before
		}
		return slices.Index(o.order, a.Key) - slices.Index(o.order, b.Key)
	})
	if len(o.change.Delete)+len(o.change.Insert) > 0 {
		o.note(o.draft.Change(o.node, o.change))
	}
}

// fields brings the fields of a struct into the keys of a node, except some. A
// field that has its default needs no key.
func (o *object) fields(before, after, usual reflect.Value, except ...string) {
	for _, field := range decode.FieldsOf(after.Type()) {
		if slices.Contains(except, field.Name) {
			continue
		}
		o.field(field.Name, before.FieldByIndex(field.Index), after.FieldByIndex(field.Index), usual.FieldByIndex(field.Index))
	}
}

func (o *object) field(key string, before, after, usual reflect.Value) {
	own := o.get(key)
	_, merged := o.node.Merged(key)
	written := own != nil || merged != nil
	switch {
	case same(before, after):
	case same(after, usual):
		if written {
			o.remove(key)
		}
	case own != nil:
		o.value(own, before, after)
	default:
		o.set(key, o.short(after.Interface()))
	}
}

// value brings a changed value into the node of the old one.
func (s *syncer) value(n *source.Node, before, after reflect.Value) {
	if after.Kind() == reflect.Pointer {
		if before.IsNil() || after.IsNil() {
			s.replace(n, s.short(after.Interface()))
			return
		}
		before, after = before.Elem(), after.Elem()
	}
	_, isDelay := after.Interface().(dist.Delay)
	switch {
	case !s.enter(n):
	case after.Kind() == reflect.Struct && n.Kind == source.Object && !isDelay:
		o := s.object(n, decode.KeysOf(after.Type()))
		o.fields(before, after, spec.Default(after.Type()), textKeys()...)
		for _, key := range textKeys() {
			o.textField(key, before, after)
		}
		o.done()
	case after.Kind() == reflect.Slice && n.Kind == source.List && len(n.Entries) == before.Len():
		s.list(n, align(before.Len(), after.Len(),
			func(i, j int) bool { return same(before.Index(i), after.Index(j)) },
			func(i, j int) bool { return false }),
			func(n *source.Node, p pair) { s.value(n, before.Index(p.old), after.Index(p.new)) },
			func(j int) *decode.Node { return s.short(after.Index(j).Interface()) })
	default:
		s.replace(n, s.short(after.Interface()))
	}
}

// list brings pairs of entries into the node of a list: change is called for those
// that stay, if they differ is its own matter, and short makes new ones.
func (s *syncer) list(n *source.Node, pairs []pair, change func(n *source.Node, p pair), short func(j int) *decode.Node) {
	c := source.Change{Delete: map[int]bool{}}
	place := 0
	for _, p := range pairs {
		switch {
		case p.old < 0:
			c.Insert = append(c.Insert, source.Insertion{Before: place, Value: short(p.new)})
		case p.new < 0:
			if carries := s.file.Carries(n.Entries[p.old].Value); carries != nil {
				s.shared = append(s.shared, carries)
			} else {
				c.Delete[p.old] = true
			}
		default:
			change(n.Entries[p.old].Value, p)
		}
		if p.old >= 0 {
			place = p.old + 1
		}
	}
	if len(c.Delete)+len(c.Insert) > 0 {
		s.note(s.draft.Change(n, c))
	}
}

// items is list for a key of an object, which may have one item in place of a list.
func (o *object) items(key string, pairs []pair, change func(n *source.Node, p pair), short func(j int) *decode.Node) {
	count, old := 0, 0
	changed := false
	for _, p := range pairs {
		if p.new >= 0 {
			count++
		}
		if p.old >= 0 {
			old++
		}
		changed = changed || p.old < 0 || p.new < 0
	}
	all := func() *decode.Node {
		list := &decode.Node{Shape: decode.List}
		for j := range count {
			list.Items = append(list.Items, short(j))
		}
		return list
	}
	n := o.get(key)
	_, merged := o.node.Merged(key)
	switch {
	case n == nil && merged != nil:
		o.shared = append(o.shared, o.file.MergedError(merged))
	case n == nil && (count == 0 || !changed):
	case n == nil:
		o.set(key, all())
	case count == 0 && old > 0:
		o.remove(key)
	case !o.enter(n):
	case n.Kind == source.List && len(n.Entries) == old:
		o.list(n, pairs, change, short)
	case n.Kind != source.List && old == 1 && !changed:
		change(n, pairs[0])
	default:
		if changed {
			o.replace(n, all())
		}
	}
}

// textKeys are fields of text that a file may have as any value, whose JSON they
// are.
func textKeys() []string { return []string{"body", "value", "chain"} }

func (o *object) textField(key string, before, after reflect.Value) {
	a, ok := fieldOf(before, key)
	if !ok {
		return
	}
	b, _ := fieldOf(after, key)
	own := o.get(key)
	if own == nil || b.Kind() != reflect.String || b.String() == "" || same(a, b) || own.Resolve().Kind == source.Scalar {
		o.field(key, a, b, reflect.Zero(b.Type()))
		return
	}
	f := &decode.File{Name: "value.json"}
	if docs := f.Parse([]byte(b.String())); len(docs) == 1 && len(f.Mistakes) == 0 {
		o.tree(own, docs[0])
		return
	}
	o.field(key, a, b, reflect.Zero(b.Type()))
}

// tree brings a value into a node, and leaves what is equal.
func (s *syncer) tree(n *source.Node, v *decode.Node) {
	if !s.enter(n) {
		return
	}
	switch {
	case n.Kind == source.List && v.Shape == decode.List && len(n.Entries) == len(v.Items):
		for i, item := range v.Items {
			s.tree(n.Entries[i].Value, item)
		}
	case n.Kind == source.Object && v.Shape == decode.Object && sameKeys(n, v):
		for i, field := range v.Fields {
			s.tree(n.Entries[i].Value, field.Value)
		}
	case n.Kind == source.Scalar && v.IsScalar() && n.Value == v.Scalar && n.IsText() == (v.Shape == decode.Text):
	case n.IsNull() && v.Shape != decode.Object && v.Shape != decode.List && !v.IsScalar():
	default:
		s.replace(n, v)
	}
}

func sameKeys(n *source.Node, v *decode.Node) bool {
	if len(n.Entries) != len(v.Fields) {
		return false
	}
	for i, field := range v.Fields {
		if n.Entries[i].Key.Value != field.Key || n.Entries[i].IsMerge() {
			return false
		}
	}
	return true
}

// node reads a node of the file as the decoder does, for what is not changed.
func node(n *source.Node) *decode.Node {
	switch n = n.Resolve(); {
	case n.Kind == source.List:
		list := &decode.Node{Shape: decode.List}
		for _, e := range n.Entries {
			list.Items = append(list.Items, node(e.Value))
		}
		return list
	case n.Kind == source.Object:
		o := &decode.Node{Shape: decode.Object}
		for _, key := range keys(n) {
			v := n.Get(key)
			if v == nil {
				v, _ = n.Merged(key)
			}
			o.Set(key, node(v))
		}
		return o
	case n.IsNull():
		return &decode.Node{}
	case n.IsText():
		return &decode.Node{Shape: decode.Text, Scalar: n.Value}
	case n.Tag == "!!bool":
		return &decode.Node{Shape: decode.Boolean, Scalar: n.Value}
	case n.Tag == "!!int" || n.Tag == "!!float":
		return &decode.Node{Shape: decode.Number, Scalar: n.Value}
	}
	return &decode.Node{Shape: decode.Text, Scalar: n.Value}
}

// keys lists the keys of an object, merged ones included.
func keys(n *source.Node) (all []string) {
	for _, e := range n.Entries {
		if !e.IsMerge() {
			all = append(all, e.Key.Value)
			continue
		}
		from := e.Value.Resolve()
		if from.Kind != source.List {
			all = append(all, keys(from)...)
			continue
		}
		for _, one := range from.Entries {
			all = append(all, keys(one.Value.Resolve())...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// look returns the value of a key, own or merged, or nil.
func look(n *source.Node, key string) *source.Node {
	if n == nil {
		return nil
	}
	v := n.Resolve().Get(key)
	if v == nil {
		v, _ = n.Resolve().Merged(key)
	}
	if v == nil {
		return nil
	}
	return v.Resolve()
}

// fieldOf returns the field of a struct that files call by a name.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for _, f := range decode.FieldsOf(v.Type()) {
		if f.Name == name {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}
