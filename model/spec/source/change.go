package source

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// A Change says what becomes of the entries of a list or an object.
type Change struct {
	// Delete has the indexes of the entries that go, with their comments.
	Delete map[int]bool
	// Insert lists what is new, in its order.
	Insert []Insertion
}

// An Insertion is a new entry before the entry of an index, or after the last.
type Insertion struct {
	Before int
	// Key is the key in an object.
	Key   string
	Value *decode.Node
}

// rearrange returns the edits of several changes of one list or object.
func (f *File) rearrange(n *Node, c Change) (Edits, error) {
	kept := 0
	for _, one := range c.Insert {
		if i := n.Find(one.Key); n.Kind == Object && i >= 0 && !c.Delete[i] {
			return nil, f.layout(n.Entries[i].From) // a key cannot be given twice
		}
	}
	for i := range n.Entries {
		if !c.Delete[i] {
			kept++
		}
	}
	switch {
	case n.Kind != List && n.Kind != Object || n.pair || n.Style == Block && len(n.Entries) == 0:
		return nil, f.layout(n.From)
	case len(c.Delete) == 0 && len(c.Insert) == 0:
		return nil, nil
	case kept == 0 && len(n.Entries) > 0:
		return f.exchange(n, c)
	case n.Style == Flow:
		return f.changeFlow(n, c)
	}
	return f.changeBlock(n, c)
}

func (f *File) layout(offset int) error {
	line, column := f.Position(offset)
	return &LayoutError{File: f.Name, Line: line, Column: column}
}

// exchange puts other entries, or none, in place of all.
func (f *File) exchange(n *Node, c Change) (Edits, error) {
	v := &decode.Node{Shape: decode.List}
	if n.Kind == Object {
		v.Shape = decode.Object
	}
	for _, one := range c.Insert {
		if n.Kind == Object {
			v.Set(one.Key, one.Value)
		} else {
			v.Items = append(v.Items, one.Value)
		}
	}
	if len(c.Insert) > 0 || n.Style == Flow || !f.ownLine(n.Entries[0].From) || n.Parent == nil || n.Body > n.From && n.Body != n.Entries[0].From {
		return f.overwrite(n, v)
	}
	// The comment beside the key stays.
	after := f.afterMark(n)
	if after < 0 {
		return f.overwrite(n, v)
	}
	from, to := f.entryLines(n, 0, len(n.Entries)-1)
	return Edits{{after, 0, " " + f.writerAt(n).inline(v, false)}, {from, to - from, ""}}, nil
}

// afterMark returns the offset after the colon or dash, and the properties, that
// a node stands behind; -1 if it stands behind none.
func (f *File) afterMark(n *Node) int {
	if n.Parent == nil {
		return -1
	}
	for i := range n.Parent.Entries {
		e := &n.Parent.Entries[i]
		switch {
		case e.Value != n:
		case n.Body > n.From:
			return n.From + len(strings.TrimRight(string(f.Text[n.From:n.Body]), " \t\r\n"))
		case e.colon >= 0:
			return e.colon + 1
		case e.Key == nil && n.Parent.Style == Block:
			return e.From + 1
		}
	}
	return -1
}

// commentAbove returns the comment that fills the line before that of an offset,
// in the column of the offset.
func (f *File) commentAbove(offset int, column int) (from int, ok bool) {
	l := f.line(offset)
	if l == 0 {
		return 0, false
	}
	i := sort.Search(len(f.Comments), func(i int) bool { return f.Comments[i].From >= f.lines[l] }) - 1
	if i < 0 || !f.Comments[i].OwnLine || f.Comments[i].From < f.lines[l-1] || f.column(f.Comments[i].From) != column {
		return 0, false
	}
	return f.Comments[i].From, true
}

// commentAfter returns the first comment that begins at an offset or after it.
func (f *File) commentAfter(offset int) (Comment, bool) {
	i := sort.Search(len(f.Comments), func(i int) bool { return f.Comments[i].From >= offset })
	if i == len(f.Comments) {
		return Comment{}, false
	}
	return f.Comments[i], true
}

