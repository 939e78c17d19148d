// Package source reads a YAML or JSON file into a tree that knows the bytes of
// everything: where values, keys, comments, anchors and aliases begin and end,
// and how they are written. Changes to the tree's values are returned as edits
// of the text, in the style of what stands around them, so that all else stays
// as its author wrote it.
package source

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// A File is a text with the tree of its values. Offsets count bytes from 0.
type File struct {
	Name string
	Text []byte
	// JSON says that the file is read as JSON values, not as YAML.
	JSON bool
	// Documents are the roots of the documents, empty ones included.
	Documents []*Node
	// Comments are in the order of the file.
	Comments []Comment
	// EOL is the line break of the file: that of its first line.
	EOL string
	// Indent is how many columns the file's own objects are indented; 2 where
	// nothing shows it.
	Indent int

	bom   int   // bytes before the first character
	lines []int // where lines begin
	ascii bool
	last  struct{ line, col, offset int } // the place looked up last
}

// A Comment runs from its # to the end of the line.
type Comment struct {
	From, To int
	// OwnLine says that nothing else stands in its line.
	OwnLine bool
}

// Kind says what a node is.
type Kind int

// The kinds of nodes.
const (
	Scalar Kind = iota
	List
	Object
	Alias
)

// Style says how a node is written.
type Style int

// The styles of collections and of scalars. Collections are Block or Flow.
const (
	Block Style = iota
	Flow
	Plain
	Single
	Double
	Literal
	Folded
)

// A Node is one value as it is written. An alias is a node of its own.
type Node struct {
	Kind  Kind
	Style Style
	// The node is Text[From:To]; the value itself, without anchor and tag, begins
	// at Body. A value that is left out is empty.
	From, Body, To int
	// Tag is the tag that YAML gives the value, such as !!str or !!int.
	Tag string
	// Anchor is the anchor's name, without &; of an alias, the name that it uses.
	Anchor string
	// Value is the text of a scalar, read.
	Value   string
	Entries []Entry
	// Target is what an alias stands for; Users are the aliases of a node.
	Target *Node
	Users  []*Node
	Parent *Node
	// pair marks an object in a flow list that has no braces: [a: b].
	pair bool
}

// An Entry is a key of an object with its value, or an item of a list, whose Key
// is nil.
type Entry struct {
	// From is where the entry begins: the dash, the key, or the item.
	From  int
	Key   *Node
	colon int // -1 without one
	Value *Node
}

// To is where the entry ends.
func (e *Entry) To() int {
	to := max(e.Value.To, e.colon+1)
	if e.Key != nil {
		to = max(to, e.Key.To)
	}
	return to
}

// IsMerge reports whether the entry merges other objects into its own.
func (e *Entry) IsMerge() bool { return e.Key != nil && e.Key.Tag == "!!merge" }

// IsNull reports whether the node is not a value.
func (n *Node) IsNull() bool { return n.Kind == Scalar && n.Tag == "!!null" }

// IsText reports whether the node is a scalar that is text.
func (n *Node) IsText() bool { return n.Kind == Scalar && n.Tag == "!!str" }

// Find returns the index of the entry with a key, or -1. Merged entries are not
// found.
func (n *Node) Find(key string) int {
	return slices.IndexFunc(n.Entries, func(e Entry) bool {
		return e.Key != nil && e.Key.Kind == Scalar && e.Key.Value == key && !e.IsMerge()
	})
}

// Get returns the value of a key that the object itself has, or nil.
func (n *Node) Get(key string) *Node {
	if i := n.Find(key); i >= 0 {
		return n.Entries[i].Value
	}
	return nil
}

// Merged returns the value that a key has by a merge, with the alias or object
// that it comes from. Both are nil without one.
func (n *Node) Merged(key string) (value, from *Node) {
	for i := range n.Entries {
		if !n.Entries[i].IsMerge() {
			continue
		}
		sources := []*Node{n.Entries[i].Value}
		if all := sources[0].Resolve(); all.Kind == List {
			sources = sources[:0]
			for _, e := range all.Entries {
				sources = append(sources, e.Value)
			}
		}
		for _, s := range sources {
			if v := s.Resolve().Get(key); v != nil {
				return v, s
			}
			if v, _ := s.Resolve().Merged(key); v != nil {
				return v, s
			}
		}
	}
	return nil, nil
}

// Resolve returns what an alias stands for; any other node stands for itself.
func (n *Node) Resolve() *Node {
	for n.Kind == Alias {
		n = n.Target
	}
	return n
}

// Raw returns the node as it is written.
func (f *File) Raw(n *Node) string { return string(f.Text[n.From:n.To]) }

const utf8BOM = "\xef\xbb\xbf"

// errAlien is the reason why a file cannot be spliced: its bytes are not what
// its values say, which a file that was read without mistakes never shows.
var errAlien = errors.New("its layout is not understood")

// A LayoutError says where a file cannot be spliced.
type LayoutError struct {
	File         string
	Line, Column int
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("%s:%d:%d: this place cannot be edited: %v; write it in a simpler way", e.File, e.Line, e.Column, errAlien)
}

// Unwrap makes errors.Is tell layout errors.
func (e *LayoutError) Unwrap() error { return errAlien }

// Parse reads a file that can be read without mistakes. The text is kept and must
// not be changed.
func Parse(name string, text []byte) (*File, error) {
	return Layout(name, text, nil)
}

// Layout is Parse of a file whose documents the YAML library has read: nodes are
// those of the text without its byte order mark. Nil means that they are not there.
func Layout(name string, text []byte, nodes []*yaml.Node) (*File, error) {
	f := &File{Name: name, Text: text, EOL: "\n", Indent: 2, ascii: true}
	if bytes.HasPrefix(text, []byte(utf8BOM)) {
		f.bom = len(utf8BOM)
	}
	for _, c := range text[f.bom:] {
		if c >= 0x80 {
			f.ascii = false
			break
		}
	}
	if at := bytes.IndexByte(text, '\n'); at > 0 && text[at-1] == '\r' {
		f.EOL = "\r\n"
	}
	f.JSON = isJSON(name, text[f.bom:])
	f.findLines()
	var err error
	if f.JSON {
		err = f.parseJSON()
	} else {
		err = f.parseYAML(nodes)
	}
	if err != nil {
		return nil, err
	}
	f.findIndent()
	return f, nil
}

// findIndent measures the first object in block style that is indented.
func (f *File) findIndent() {
	var find func(n *Node, column int) bool
	find = func(n *Node, column int) bool {
		if n.Kind == Object && n.Style == Block && len(n.Entries) > 0 {
			at := f.column(n.Entries[0].From)
			if column >= 0 && at > column && n.Parent.Kind == Object {
				f.Indent = at - column
				return true
			}
			column = at
		}
		return slices.ContainsFunc(n.Entries, func(e Entry) bool { return find(e.Value, column) })
	}
	for _, doc := range f.Documents {
		if find(doc, -1) {
			return
		}
	}
	if f.JSON && len(f.Documents) > 0 && len(f.Documents[0].Entries) > 0 {
		if e := f.Documents[0].Entries[0]; f.ownLine(e.From) && f.column(e.From) > 0 {
			f.Indent = f.column(e.From)
		}
	}
}
