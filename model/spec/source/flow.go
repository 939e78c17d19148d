package source

import (
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// This file changes lists and objects in flow style, in which commas separate
// what may stand in one line or in many.

// commaAfter returns the offset of the comma after an entry, or -1.
func (f *File) commaAfter(e *Entry) int {
	for at := e.To(); at < len(f.Text); at++ {
		switch c := f.Text[at]; {
		case c == ',':
			return at
		case c == '#':
			at = f.lineEnd(at) - 1
		case c == ' ' || c == '\t' || f.breakAt(at) > 0:
		default:
			return -1
		}
	}
	return -1
}

// withComment returns the end of a comment that follows in the line of an offset,
// or the offset.
func (f *File) withComment(offset int) int {
	if c, ok := f.commentAfter(offset); ok && f.line(c.From) == f.line(offset) && strings.Trim(string(f.Text[offset:c.From]), " \t") == "" {
		return c.To
	}
	return offset
}

func (f *File) changeFlow(n *Node, c Change) (edits Edits, err error) {
	w := f.writerAt(n)
	for i := 0; i < len(c.Insert); {
		end := i + 1
		before, _ := f.neighbours(n, c, c.Insert[i].Before)
		for ; end < len(c.Insert); end++ {
			if other, _ := f.neighbours(n, c, c.Insert[end].Before); other != before {
				break
			}
		}
		edits = append(edits, f.insertFlow(w, n, c, c.Insert[i:end], before)...)
		i = end
	}
	for first, last := range runs(n, c) {
		edits = append(edits, f.deleteFlow(n, first, last)...)
	}
	return edits, nil
}

// insertFlow inserts entries one after another behind the entry before, which is kept;
// -1 stands for the beginning.
func (f *File) insertFlow(w *writer, n *Node, c Change, all []Insertion, before int) Edits {
	if len(n.Entries) == 0 {
		return Edits{{n.Body + 1, 0, w.flowEntries(n, all, "", w.comma)}}
	}
	first := n.Entries[0].From
	if before < 0 {
		if indent, own := f.lineIndent(first); own {
			between := "," + f.EOL + indent
			return Edits{{first, 0, w.flowEntries(n, all, indent, between) + between}}
		}
		return Edits{{first, 0, w.flowEntries(n, all, "", w.comma) + w.comma}}
	}
	e := &n.Entries[before]
	comma := f.commaAfter(e)
	indent, own := "", false
	if before+1 < len(n.Entries) {
		indent, own = f.lineIndent(n.Entries[before+1].From)
	} else {
		indent, own = f.lineIndent(e.From)
		own = own && f.line(n.To-1) > f.line(e.To())
	}
	if !own {
		return Edits{{e.To(), 0, f.blankAfter(e) + w.comma + w.flowEntries(n, all, "", w.comma)}}
	}
	text := f.EOL + indent + w.flowEntries(n, all, indent, ","+f.EOL+indent)
	// Without an entry after it the comma is that of a style with one at the end.
	lastKept := true
	for i := before + 1; i < len(n.Entries); i++ {
		lastKept = lastKept && c.Delete[i]
	}
	ends := f.commaAfter(&n.Entries[len(n.Entries)-1]) >= 0
	if !lastKept || ends {
		return Edits{{f.lineEnd(comma), 0, text + ","}}
	}
	if comma < 0 {
		return Edits{{e.To(), 0, f.blankAfter(e) + ","}, {f.lineEnd(e.To()), 0, text}}
	}
	// The comma is deleted with the entries after it; put one in its place.
	return Edits{{e.To(), 0, f.blankAfter(e) + ","}, {f.lineEnd(comma), 0, text}}
}

// flowEntries writes new entries with a text between them.
func (w *writer) flowEntries(n *Node, all []Insertion, indent, between string) string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = w.flowEntry(n, one, indent)
	}
	return strings.Join(texts, between)
}

// blankAfter is what keeps an entry without a value apart from what is put behind it:
// in {a:,} the colon is read as part of the key. If it is that already, a blank would
// make it the end of the key.
func (f *File) blankAfter(e *Entry) string {
	if to := e.To(); e.colon >= 0 && e.Value.From == e.Value.To && f.Text[to-1] == ':' {
		return " "
	}
	return ""
}

// lineIndent returns what stands before an offset in its line, if that is blank.
func (f *File) lineIndent(offset int) (indent string, own bool) {
	if !f.ownLine(offset) {
		return "", false
	}
	return string(f.Text[f.lineStart(offset):offset]), true
}

// flowEntry writes a new entry; one on a line of its own follows siblings that
// take several lines.
func (w *writer) flowEntry(n *Node, one Insertion, indent string) string {
	text := w.inline(one.Value, true)
	for _, e := range n.Entries {
		if e.Value.Kind == Object && len(e.Value.Entries) > 0 && w.ownLine(e.Value.Entries[0].From) && indent != "" {
			text = w.flowLines(one.Value, indent)
			break
		}
	}
	if n.Kind == Object {
		return w.key(one.Key, true) + w.colon + text
	}
	return text
}

// flowLines writes an object one field a line.
func (w *writer) flowLines(v *decode.Node, indent string) string {
	if v.Shape != decode.Object || len(v.Fields) == 0 {
		return w.inline(v, true)
	}
	inner := indent + strings.Repeat(" ", w.Indent)
	fields := make([]string, len(v.Fields))
	for i, field := range v.Fields {
		fields[i] = inner + w.key(field.Key, true) + w.colon + w.inline(field.Value, true)
	}
	return "{" + w.EOL + strings.Join(fields, ","+w.EOL) + w.EOL + indent + "}"
}

// deleteFlow removes a run of entries, with commas and comments, where others
// stay.
func (f *File) deleteFlow(n *Node, first, last int) Edits {
	from, e := n.Entries[first].From, &n.Entries[last]
	own := f.ownLine(from)
	comma := f.commaAfter(e)
	if last+1 == len(n.Entries) {
		return f.deleteFlowTail(n, first, comma)
	}
	next := n.Entries[last+1].From
	switch {
	case own:
		to := next
		if c, ok := f.commentAfter(f.lineEnd(comma)); ok && c.OwnLine && c.From < next {
			to = c.From
		}
		from = f.withHead(from)
		return Edits{{from, to - from, ""}}
	case first == 0 && !f.ownLine(next):
		return Edits{{from, next - from, ""}}
	case first > 0:
		from = f.commaAfter(&n.Entries[first-1]) + 1
	}
	to := comma + 1
	if f.ownLine(next) {
		to = f.withComment(to)
	}
	return Edits{{from, to - from, ""}}
}

// deleteFlowTail removes the last entries. The entry before them becomes the last,
// with a comma if the last one had one.
func (f *File) deleteFlowTail(n *Node, first, comma int) Edits {
	e := &n.Entries[len(n.Entries)-1]
	to := f.withComment(max(e.To(), comma+1))
	before := f.commaAfter(&n.Entries[first-1])
	from := n.Entries[first].From
	if !f.ownLine(from) {
		if comma < 0 {
			return Edits{{before, to - before, ""}}
		}
		return Edits{{before + 1, to - before - 1, ""}}
	}
	start := f.lineEnd(f.lines[f.line(f.withHead(from))-1])
	edits := Edits{{start, to - start, ""}}
	if comma < 0 {
		if before >= start { // the comma stands in a line of the deleted ones
			end := n.Entries[first-1].To()
			return Edits{{end, to - end, f.blankAfter(&n.Entries[first-1])}}
		}
		edits = append(edits, Edit{before, 1, ""})
	}
	return edits
}
