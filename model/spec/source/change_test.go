package source

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// TestRandomChanges changes random lists, objects and values of all files. What
// the decoder reads afterwards must be what it read before with the same change,
// and the way back must lead to the same bytes.
func TestRandomChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	var made, refused int
	for _, path := range corpus(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 20_000 {
			continue
		}
		rounds := 8
		if strings.Contains(path, filepath.FromSlash("testdata/edit/")) || strings.Contains(path, filepath.FromSlash("source/testdata/")) {
			rounds = 200
		}
		for range rounds {
			switch ok, err := changeAtRandom(r, path, text); {
			case err != nil:
				t.Error(err)
			case ok:
				made++
			default:
				refused++
			}
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("made %d refused %d", made, refused)
	if made < 3000 || refused > made {
		t.Errorf("%d changes were made and %d refused", made, refused)
	}
}

// FuzzChange makes a change in a file of any content: it may be refused, but what
// is made must be what was wanted.
func FuzzChange(f *testing.F) {
	for i, path := range corpus(f) {
		if text, err := os.ReadFile(path); err == nil && len(text) < 2000 {
			f.Add(text, uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if _, err := changeAtRandom(rand.New(rand.NewPCG(seed, 2)), "fuzz.yaml", text); err != nil {
			t.Error(err)
		}
	})
}

// read reads the documents with the decoder; nil if it finds mistakes.
func read(name string, text []byte) []*decode.Node {
	f := &decode.File{Name: name}
	docs := f.Parse(text)
	if len(f.Mistakes) > 0 {
		return nil
	}
	return docs
}

// changeAtRandom reports whether a change was made; it was refused if not. The
// error says that a change did something else.
func changeAtRandom(r *rand.Rand, name string, text []byte) (made bool, err error) {
	docs := read(name, text)
	if len(docs) == 0 {
		return false, nil
	}
	f, err := Parse(name, text)
	if errors.As(err, new(*LayoutError)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: the decoder reads it, but: %w", name, err)
	}
	var nodes []*Node
	var doc int // the index among documents that are not empty
	var collect func(n *Node)
	collect = func(n *Node) {
		nodes = append(nodes, n)
		for _, e := range n.Entries {
			collect(e.Value)
		}
	}
	var indexes []int
	for _, root := range f.Documents {
		if root.Resolve().IsNull() {
			continue
		}
		before := len(nodes)
		collect(root)
		for range len(nodes) - before {
			indexes = append(indexes, doc)
		}
		doc++
	}
	at := r.IntN(len(nodes))
	if indexes[at] >= len(docs) {
		return false, fmt.Errorf("%s: %d documents are read, not %d", name, doc, len(docs))
	}
	edits, want, err := randomChange(r, f, nodes[at])
	if err != nil || want == nil {
		return false, nil //nolint:nilerr // refused
	}
	after, err := edits.Apply(text)
	if err != nil {
		return false, fmt.Errorf("%s: changing %s: %w", name, nodes[at].Path(), err)
	}
	if back, err := edits.Invert(text).Apply(after); err != nil || !bytes.Equal(back, text) {
		return false, fmt.Errorf("%s: the inverse of %v does not lead back: %w", name, edits, err)
	}
	target := docs[indexes[at]].Under(nodes[at].Path())
	if target == nil || belowEmptyKey(nodes[at]) {
		return false, nil // the value of a merge, which is elsewhere; or its path is that of another
	}
	want(target)
	got := read(name, after)
	for i := range docs {
		if len(got) != len(docs) || !equal(got[i], docs[i]) {
			return false, fmt.Errorf("%s: after %q at %s the file is\n%s\nnot\n%s", name, fmt.Sprint(edits), nodes[at].Path(), after, docs[i].JSON())
		}
	}
	return true, nil
}

// belowEmptyKey reports whether a key on the way to a node is empty, of which paths
// show nothing.
func belowEmptyKey(n *Node) bool {
	for ; n.Parent != nil; n = n.Parent {
		for i := range n.Parent.Entries {
			if e := &n.Parent.Entries[i]; e.Value == n && e.Key != nil && e.Key.Value == "" {
				return true
			}
		}
	}
	return false
}

func word(s string) *decode.Node { return &decode.Node{Shape: decode.Text, Scalar: s} }

func number(s string) *decode.Node { return &decode.Node{Shape: decode.Number, Scalar: s} }

// randomValue makes a value that is new to the file.
func randomValue(r *rand.Rand, depth int) *decode.Node {
	texts := []string{"cart", "a: b", "yes", "12", "x # y", "it's", `"q"`, "", "web->cart/items", "p99 < 300ms", "a, b", "{id}", "[", "ü → é", "two\nlines\n", " x", "x ", "\t", "- a", "-", "?", "~", "0x1", "1_000", "*a", "&b", "!c", "%d", "@e", "`f`", "\u0085", "\ufeff", "=", "<<", "null", "2001-01-01", "a:", ":b", "#c", "|", ">", "1.5s", "a\rb", "---", "...", "\x7f", "true", "😀", "a\\b", "a\u00a0b", "\u00a0"}
	kinds := 2
	if depth < 2 {
		kinds = 4
	}
	switch r.IntN(kinds) {
	case 0:
		return number("7")
	case 1:
		return word(texts[r.IntN(len(texts))])
	case 2:
		l := &decode.Node{Shape: decode.List}
		for range r.IntN(3) {
			l.Items = append(l.Items, randomValue(r, depth+1))
		}
		return l
	}
	o := &decode.Node{Shape: decode.Object}
	for i := range r.IntN(4) {
		o.Set([]string{"name", "a b", "12", "to"}[i], randomValue(r, depth+1))
	}
	return o
}

// randomChange returns the edits of a change of a node, and what does the same to
// what the decoder read.
func randomChange(r *rand.Rand, f *File, n *Node) (Edits, func(*decode.Node), error) {
	v := randomValue(r, 0)
	count := len(n.Entries)
	if n.Kind == Alias || n.Parent == nil && n.Kind == Scalar || f.Shared(n) != nil {
		edits, err := f.Replace(n, v)
		return edits, nil, err
	}
	switch kind := r.IntN(4); {
	case n.Kind == Scalar, kind == 0 && n.Parent != nil:
		if f.Carries(n) != nil {
			return nil, nil, f.Carries(n)
		}
		edits, err := f.Replace(n, v)
		return edits, func(d *decode.Node) { *d = *v }, err
	case kind == 1 && count > 0:
		return deleteSome(r, f, n)
	case n.Kind == List:
		before := r.IntN(count + 1)
		edits, err := f.Insert(n, Insertion{Before: before, Value: v})
		return edits, func(d *decode.Node) { d.Items = slices.Insert(d.Items, before, v) }, err
	}
	key := []string{"new", "new key", "1", "yes", "k: v", "name"}[r.IntN(6)]
	edits, err := f.Set(n, key, v)
	return edits, func(d *decode.Node) { d.Set(key, v) }, err
}

// deleteSome deletes some entries, and at times puts a new one among those left.
func deleteSome(r *rand.Rand, f *File, n *Node) (Edits, func(*decode.Node), error) {
	c := Change{Delete: map[int]bool{}}
	for range 1 + r.IntN(3) {
		c.Delete[r.IntN(len(n.Entries))] = true
	}
	keys := map[string]bool{}
	for i := range c.Delete {
		if n.Entries[i].IsMerge() {
			return nil, nil, errors.New("what merges leave is hard to tell")
		}
		if n.Kind == Object {
			if _, from := n.Merged(n.Entries[i].Key.Value); from != nil {
				return nil, nil, f.MergedError(from)
			}
			keys[n.Entries[i].Key.Value] = true
		}
		if f.Carries(n.Entries[i].Value) != nil {
			return nil, nil, errors.New("an anchor would be lost")
		}
	}
	before := -1
	if r.IntN(3) == 0 && n.Kind == List {
		before = r.IntN(len(n.Entries) + 1)
		c.Insert = []Insertion{{Before: before, Value: word("inserted")}}
	}
	edits, err := f.Change(n, c)
	return edits, func(d *decode.Node) {
		d.Take(slices.Collect(maps.Keys(keys))...)
		var items []*decode.Node
		for i := 0; i <= len(d.Items); i++ {
			if i == before {
				items = append(items, word("inserted"))
			}
			if i < len(d.Items) && !c.Delete[i] {
				items = append(items, d.Items[i])
			}
		}
		d.Items = items
	}, err
}

// equal compares what was read; the order of keys has no meaning.
func equal(a, b *decode.Node) bool {
	if a.Shape != b.Shape || a.IsScalar() && a.Scalar != b.Scalar || len(a.Fields) != len(b.Fields) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Items {
		if !equal(a.Items[i], b.Items[i]) {
			return false
		}
	}
	for _, field := range a.Fields {
		if !slices.ContainsFunc(b.Fields, func(f decode.Field) bool { return f.Key == field.Key }) || b.Get(field.Key) == nil && a.Get(field.Key) != nil || a.Get(field.Key) != nil && !equal(a.Get(field.Key), b.Get(field.Key)) {
			return false
		}
	}
	return true
}
