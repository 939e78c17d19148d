package source

import (
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// overwrite returns the edits that put another value in place of a node.
func (f *File) overwrite(n *Node, v *decode.Node) (Edits, error) {
	edits, err := f.replace(n, v)
	if tags := f.tags(n); err == nil && tags.Length > 0 {
		tags.Length = min(tags.Length, edits[0].Offset-tags.Offset)
		edits = append(Edits{tags}, edits...)
	}
	return edits, err
}

// tags returns the edit that takes a tag away, which says what the old value is.
func (f *File) tags(n *Node) Edit {
	properties := string(f.Text[n.From:n.Body])
	at := strings.IndexByte(properties, '!')
	if at < 0 || strings.HasPrefix(properties, "&") && strings.ContainsAny(properties[at:], "&") {
		return Edit{}
	}
	length := strings.IndexAny(properties[at:]+" ", " \t\r\n")
	for n.From+at+length < n.Body && f.Text[n.From+at+length] == ' ' {
		length++
	}
	if strings.HasPrefix(properties, "&") && !strings.ContainsAny(properties[:at], " \t") {
		return Edit{} // it is a part of the anchor's name
	}
	return Edit{n.From + at, length, ""}
}

func (f *File) replace(n *Node, v *decode.Node) (Edits, error) {
	w := f.writerAt(n)
	inFlow := f.inFlow(n)
	switch {
	case n.Kind == Scalar && n.Body == n.To && n.Style == Plain:
		return f.fill(w, n, v, inFlow)
	case n.Kind == Scalar && v.Shape == decode.Text:
		return Edits{{n.Body, n.To - n.Body, f.lead(n) + f.scalarLike(w, n, v.Scalar, inFlow)}}, nil
	case inFlow, fits(v) && (n.Kind == Scalar || n.Style == Flow), n.Style == Flow && f.line(n.From) == f.line(n.To):
		return Edits{{n.Body, n.To - n.Body, f.lead(n) + w.inline(v, f.inFlow(n))}}, nil
	}
	after := f.afterMark(n)
	switch {
	case n.Parent == nil:
		return Edits{{n.Body, n.To - n.Body, w.inline(v, false)}}, nil
	case after < 0:
		return nil, f.layout(n.From)
	}
	return Edits{{after, n.To - after, w.block(v, f.entryIndent(n), f.hasKey(n))}}, nil
}

// lead returns the blanks that go before what is put in place of a scalar. Only a
// scalar in block style may begin in the column of its key, or left of it.
func (f *File) lead(n *Node) string {
	if n.Style != Literal && n.Style != Folded || n.Parent == nil || !f.ownLine(n.Body) {
		return ""
	}
	return strings.Repeat(" ", max(0, len(f.entryIndent(n))+1-f.column(n.Body)))
}

// fill writes a value where none is.
func (f *File) fill(w *writer, n *Node, v *decode.Node, inFlow bool) (Edits, error) {
	text := " " + w.inline(v, inFlow)
	if !inFlow {
		text = w.block(v, f.entryIndent(n), f.hasKey(n))
	}
	if after := f.afterMark(n); after < 0 && f.hasKey(n) {
		if e := entryOf(n); f.Text[e.From] == '?' || f.line(e.Key.From) != f.line(e.Key.To) {
			return nil, f.layout(n.From) // a colon behind it would be one inside of the key
		}
		text = ":" + text
	} else if n.Body > 0 && (f.Text[n.Body-1] == ' ' || f.Text[n.Body-1] == '[') {
		text = strings.TrimPrefix(text, " ")
	}
	return Edits{{n.Body, 0, text}}, nil
}

// inFlow reports whether the node stands in a list or an object in flow style.
func (f *File) inFlow(n *Node) bool {
	if f.JSON {
		return true
	}
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Style == Flow {
			return true
		}
	}
	return false
}

func (f *File) hasKey(n *Node) bool { return n.Parent != nil && n.Parent.Kind == Object }

// entryOf returns the entry of a node, which is in a list or an object.
func entryOf(n *Node) *Entry {
	return &n.Parent.Entries[slices.IndexFunc(n.Parent.Entries, func(e Entry) bool { return e.Value == n })]
}

// entryIndent returns what stands before the entry of a node.
func (f *File) entryIndent(n *Node) string {
	if n.Parent == nil {
		return ""
	}
	return f.indentOf(n.Parent)
}

// scalarLike writes a text in the style of a scalar.
func (f *File) scalarLike(w *writer, n *Node, s string, inFlow bool) string {
	if n.Style == Literal || n.Style == Folded {
		if text, ok := f.literal(n, s); ok {
			return text
		}
		return w.text(s, inFlow, Plain)
	}
	return w.text(s, inFlow, n.Style)
}

// literal writes a text of several lines as the node is written, which is in block
// style. It may not begin with a blank, nor have more than one line break at its
// end.
func (f *File) literal(n *Node, s string) (string, bool) {
	body := strings.TrimSuffix(s, "\n")
	first := strings.TrimLeft(body, "\n")
	odd := strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' && c != '\n' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 || c == 0x2029 || c == 0xfeff
	})
	if odd || first == "" || first[0] == ' ' || first[0] == '\t' || strings.HasSuffix(body, "\n") || !strings.Contains(s, "\n") {
		return "", false
	}
	old := strings.Split(string(f.Text[n.Body:n.To]), f.EOL)
	indent := f.entryIndent(n) + strings.Repeat(" ", f.Indent)
	for _, line := range old[1:] {
		if strings.TrimSpace(line) != "" {
			indent = line[:countSpaces([]byte(line))]
			break
		}
	}
	var b strings.Builder
	b.WriteString("|")
	if body == s {
		b.WriteString("-")
	}
	for line := range strings.SplitSeq(body, "\n") {
		b.WriteString(f.EOL)
		if line != "" {
			b.WriteString(indent + line)
		}
	}
	if body != s && n.To == len(f.Text) {
		b.WriteString(f.EOL) // there is no line break at the end of the file
	}
	return b.String(), true
}
