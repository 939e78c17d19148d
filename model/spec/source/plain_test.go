package source

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plain reports whether a file is in the subset that is never refused; Draft describes
// it.
func plain(f *File) bool {
	odd := regexp.MustCompile(`\t|\r[^\n]|\r$|[\x{85}\x{2028}\x{2029}]|(?m)^%|^---.|^\.\.\..`)
	if f.JSON || odd.Match(bytes.ReplaceAll(f.Text, []byte("---\r\n"), []byte("---\n"))) || f.EOL == "\n" && bytes.Contains(f.Text, []byte("\r")) {
		return false
	}
	return !slices.ContainsFunc(f.Documents, func(root *Node) bool {
		return !root.IsNull() && !f.ownLine(root.From) || !f.plainNode(root)
	})
}

var plainKey = regexp.MustCompile(`^[\w./-]+$`)

func (f *File) plainNode(n *Node) bool {
	switch {
	case n.Anchor != "" || n.Kind == Alias || n.Body > n.From:
		return false
	case n.Style == Flow && len(n.Entries) > 0:
		return false
	case n.Kind == Scalar && n.Style != Literal && f.line(n.From) != f.line(n.To), n.Style == Folded:
		return false
	}
	return !slices.ContainsFunc(n.Entries, func(e Entry) bool {
		key := e.Key == nil || e.Key.IsText() && e.Key.Style == Plain && f.Text[e.From] != '?' && e.colon == e.Key.To &&
			plainKey.MatchString(e.Key.Value) && f.plainNode(e.Key)
		return !key || !f.plainNode(e.Value)
	})
}

// A plainWriter writes a random plain file.
type plainWriter struct {
	*rand.Rand
	strings.Builder
	indent int
	dashes bool // indented below their key
}

func plainText(r *rand.Rand) string {
	w := &plainWriter{Rand: r, indent: 1 + r.IntN(4), dashes: r.IntN(2) == 0}
	for i := range 1 + r.IntN(2) {
		if i > 0 {
			w.WriteString("---\n")
		}
		w.comments(0)
		if w.IntN(3) == 0 {
			w.list(0, 0)
		} else {
			w.object(0, 0, false)
		}
	}
	text := w.String()
	if r.IntN(4) == 0 {
		text = strings.TrimSuffix(text, "\n")
	}
	if r.IntN(4) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func (w *plainWriter) pad(column int) { w.WriteString(strings.Repeat(" ", column)) }

// comments writes lines that say nothing: at times blank ones, at times comments.
func (w *plainWriter) comments(column int) {
	for w.IntN(5) == 0 {
		if w.IntN(2) == 0 {
			w.pad(column)
			w.WriteString("# comment")
		}
		w.WriteString("\n")
	}
}

func (w *plainWriter) object(column, depth int, first bool) {
	for i, key := range []string{"name", "a", "b-c", "d.e", "to"}[:1+w.IntN(5)] {
		if i > 0 || !first {
			w.comments(column)
			w.pad(column)
		}
		w.WriteString(key + ":")
		w.value(column, depth, true)
	}
}

func (w *plainWriter) list(column, depth int) {
	for range 1 + w.IntN(4) {
		w.comments(column)
		w.pad(column)
		w.WriteString("-")
		w.value(column, depth, false)
	}
}

// value writes a value after a key or a dash, and the end of its line.
func (w *plainWriter) value(column, depth int, key bool) {
	switch kind := w.IntN(10); {
	case kind < 2 && depth < 3 && key:
		w.end()
		w.object(column+w.indent, depth+1, false)
	case kind < 3 && depth < 3 && !key:
		w.WriteString(" ")
		w.object(column+2, depth+1, true)
	case kind < 4 && depth < 3 && key:
		w.end()
		if w.dashes {
			column += w.indent
		}
		w.list(column, depth+1)
	case kind < 5 && depth < 3 && !key:
		w.end()
		w.list(column+w.indent, depth+1)
	case kind == 5:
		w.WriteString(" |" + []string{"", "-", "+"}[w.IntN(3)] + "\n")
		for range 1 + w.IntN(3) {
			w.pad(column + w.indent)
			w.WriteString([]string{"text\n", "# none\n", "- a\n", "more: text\n"}[w.IntN(4)])
		}
	default:
		w.WriteString([]string{" x", " 'it''s'", ` "q\n"`, " 12", " true", " null", "", " {}", " []", " a b", " 10ms", " p99 < 1s", " x#y", " ''"}[w.IntN(14)])
		w.end()
	}
}

func (w *plainWriter) end() {
	w.WriteString([]string{"\n", "\n", "\n", " # beside\n", "\n\n"}[w.IntN(5)])
}

// TestPlainFilesAreNotRefused changes random files of the plain subset.
func TestPlainFilesAreNotRefused(t *testing.T) {
	made := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 3))
		text := []byte(plainText(r))
		f, err := Parse("plain.yaml", text)
		if err != nil || !plain(f) {
			t.Fatalf("seed %d: not plain: %v\n%s", seed, err, text)
		}
		for range 5 {
			ok, err := changeAtRandom(r, fmt.Sprintf("plain%d.yaml", seed), text)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				made++
			}
		}
	}
	if made < 4000 {
		t.Errorf("only %d changes were made", made)
	}
}