// withHead returns where an entry begins with the comments right above it.
func (f *File) withHead(from int) int {
	column := f.column(from)
	if !f.ownLine(from) {
		return from
	}
	for {
		above, ok := f.commentAbove(from, column)
		if !ok {
			return from
		}
		from = above
	}
}

// foot returns the end of the last line of an entry, with the comments below that
// are indented further.
func (f *File) foot(e *Entry) int {
	end, column := f.lineEnd(e.To()), f.column(e.From)
	for {
		c, ok := f.commentAfter(end)
		if !ok || !c.OwnLine || f.lineStart(c.From) != f.nextLine(end) || f.column(c.From) <= column {
			return end
		}
		end = c.To
	}
}

func (f *File) blank(lineStart int) bool {
	return lineStart < len(f.Text) && len(strings.Trim(string(f.Text[lineStart:f.lineEnd(lineStart)]), " \t")) == 0
}

// entryLines returns the lines of a run of entries in block style, with their comments
// and the blank lines that would be left over.
func (f *File) entryLines(n *Node, first, last int) (from, to int) {
	from = f.lineStart(f.withHead(n.Entries[first].From))
	end := f.foot(&n.Entries[last])
	to = f.nextLine(end)
	if to == from || to <= end && end < len(f.Text) {
		to = len(f.Text)
	}
	if first > 0 && f.keepsBreaks(&n.Entries[first-1]) {
		for f.blank(to) { // these would be lines of the text before
			end = f.lineEnd(to)
			to = f.nextLine(to)
		}
	}
	floor := f.bom
	if first > 0 {
		floor = f.nextLine(n.Entries[first-1].To())
	} else if n.Parent != nil {
		floor = f.nextLine(max(f.afterMark(n), f.bom))
	}
	atEnd := to >= len(f.Text)
	if atEnd || f.blank(to) {
		up := from
		for up > floor && f.line(up) > 0 && f.blank(f.lines[f.line(up)-1]) && f.lines[f.line(up)-1] >= floor {
			up = f.lines[f.line(up)-1]
		}
		from = up
	}
	if last+1 == len(n.Entries) && f.line(from) > 0 && !(end == len(f.Text) && first > 0 && endsInBlock(&n.Entries[first-1]) != nil) {
		// The line break before it goes in place of that after it: something may
		// come after the end of the line, which is the end of n, too.
		return f.lineEnd(f.lines[f.line(from)-1]), end
	}
	if first == 0 && last+1 < len(n.Entries) && from == f.lineStart(f.withHead(n.Entries[first].From)) {
		for f.blank(to) && to < n.Entries[last+1].From {
			to = f.nextLine(to)
		}
	}
	return from, to
}

// indentOf returns what stands before the entries of a list or an object.
func (f *File) indentOf(n *Node) string {
	from := n.Entries[0].From
	if f.ownLine(from) {
		return string(f.Text[f.lineStart(from):from])
	}
	return strings.Repeat(" ", f.column(from))
}

