package spec

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
	text       // a scalar that is written as text
	number
	boolean
	list
	object
)

// String names the shape in the words of error messages.
func (s shape) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a list", "an object"}[s]
}

// A node is one value of a file, with its place. Aliases are resolved, and the
// keys of an object are known to differ.
type node struct {
	shape     shape
	scalar    string
	fields    []field
	items     []*node
	line, col int
}

// A field is a key of an object and its value.
type field struct {
	key       string
	value     *node
	line, col int
}

// get returns the value of a key, or nil. A key without a value is absent.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].key == key && n.fields[i].value.shape != null {
			return n.fields[i].value
		}
	}
	return nil
}

// has reports whether any of the keys is there, be it without a value.
func (n *node) has(keys ...string) bool { return n.first(keys...) != "" }

// first returns the first of the keys, in the order of the file, that is there.
func (n *node) first(keys ...string) string {
	for i := range n.fields {
		for _, k := range keys {
			if n.fields[i].key == k {
				return k
			}
		}
	}
	return ""
}

// text returns the scalar under a key, or "".
func (n *node) text(key string) string {
	if v := n.get(key); v != nil {
		return v.scalar
	}
	return ""
}

// set gives a key a value, in place of the one it had or after all others.
func (n *node) set(key string, value *node) {
	for i := range n.fields {
		if n.fields[i].key == key {
			n.fields[i].value = value
			return
		}
	}
	n.fields = append(n.fields, field{key: key, value: value, line: value.line, col: value.col})
}

// take removes the keys and returns an object of them at the place of n.
func (n *node) take(keys ...string) *node {
	taken := n.like(object)
	var rest []field
	for _, f := range n.fields {
		if contains(keys, f.key) {
			taken.fields = append(taken.fields, f)
		} else {
			rest = append(rest, f)
		}
	}
	n.fields = rest
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

// like returns an empty node of a shape at the place of n.
func (n *node) like(s shape) *node { return &node{shape: s, line: n.line, col: n.col} }

// textAt returns a node of text at the place of n.
func (n *node) textAt(s string) *node {
	t := n.like(text)
	t.scalar = s
	return t
}

// objectAt returns an object with one key at the place of n.
func (n *node) objectAt(key string, value *node) *node {
	o := n.like(object)
	o.set(key, value)
	return o
}

// isScalar reports whether the node is one word, number or truth value.
func (n *node) isScalar() bool {
	return n != nil && (n.shape == text || n.shape == number || n.shape == boolean)
}

// listed returns the node as a list: itself, or a list of only it.
func (n *node) listed() *node {
	if n == nil || n.shape == list || n.shape == null {
		return n
	}
	l := n.like(list)
	l.items = []*node{n}
	return l
}

// at returns the place of what a path such as services[2].name leads to, or of
// the last node on the way where it leads nowhere.
func (n *node) at(path string) *node {
	place, _ := n.follow(path)
	return place
}

// follow is at, and tells whether the path was followed to its end. The place
// of an object or a list that has a key is that of the key.
func (n *node) follow(path string) (place *node, whole bool) {
	place = n.like(null)
	for path != "" {
		var next *field
		next, path = n.step(path)
		if next == nil {
			return place, false
		}
		n = next.value
		place = n.like(null)
		if !n.isScalar() {
			place.line, place.col = next.line, next.col
		}
	}
	return place, true
}

// step takes the first step of a path: the item or field it leads to, and the
// rest of the path.
func (n *node) step(path string) (*field, string) {
	if inside, ok := strings.CutPrefix(path, "["); ok {
		index, rest, _ := strings.Cut(inside, "]")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(n.items) {
			return nil, ""
		}
		item := n.items[i]
		return &field{value: item, line: item.line, col: item.col}, strings.TrimPrefix(rest, ".")
	}
	// A key may have dots and brackets itself, so the longest that fits is taken.
	var best *field
	for i := range n.fields {
		f := &n.fields[i]
		rest, ok := strings.CutPrefix(path, f.key)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && (best == nil || len(f.key) > len(best.key)) {
			best = f
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, strings.TrimPrefix(path[len(best.key):], ".")
}

// json writes the node as compact JSON, keys in the order of the file.
func (n *node) json() []byte {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes()
}

func (n *node) writeJSON(b *bytes.Buffer) {
	switch n.shape {
	case null:
		b.WriteString("null")
	case text:
		b.Write(quoteJSON(n.scalar))
	case number:
		if json.Valid([]byte(n.scalar)) {
			b.WriteString(n.scalar)
			return
		}
		b.Write(quoteJSON(n.scalar)) // .inf and other numbers that JSON lacks
	case boolean:
		b.WriteString(strings.ToLower(n.scalar))
	case list:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(quoteJSON(f.key))
			b.WriteByte(':')
			f.value.writeJSON(b)
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

// or returns the node, or another where it is nil.
func (n *node) or(other *node) *node {
	if n == nil {
		return other
	}
	return n
}

// under returns the node that a path leads to, or nil.
func (n *node) under(path string) *node {
	for path != "" && n != nil {
		var next *field
		if next, path = n.step(path); next == nil {
			return nil
		}
		n = next.value
	}
	return n
}
