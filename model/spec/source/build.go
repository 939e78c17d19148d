package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// A builder walks through the text along the nodes of the YAML library, which
// know where they begin. Every byte must be one that the nodes let expect.
type builder struct {
	*File
	at    int // what lies before is understood
	nodes map[*yaml.Node]*Node
	err   error
}

func (f *File) parseYAML(docs []*yaml.Node) (err error) {
	if docs == nil {
		if docs, err = f.readYAML(); err != nil {
			return err
		}
	}
	b := &builder{File: f, at: f.bom}
	for _, doc := range docs {
		b.nodes = map[*yaml.Node]*Node{}
		b.head()
		root := &Node{From: b.at, Body: b.at, To: b.at, Style: Plain, Tag: "!!null"}
		if len(doc.Content) > 0 {
			root = b.node(doc.Content[0], nil, -1)
		}
		if b.err != nil {
			return b.err
		}
		f.Documents = append(f.Documents, root)
	}
	b.head()
	if b.err == nil && b.at < len(f.Text) {
		b.fail()
	}
	return b.err
}

// readYAML reads the documents with the YAML library.
func (f *File) readYAML() (docs []*yaml.Node, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(decode.AsYAML11(f.Text[f.bom:])))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading %q: %w", f.Name, err)
		}
		docs = append(docs, &doc)
	}
}

func (b *builder) fail() {
	if b.err == nil {
		line, column := b.Position(b.at)
		b.err = &LayoutError{File: b.Name, Line: line, Column: column}
	}
}

// head skips what stands before a document: comments, directives and markers.
func (b *builder) head() {
	for b.trivia(); b.at < len(b.Text); b.trivia() {
		if b.at != b.lineStart(b.at) {
			return
		}
		rest := b.Text[b.at:]
		switch {
		case rest[0] == '%':
			b.at = b.lineEnd(b.at)
		case marker(rest, "---"), marker(rest, "..."):
			b.at += 3
		default:
			return
		}
	}
}

func marker(text []byte, mark string) bool {
	return bytes.HasPrefix(text, []byte(mark)) && (len(text) == 3 || bytes.IndexByte([]byte(" \t\r\n"), text[3]) >= 0)
}

// trivia skips white space, line breaks and comments.
func (b *builder) trivia() {
	for b.at < len(b.Text) {
		switch c := b.Text[b.at]; {
		case c == ' ' || c == '\t':
			b.at++
		case c == '#' && b.commentAt(b.at):
			end := b.lineEnd(b.at)
			if n := len(b.Comments); n == 0 || b.Comments[n-1].From < b.at {
				b.Comments = append(b.Comments, Comment{From: b.at, To: end, OwnLine: b.ownLine(b.at)})
			}
			b.at = end
		default:
			n := b.breakAt(b.at)
			if n == 0 {
				return
			}
			b.at += n
		}
	}
}

func (f *File) commentAt(i int) bool {
	return i == f.lineStart(i) || f.Text[i-1] == ' ' || f.Text[i-1] == '\t'
}

// take skips trivia and an indicator, and reports whether it was there.
func (b *builder) take(c byte) bool {
	before := b.at
	b.trivia()
	if b.at < len(b.Text) && b.Text[b.at] == c {
		b.at++
		return true
	}
	b.at = before
	return false
}

// empty reports whether a value is left out.
func empty(y *yaml.Node) bool {
	const written = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return y.Kind == yaml.ScalarNode && y.Value == "" && y.Style&written == 0
}