func (f *File) changeBlock(n *Node, c Change) (edits Edits, err error) {
	indent := f.indentOf(n)
	w := f.writerAt(n)
	gap := ""
	if k := len(n.Entries); k > 1 && f.blank(f.lines[f.line(f.withHead(n.Entries[k-1].From))-1]) {
		gap = f.EOL // entries stand apart
	}
	for _, one := range c.Insert {
		text := w.entry(n, one, indent)
		before, after := f.neighbours(n, c, one.Before)
		first := n.Entries[0].From
		switch {
		case before >= 0:
			foot := f.foot(&n.Entries[before])
			edits = append(edits, f.strip(&n.Entries[before], foot)...)
			apart := gap
			if f.keepsBreaks(&n.Entries[before]) {
				apart = "" // a blank line would be one of the text
			}
			edits = append(edits, Edit{foot, 0, f.EOL + apart + indent + text})
		case f.ownLine(first):
			edits = append(edits, Edit{f.lineStart(f.withHead(n.Entries[after].From)), 0, indent + text + f.EOL + gap})
		default:
			edits = append(edits, Edit{first, 0, text + f.EOL + gap + indent})
		}
	}
	for first, last := range runs(n, c) {
		from, to := 0, 0
		if at := n.Entries[first].From; f.ownLine(at) {
			from, to = f.entryLines(n, first, last)
		} else if first == 0 {
			from, to = at, n.Entries[last+1].From
			if above := f.withHead(to); above > f.foot(&n.Entries[last]) {
				to = above
			}
		} else {
			return nil, f.layout(at)
		}
		edits = append(edits, Edit{from, to - from, ""})
	}
	return edits, nil
}

// endsInBlock returns the scalar in block style that an entry ends with, or nil.
func endsInBlock(e *Entry) *Node {
	n := e.Value
	for n.Style == Block && len(n.Entries) > 0 {
		n = n.Entries[len(n.Entries)-1].Value
	}
	if n.Style != Literal && n.Style != Folded {
		return nil
	}
	return n
}

// keepsBreaks reports whether an entry ends with a scalar to which the line breaks
// behind it belong.
func (f *File) keepsBreaks(e *Entry) bool {
	n := endsInBlock(e)
	if n == nil {
		return false
	}
	header := f.Text[n.Body:f.lineEnd(n.Body)]
	if comment := bytes.IndexByte(header, ' '); comment >= 0 {
		header = header[:comment]
	}
	return bytes.IndexByte(header, '+') >= 0
}

// strip keeps the value of a scalar in block style at the end of a file without a
// line break as it is, when something follows it: a line break would belong to it.
func (f *File) strip(e *Entry, foot int) Edits {
	n := endsInBlock(e)
	if n == nil || foot < len(f.Text) {
		return nil
	}
	header := n.Body + 1
	for ; header < len(f.Text) && bytes.IndexByte([]byte("0123456789"), f.Text[header]) >= 0; header++ {
	}
	switch {
	case header == len(f.Text), f.Text[header] == '-':
		return nil
	case f.Text[header] == '+':
		return Edits{{header, 1, "-"}}
	}
	return Edits{{header, 0, "-"}}
}

// neighbours returns the kept entries before and after a place, -1 for none.
func (f *File) neighbours(n *Node, c Change, place int) (before, after int) {
	for before = place - 1; before >= 0 && c.Delete[before]; before-- {
	}
	for after = place; after < len(n.Entries) && c.Delete[after]; after++ {
	}
	if after == len(n.Entries) {
		after = -1
	}
	return before, after
}

// runs visits the stretches of entries that are deleted.
func runs(n *Node, c Change) func(yield func(first, last int) bool) {
	return func(yield func(first, last int) bool) {
		for i := 0; i < len(n.Entries); i++ {
			if !c.Delete[i] {
				continue
			}
			first := i
			for i+1 < len(n.Entries) && c.Delete[i+1] {
				i++
			}
			if !yield(first, i) {
				return
			}
		}
	}
}

// entry writes a new entry of a node in block style. Objects in a list follow
// their sibling's style.
func (w *writer) entry(n *Node, one Insertion, indent string) string {
	if n.Kind == Object {
		return w.key(one.Key, false) + ":" + w.block(one.Value, indent, true)
	}
	at := slices.IndexFunc(n.Entries, func(e Entry) bool { return e.Value.Kind == Object })
	if at >= 0 && one.Value.Shape == decode.Object && len(one.Value.Fields) > 0 {
		if n.Entries[at].Value.Style == Flow {
			return "- " + w.inline(one.Value, false)
		}
		return "-" + w.blockObject(one.Value, indent, false)
	}
	return "-" + w.block(one.Value, indent, false)
}
