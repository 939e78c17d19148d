package source

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// breakAt returns how many bytes the line break at an offset has, 0 where there is
// none. YAML knows more of them than JSON.
func (f *File) breakAt(i int) int {
	if i >= len(f.Text) {
		return 0
	}
	switch c := f.Text[i]; {
	case c == '\n':
		return 1
	case f.JSON || c != '\r' && c < 0x80:
		return 0
	case c == '\r':
		if i+1 < len(f.Text) && f.Text[i+1] == '\n' {
			return 2
		}
		return 1
	case c == 0xc2 && i+1 < len(f.Text) && f.Text[i+1] == 0x85:
		return 2
	case c == 0xe2 && i+2 < len(f.Text) && f.Text[i+1] == 0x80 && (f.Text[i+2] == 0xa8 || f.Text[i+2] == 0xa9):
		return 3
	}
	return 0
}

func (f *File) findLines() {
	f.lines = []int{f.bom}
	for i := f.bom; i < len(f.Text); {
		n := f.breakAt(i)
		if i += max(n, 1); n > 0 {
			f.lines = append(f.lines, i)
		}
	}
}

// line returns the index of the line that an offset is in, from 0.
func (f *File) line(offset int) int {
	return max(sort.SearchInts(f.lines, offset+1)-1, 0)
}

// lineStart returns where the line of an offset begins.
func (f *File) lineStart(offset int) int { return f.lines[f.line(offset)] }

// lineEnd returns where the line of an offset ends, before its line break.
func (f *File) lineEnd(offset int) int {
	l := f.line(offset)
	if l+1 >= len(f.lines) {
		return len(f.Text)
	}
	end := f.lines[l+1]
	for n := 1; n <= 3; n++ {
		if end-n >= f.lines[l] && f.breakAt(end-n) == n {
			if n == 1 && end-2 >= f.lines[l] && f.breakAt(end-2) == 2 {
				continue
			}
			return end - n
		}
	}
	return end
}

// nextLine returns where the line after that of an offset begins, or the end of
// the file.
func (f *File) nextLine(offset int) int {
	if l := f.line(offset); l+1 < len(f.lines) {
		return f.lines[l+1]
	}
	return len(f.Text)
}

// column counts the characters before an offset in its line.
func (f *File) column(offset int) int {
	start := f.lineStart(offset)
	if f.ascii {
		return offset - start
	}
	return utf8.RuneCount(f.Text[start:offset])
}

// ownLine reports whether nothing stands before an offset in its line.
func (f *File) ownLine(offset int) bool {
	return len(strings.Trim(string(f.Text[f.lineStart(offset):offset]), " \t")) == 0
}

// Position returns the line and column of an offset, counted from 1, as the
// mistakes of the decoder have them.
func (f *File) Position(offset int) (line, column int) {
	return f.line(offset) + 1, f.column(offset) + 1
}

// Offset is Position in reverse. A place outside of the file is taken to its
// nearest end.
func (f *File) Offset(line, column int) int {
	if line < 1 {
		return f.bom
	}
	if line > len(f.lines) {
		return len(f.Text)
	}
	start := f.lines[line-1]
	if f.ascii {
		return min(start+max(column, 1)-1, len(f.Text))
	}
	at, col := start, 1
	// Places are mostly looked up in the order of the file.
	if f.last.line == line && f.last.col <= column {
		at, col = f.last.offset, f.last.col
	}
	for ; col < column && at < len(f.Text); col++ {
		_, size := utf8.DecodeRune(f.Text[at:])
		at += size
	}
	f.last.line, f.last.col, f.last.offset = line, col, at
	return at
}

// Place prints file:line:column of an offset.
func (f *File) Place(offset int) string {
	line, column := f.Position(offset)
	return fmt.Sprintf("%s:%d:%d", f.Name, line, column)
}

// At returns the node that a mistake's line and column mean: the value there, or
// the value of the key there. Where none begins, it is the innermost around the
// place; nil where no document is.
func (f *File) At(line, column int) *Node {
	offset := f.Offset(line, column)
	for _, doc := range f.Documents {
		if offset >= doc.From && offset <= doc.To {
			return doc.at(offset)
		}
	}
	return nil
}

func (n *Node) at(offset int) *Node {
	i := sort.Search(len(n.Entries), func(i int) bool { return n.Entries[i].From > offset }) - 1
	if i < 0 || offset > n.Entries[i].To() || offset == n.From && n.Style == Flow {
		return n
	}
	e := &n.Entries[i]
	if offset < e.Value.From || e.Key != nil && offset <= e.Key.To {
		return e.Value
	}
	return e.Value.at(offset)
}

// Path returns the way to the node from the root of its document, as mistakes
// have it: services[2].calls[0].
func (n *Node) Path() string {
	if n.Parent == nil {
		return ""
	}
	for i := range n.Parent.Entries {
		if e := &n.Parent.Entries[i]; e.Value == n {
			if e.Key == nil {
				return problem.Index(n.Parent.Path(), i)
			}
			return problem.Join(n.Parent.Path(), e.Key.Value)
		}
	}
	return n.Parent.Path()
}

// Place returns where mistakes about the node are shown: at its key if it is a
// list or an object, else at the value.
func (n *Node) Place() int {
	if n.Parent != nil && n.Kind != Scalar {
		for i := range n.Parent.Entries {
			if e := &n.Parent.Entries[i]; e.Value == n && e.Key != nil {
				return e.Key.From
			}
		}
	}
	return n.From
}
