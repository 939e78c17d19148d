package source

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// A Draft collects changes of the values of one file, and makes them all at once.
//
// The new text is read again before it is handed out. It says what the old text said,
// with the changes: the same documents, keys, values, anchors, aliases and tags, in the
// same order. A text that says anything else is refused with a LayoutError, and so is
// one that cannot be read, so an edit is right or there is none. Bytes outside of the
// edits stay, and Invert leads back to the old text.
//
// Files in the plain subset are never refused: block style but for [] and {}, keys that
// are words, texts of one line or literals, spaces for indentation, no directives, no
// keys after a question mark, no anchors, aliases, merges and tags.
type Draft struct {
	file    *File
	edits   Edits
	values  map[*Node]*decode.Node
	entries map[*Node]Change
}

// Draft returns an empty draft of changes.
func (f *File) Draft() *Draft {
	return &Draft{file: f, values: map[*Node]*decode.Node{}, entries: map[*Node]Change{}}
}

// Set gives a key of an object a value, in place of the one it has or after all
// others. It returns a SharedError if the value stands in other places, too.
func (d *Draft) Set(n *Node, key string, v *decode.Node) error {
	if i := n.Find(key); i >= 0 {
		if shared := d.file.Shared(n.Entries[i].Value); shared != nil {
			return shared
		}
		if carries := d.file.Carries(n.Entries[i].Value); carries != nil {
			return carries
		}
		return d.Replace(n.Entries[i].Value, v)
	}
	if _, from := n.Merged(key); from != nil {
		return d.file.MergedError(from)
	}
	return d.Insert(n, Insertion{Before: len(n.Entries), Key: key, Value: v})
}

// Insert adds an entry to a list or an object.
func (d *Draft) Insert(n *Node, one Insertion) error {
	if shared := d.file.Shared(n); shared != nil {
		return shared
	}
	return d.Change(n, Change{Insert: []Insertion{one}})
}

// Delete removes an entry of a list or an object with its comments: those in its
// lines, those right above it, and those below it that are indented further.
func (d *Draft) Delete(n *Node, index int) error {
	if shared := d.file.Shared(n); shared != nil {
		return shared
	}
	if carries := d.file.Carries(n.Entries[index].Value); carries != nil {
		return carries
	}
	return d.Change(n, Change{Delete: map[int]bool{index: true}})
}

// Replace puts another value in place of a node, quoted as the old one was. An anchor
// stays. The caller knows about aliases: Replace does not look whether the node is
// shared, and refuses only an alias itself.
func (d *Draft) Replace(n *Node, v *decode.Node) error {
	if n.Kind == Alias {
		return d.file.Shared(n)
	}
	edits, err := d.file.overwrite(n, v)
	if err != nil {
		return err
	}
	d.edits = append(d.edits, edits...)
	d.values[n] = v
	return nil
}

// Change makes several changes of one list or object, once for each. The caller knows
// about aliases: Change does not look whether the node is shared.
func (d *Draft) Change(n *Node, c Change) error {
	edits, err := d.file.rearrange(n, c)
	if err != nil {
		return err
	}
	d.edits = append(d.edits, edits...)
	d.entries[n] = c
	return nil
}

// Empty reports whether nothing is to be changed.
func (d *Draft) Empty() bool { return len(d.edits) == 0 }

// Done returns the file after the changes, with the edits that lead to it. A caller
// that reads the new text for itself gives the function that does, so that the text is
// read only once; nil stands for Parse. The text is at fault if it is not what was
// wanted, and the error is then a LayoutError; else the error is that of read.
func (d *Draft) Done(read func(text []byte) (*File, error)) (*File, Edits, error) {
	parse := func(text []byte) (*File, error) { return Parse(d.file.Name, text) }
	if read == nil {
		read = parse
	}
	text, err := d.edits.Apply(d.file.Text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.file.Place(d.first()), err)
	}
	after, failed := read(text)
	if failed != nil {
		if after, err = parse(text); err != nil {
			return nil, nil, d.file.layout(d.first())
		}
	}
	if err := d.check(after); err != nil {
		return nil, nil, err
	}
	if failed != nil {
		return nil, nil, failed
	}
	return after, d.edits, nil
}

