package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// shape is what a node of a file is.
type shape int

const (
	null shape = iota
	Text       // a scalar that is written as text
	Number
	Boolean
	List
	Object
)

// String names the shape in the words of error messages.
func (s shape) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a list", "an object"}[s]
}

// Origin says how a value comes to its place.
type Origin int

// The origins of values. Only what is Written stands in the file as it is read; all
// else is made of what stands at its place.
const (
	Written Origin = iota
	// Derived values are made of a short form, such as a call of the name of its
	// callee.
	Derived
	// Aliased values are written at an anchor; the place is that of the alias.
	Aliased
	// Merged values are brought by a merge; the place is that of the alias.
	Merged
	// Inherited values are policies that are written for many calls; the place is
	// where they are written.
	Inherited
	// Default values are written nowhere. No node has this origin.
	Default
)

// String names the origin in one word.
func (o Origin) String() string {
	return [...]string{"written", "derived", "aliased", "merged", "inherited", "default"}[o]
}

// MarshalText writes the origin as its word.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// A Node is one value of a file, with its place. Aliases are resolved, and the
// keys of an object are known to differ.
type Node struct {
	Shape     shape
	Scalar    string
	Fields    []Field
	Items     []*Node
	Line, Col int
	Origin    Origin
}

// A Field is a key of an object and its value.
type Field struct {
	Key       string
	Value     *Node
	Line, Col int
}

// Get returns the value of a key, or nil. A key without a value is absent.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key && n.Fields[i].Value.Shape != null {
			return n.Fields[i].Value
		}
	}
	return nil
}

// Has reports whether any of the keys is present, even without a value.
func (n *Node) Has(keys ...string) bool { return n.First(keys...) != "" }

// First returns the first of the keys, in the order of the file, that is there.
func (n *Node) First(keys ...string) string {
	for i := range n.Fields {
		for _, k := range keys {
			if n.Fields[i].Key == k {
				return k
			}
		}
	}
	return ""
}

// Text returns the scalar under a key, or "".
func (n *Node) Text(key string) string {
	if v := n.Get(key); v != nil {
		return v.Scalar
	}
	return ""
}

// Set gives a key a value, in place of the one it had or after all others.
func (n *Node) Set(key string, value *Node) {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			n.Fields[i].Value = value
			return
		}
	}
	n.Fields = append(n.Fields, Field{Key: key, Value: value, Line: value.Line, Col: value.Col})
}

// Take removes the keys and returns an object of them at the place of n.
func (n *Node) Take(keys ...string) *Node {
	taken := n.Like(Object)
	var rest []Field
	for _, f := range n.Fields {
		if contains(keys, f.Key) {
			taken.Fields = append(taken.Fields, f)
		} else {
			rest = append(rest, f)
		}
	}
	n.Fields = rest
	return taken
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// Like returns an empty node of a shape at the place of n.
func (n *Node) Like(s shape) *Node {
	return &Node{Shape: s, Line: n.Line, Col: n.Col, Origin: max(n.Origin, Derived)}
}

// TextAt returns a node of text at the place of n.
func (n *Node) TextAt(s string) *Node {
	t := n.Like(Text)
	t.Scalar = s
	return t
}

// ObjectAt returns an object with one key at the place of n.
func (n *Node) ObjectAt(key string, value *Node) *Node {
	o := n.Like(Object)
	o.Set(key, value)
	return o
}

// IsScalar reports whether the node is one word, number or truth value.
func (n *Node) IsScalar() bool {
	return n != nil && (n.Shape == Text || n.Shape == Number || n.Shape == Boolean)
}

// lacksValue reports whether a key below the node has no value.
func (n *Node) lacksValue() bool {
	for i := range n.Fields {
		if value := n.Fields[i].Value; value.Shape == null || value.lacksValue() {
			return true
		}
	}
	for _, item := range n.Items {
		if item.lacksValue() {
			return true
		}
	}
	return false
}

// Listed returns the node as a list: itself, or a list of only it.
func (n *Node) Listed() *Node {
	if n == nil || n.Shape == List || n.Shape == null {
		return n
	}
	l := n.Like(List)
	l.Items = []*Node{n}
	return l
}

// At returns the place of what a path such as services[2].name leads to, or of
// the last node on the way where it leads nowhere.
func (n *Node) At(path string) *Node {
	place, _ := n.Follow(path)
	return place
}

// Follow is at, and tells whether the path was followed to its end. The place
// of an object or a list that has a key is that of the key.
func (n *Node) Follow(path string) (place *Node, whole bool) {
	place = n.Like(null)
	for path != "" {
		var next *Field
		next, path = n.step(path)
		if next == nil {
			return place, false
		}
		n = next.Value
		place = n.Like(null)
		if !n.IsScalar() {
			place.Line, place.Col = next.Line, next.Col
		}
	}
	return place, true
}

// step takes the first step of a path: the item or field it leads to, and the
// rest of the path.
func (n *Node) step(path string) (*Field, string) {
	if inside, ok := strings.CutPrefix(path, "["); ok {
		index, rest, _ := strings.Cut(inside, "]")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(n.Items) {
			return nil, ""
		}
		item := n.Items[i]
		return &Field{Value: item, Line: item.Line, Col: item.Col}, strings.TrimPrefix(rest, ".")
	}
	// A key may have dots and brackets itself, so the longest that fits is taken.
	var best *Field
	for i := range n.Fields {
		f := &n.Fields[i]
		rest, ok := strings.CutPrefix(path, f.Key)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && (best == nil || len(f.Key) > len(best.Key)) {
			best = f
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, strings.TrimPrefix(path[len(best.Key):], ".")
}

// JSON writes the node as compact JSON, keys in the order of the file.
func (n *Node) JSON() []byte {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes()
}

func (n *Node) writeJSON(b *bytes.Buffer) {
	switch n.Shape {
	case null:
		b.WriteString("null")
	case Text:
		b.Write(quoteJSON(n.Scalar))
	case Number:
		if json.Valid([]byte(n.Scalar)) {
			b.WriteString(n.Scalar)
			return
		}
		b.Write(quoteJSON(n.Scalar)) // .inf and other numbers that JSON lacks
	case Boolean:
		b.WriteString(strings.ToLower(n.Scalar))
	case List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case Object:
		b.WriteByte('{')
		for i, f := range n.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(quoteJSON(f.Key))
			b.WriteByte(':')
			f.Value.writeJSON(b)
		}
		b.WriteByte('}')
	}
}

// quoteJSON quotes without escaping <, > and &, which need no escape outside
// of HTML.
func quoteJSON(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return []byte(fmt.Sprintf("%q", s)) // not reached: text always encodes
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Or returns the node, or other if it is nil.
func (n *Node) Or(other *Node) *Node {
	if n == nil {
		return other
	}
	return n
}

// Under returns the node that a path leads to, or nil.
func (n *Node) Under(path string) *Node {
	for path != "" && n != nil {
		var next *Field
		if next, path = n.step(path); next == nil {
			return nil
		}
		n = next.Value
	}
	return n
}
