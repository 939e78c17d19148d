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

// TestRandomChanges changes random lists, objects and values of all files. Decoding
// the changed text must give the old value with the same change, and undoing the
// change must give the same bytes.
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

// FuzzChange makes a change in a file of any content. It may be refused, unless the
// file is plain; what is made must be what was wanted.
func FuzzChange(f *testing.F) {
	for i, path := range corpus(f) {
		if text, err := os.ReadFile(path); err == nil && len(text) < 2000 {
			f.Add(text, uint64(i))
		}
	}
	for i := range uint64(20) {
		f.Add([]byte(plainText(rand.New(rand.NewPCG(i, 4)))), i)
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
	d := f.Draft()
	want, err := randomChange(r, d, nodes[at])
	var after *File
	var edits Edits
	if err == nil {
		after, edits, err = d.Done(nil)
	}
	if err != nil && plain(f) && want != nil {
		wrong, _ := d.edits.Apply(text)
		return false, fmt.Errorf("%s: a plain file is refused: changing %s: %w\n%q would be\n%q by %q", name, nodes[at].Path(), err, text, wrong, fmt.Sprint(d.edits))
	}
	if err != nil || want == nil {
		return false, nil //nolint:nilerr // refused
	}
	if err := outsideStays(text, after.Text, edits); err != nil {
		return false, fmt.Errorf("%s: changing %s: %w", name, nodes[at].Path(), err)
	}
	target := docs[indexes[at]].Under(nodes[at].Path())
	if target == nil || belowEmptyKey(nodes[at]) {
		return false, nil // the value of a merge, which is elsewhere; or its path is that of another
	}
	want(target)
	got := read(name, after.Text)
	for i := range docs {
		if len(got) != len(docs) || !equal(got[i], docs[i]) {
			return false, fmt.Errorf("%s: after %q at %s the file is\n%s\nnot\n%s", name, fmt.Sprint(edits), nodes[at].Path(), after.Text, docs[i].JSON())
		}
	}
	return true, nil
}

// outsideStays returns an error if a byte outside of the edits has changed, or if the
// inverse edits do not lead back.
func outsideStays(before, after []byte, edits Edits) error {
	if back, err := edits.Invert(before).Apply(after); err != nil || !bytes.Equal(back, before) {
		return fmt.Errorf("the inverse of %v does not lead back: %w", edits, err)
	}
	sorted := slices.Clone(edits)
	sorted.sort()
	at := 0
	for _, e := range sorted {
		kept := before[at:e.Offset]
		rest, ok := bytes.CutPrefix(after, kept)
		if !ok || !bytes.HasPrefix(rest, []byte(e.Text)) {
			return fmt.Errorf("%q, before the edit %v, is not kept", kept, e)
		}
		at, after = e.Offset+e.Length, rest[len(e.Text):]
	}
	if !bytes.Equal(after, before[at:]) {
		return fmt.Errorf("%q, after the edits, is not kept", before[at:])
	}
	return nil
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

// randomChange drafts a change of a node, and returns what does the same to what the
// decoder read; nil if nothing does.
func randomChange(r *rand.Rand, d *Draft, n *Node) (func(*decode.Node), error) {
	v := randomValue(r, 0)
	count := len(n.Entries)
	if n.Kind == Alias || n.Parent == nil && n.Kind == Scalar || d.file.Shared(n) != nil {
		return nil, d.Replace(n, v)
	}
	switch kind := r.IntN(4); {
	case n.Kind == Scalar, kind == 0 && n.Parent != nil:
		if d.file.Carries(n) != nil {
			return nil, d.file.Carries(n)
		}
		return func(n *decode.Node) { *n = *v }, d.Replace(n, v)
	case kind == 1 && count > 0:
		return deleteSome(r, d, n)
	case n.Kind == List:
		before := r.IntN(count + 1)
		return func(n *decode.Node) { n.Items = slices.Insert(n.Items, before, v) }, d.Insert(n, Insertion{Before: before, Value: v})
	}
	key := []string{"new", "new key", "1", "yes", "k: v", "name"}[r.IntN(6)]
	return func(n *decode.Node) { n.Set(key, v) }, d.Set(n, key, v)
}

// deleteSome deletes some entries, and at times puts a new one among those left.
func deleteSome(r *rand.Rand, d *Draft, n *Node) (func(*decode.Node), error) {
	c := Change{Delete: map[int]bool{}}
	for range 1 + r.IntN(3) {
		c.Delete[r.IntN(len(n.Entries))] = true
	}
	keys := map[string]bool{}
	for i := range c.Delete {
		if n.Entries[i].IsMerge() {
			return nil, errors.New("what merges leave is hard to tell")
		}
		if n.Kind == Object {
			if _, from := n.Merged(n.Entries[i].Key.Value); from != nil {
				return nil, d.file.MergedError(from)
			}
			keys[n.Entries[i].Key.Value] = true
		}
		if d.file.Carries(n.Entries[i].Value) != nil {
			return nil, errors.New("an anchor would be lost")
		}
	}
	before := -1
	if r.IntN(3) == 0 && n.Kind == List {
		before = r.IntN(len(n.Entries) + 1)
		c.Insert = []Insertion{{Before: before, Value: word("inserted")}}
	}
	err := d.Change(n, c)
	return func(n *decode.Node) {
		n.Take(slices.Collect(maps.Keys(keys))...)
		var items []*decode.Node
		for i := 0; i <= len(n.Items); i++ {
			if i == before {
				items = append(items, word("inserted"))
			}
			if i < len(n.Items) && !c.Delete[i] {
				items = append(items, n.Items[i])
			}
		}
		n.Items = items
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