// first returns the offset of the first edit.
func (d *Draft) first() int {
	at := len(d.file.Text)
	for _, e := range d.edits {
		at = min(at, max(e.Offset, 0))
	}
	return at
}

// check compares the file after the changes with what was wanted.
func (d *Draft) check(after *File) error {
	c := comparison{draft: d, anchors: map[*Node]*Node{}}
	if len(after.Documents) != len(d.file.Documents) {
		return d.file.layout(d.first())
	}
	for i, before := range d.file.Documents {
		if differs := c.node(before, after.Documents[i]); differs != nil {
			return d.file.layout(d.editNear(differs))
		}
	}
	return nil
}

// editNear returns the offset of the edit that changed a node by mistake: the last one
// before its end.
func (d *Draft) editNear(n *Node) int {
	at := -1
	for _, e := range d.edits {
		if e.Offset <= n.To {
			at = max(at, e.Offset)
		}
	}
	if at < 0 {
		return d.first()
	}
	return at
}

// A comparison walks through the tree of a file and that of the file after a draft.
type comparison struct {
	draft *Draft
	// anchors maps the nodes that aliases may stand for to those of the new file.
	anchors map[*Node]*Node
}

// node returns the node in which the new tree is not what was wanted, or nil.
func (c *comparison) node(before, after *Node) *Node {
	if before.Anchor != after.Anchor {
		return before
	}
	if v, replaced := c.draft.values[before]; replaced {
		return unless(means(after, v), before)
	}
	if before.Anchor != "" && before.Kind != Alias {
		c.anchors[before] = after
	}
	switch {
	case before.Kind != after.Kind:
		return before
	case before.Kind == Alias:
		return unless(c.anchors[before.Target] == after.Target, before)
	case before.Tag != after.Tag && (before.Kind == Scalar || before.Tag != "" && after.Tag != ""), before.Value != after.Value:
		return before // lists and objects of JSON have no tag
	}
	return c.children(before, after)
}

func unless(right bool, n *Node) *Node {
	if right {
		return nil
	}
	return n
}

// children compares the entries of two nodes, in their order.
func (c *comparison) children(before, after *Node) *Node {
	change, rest := c.draft.entries[before], after.Entries
	for i := range len(before.Entries) + 1 {
		for _, one := range change.Insert {
			if one.Before != i {
				continue
			}
			if len(rest) == 0 || !one.is(&rest[0]) {
				return before
			}
			rest = rest[1:]
		}
		if i == len(before.Entries) || change.Delete[i] {
			continue
		}
		if len(rest) == 0 {
			return before
		}
		if differs := c.entry(&before.Entries[i], &rest[0]); differs != nil {
			return differs
		}
		rest = rest[1:]
	}
	return unless(len(rest) == 0, before)
}

func (c *comparison) entry(before, after *Entry) *Node {
	if before.Key != nil {
		if differs := c.node(before.Key, after.Key); differs != nil {
			return differs
		}
	}
	return c.node(before.Value, after.Value)
}

// is reports whether an entry is the inserted one.
func (one *Insertion) is(e *Entry) bool {
	return (e.Key == nil || e.Key.IsText() && e.Key.Value == one.Key) && e.Value.Anchor == "" && means(e.Value, one.Value)
}

// means reports whether a node has a value, as the decoder reads it.
func means(n *Node, v *decode.Node) bool {
	switch v.Shape {
	case decode.List:
		if n.Kind != List || len(n.Entries) != len(v.Items) {
			return false
		}
		for i, item := range v.Items {
			if !means(n.Entries[i].Value, item) {
				return false
			}
		}
		return true
	case decode.Object:
		if n.Kind != Object || len(n.Entries) != len(v.Fields) {
			return false
		}
		for i, field := range v.Fields {
			if e := &n.Entries[i]; !e.Key.IsText() || e.Key.Value != field.Key || !means(e.Value, field.Value) {
				return false
			}
		}
		return true
	case decode.Text:
		return n.IsText() && n.Value == v.Scalar
	case decode.Number:
		return n.Kind == Scalar && (n.Tag == "!!int" || n.Tag == "!!float") && n.Value == v.Scalar
	case decode.Boolean:
		return n.Kind == Scalar && n.Tag == "!!bool" && n.Value == v.Scalar
	}
	return n.IsNull()
}