// node makes the node of a value; indent is the column of the list or object in
// block style that it is in, -1 outside of any.
func (b *builder) node(y *yaml.Node, parent *Node, indent int) *Node {
	n := &Node{Parent: parent, Tag: y.Tag, Anchor: y.Anchor, Value: y.Value, Style: Plain}
	b.nodes[y] = n
	properties := y.Anchor != "" || y.Style&yaml.TaggedStyle != 0
	if !empty(y) || properties {
		b.trivia()
	}
	n.From = b.at
	if start := b.Offset(y.Line, y.Column); !empty(y) && start != n.From && y.Kind != yaml.MappingNode {
		b.fail()
	}
	if properties {
		b.properties(empty(y))
	}
	n.Body = b.at
	if b.err != nil {
		n.To = b.at
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		b.alias(n, y)
	case yaml.ScalarNode:
		b.scalar(n, y, indent)
	case yaml.SequenceNode:
		n.Kind = List
		b.collection(n, y, indent, '[', ']')
	case yaml.MappingNode:
		n.Kind = Object
		b.collection(n, y, indent, '{', '}')
	default:
		b.fail()
	}
	n.To = b.at
	return n
}

// properties skips an anchor and a tag, and what stands before the value.
func (b *builder) properties(nothing bool) {
	for b.at < len(b.Text) && (b.Text[b.at] == '&' || b.Text[b.at] == '!') {
		verbatim := bytes.HasPrefix(b.Text[b.at:], []byte("!<"))
		for b.at++; b.at < len(b.Text) && b.breakAt(b.at) == 0; b.at++ {
			c := b.Text[b.at]
			if c == ' ' || c == '\t' || !verbatim && bytes.IndexByte([]byte(",[]{}"), c) >= 0 {
				break
			}
		}
		before := b.at
		b.trivia()
		if nothing && (b.at >= len(b.Text) || b.Text[b.at] != '&' && b.Text[b.at] != '!') {
			b.at = before
			return
		}
	}
}

func (b *builder) alias(n *Node, y *yaml.Node) {
	n.Kind, n.Anchor, n.Target = Alias, y.Value, b.nodes[y.Alias]
	mark := "*" + y.Value
	if n.Target == nil || !bytes.HasPrefix(b.Text[b.at:], []byte(mark)) {
		b.fail()
		return
	}
	n.Target.Users = append(n.Target.Users, n)
	b.at += len(mark)
}

func (b *builder) collection(n *Node, y *yaml.Node, indent int, open, closing byte) {
	if y.Style&yaml.FlowStyle != 0 {
		n.Style = Flow
		// An object of one key in a flow list needs no braces.
		n.pair = n.Kind == Object && (b.at >= len(b.Text) || b.Text[b.at] != open || len(y.Content) > 0 && y.Content[0].Line == y.Line && y.Content[0].Column == y.Column)
		if !n.pair && !b.take(open) {
			b.fail()
			return
		}
	} else {
		n.Style = Block
		b.trivia()
		indent = b.column(b.at)
	}
	step := 1
	if n.Kind == Object {
		step = 2
	}
	for i := 0; i+step <= len(y.Content) && b.err == nil; i += step {
		if i > 0 && n.Style == Flow && !b.take(',') {
			b.fail()
			return
		}
		if n.Kind == List {
			b.item(n, y.Content[i], indent)
		} else {
			b.entry(n, y.Content[i], y.Content[i+1], indent)
		}
	}
	if n.Style == Flow && !n.pair && b.err == nil {
		b.take(',')
		if !b.take(closing) {
			b.fail()
		}
	}
}

func (b *builder) item(n *Node, y *yaml.Node, indent int) {
	b.trivia()
	e := Entry{From: b.at, colon: -1}
	if n.Style == Block && !b.take('-') {
		b.fail()
		return
	}
	e.Value = b.node(y, n, indent)
	n.Entries = append(n.Entries, e)
}

func (b *builder) entry(n *Node, key, value *yaml.Node, indent int) {
	b.trivia()
	e := Entry{From: b.at, colon: -1}
	if !empty(key) && b.Offset(key.Line, key.Column) != b.at && !b.take('?') {
		b.fail()
		return
	}
	e.Key = b.node(key, n, indent)
	if b.take(':') {
		e.colon = b.at - 1
	} else if !empty(value) {
		b.fail()
		return
	}
	e.Value = b.node(value, n, indent)
	n.Entries = append(n.Entries, e)
}
