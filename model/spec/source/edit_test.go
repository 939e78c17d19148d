package source

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

func object(fields ...string) *decode.Node {
	o := &decode.Node{Shape: decode.Object}
	for i := 0; i < len(fields); i += 2 {
		o.Set(fields[i], word(fields[i+1]))
	}
	return o
}

// deep is longer than what is written in one line.
func deep() *decode.Node {
	o := object("name", "a")
	o.Set("of", &decode.Node{Shape: decode.List, Items: []*decode.Node{object("name", "b", "to", "c"), word("d")}})
	return o
}

func TestEditsKeepTheStyle(t *testing.T) {
	set := func(key string, v *decode.Node) func(*Draft, *Node) error {
		return func(d *Draft, n *Node) error { return d.Set(n, key, v) }
	}
	insert := func(at int, values ...*decode.Node) func(*Draft, *Node) error {
		var c Change
		for _, v := range values {
			c.Insert = append(c.Insert, Insertion{Before: at, Value: v})
		}
		return func(d *Draft, n *Node) error { return d.Change(n, c) }
	}
	remove := func(at int) func(*Draft, *Node) error {
		return func(d *Draft, n *Node) error { return d.Delete(n, at) }
	}
	for _, c := range []struct {
		what, before, path string
		edit               func(*Draft, *Node) error
		after              string
	}{
		{"quotes stay", "a: 'x' # c\n", "", set("a", word("it's")), "a: 'it''s' # c\n"},
		{"quotes come where needed", "a: x\n", "", set("a", word("yes")), "a: \"yes\"\n"},
		{"double quotes stay", `a: "x"`, "", set("a", word("y")), `a: "y"`},
		{"an anchor stays", "a: &n x\n", "", set("a", word("z")), "a: &n z\n"},
		{"a tag goes", "a: !!str 5 # c\n", "", set("a", number("6")), "a: 6 # c\n"},
		{"nothing becomes something", "a: # c\nb: 1\n", "", set("a", word("x")), "a: x # c\nb: 1\n"},
		{"a literal stays literal", "a: |\n    x\n    y\nb: 1\n", "", set("a", word("u\n\n v\n")), "a: |\n    u\n\n     v\nb: 1\n"},
		{"a literal becomes short", "a: |\n  x\nb: 1\n", "", set("a", word("u")), "a: u\nb: 1\n"},
		{"a key without final newline", "a:\n  b: 1", "a", set("c", word("x")), "a:\n  b: 1\n  c: x"},
		{"a key after a comment", "a:\n  b: 1 # one\n    # more\n# of d\nd: 2\n", "a", set("c", word("x")), "a:\n  b: 1 # one\n    # more\n  c: x\n# of d\nd: 2\n"},
		{"a key after a literal with its blank lines", "a:\n  b: |+\n    x\n\nd: 2\n", "a", set("c", word("x")), "a:\n  b: |+\n    x\n\n  c: x\nd: 2\n"},
		{"a key in quotes", "\"a\":\n  \"b\": \"x\"\n", "a", set("c", word("y")), "\"a\":\n  \"b\": \"x\"\n  \"c\": \"y\"\n"},
		{"a deep value", "a:\n    b: 1\n", "a", set("c", deep()), "a:\n    b: 1\n    c:\n        name: a\n        of:\n            - name: b\n              to: c\n            - d\n"},
		{"dashes below their key", "l:\n- 1\no:\n  a: 1\n", "o", set("c", deep()), "l:\n- 1\no:\n  a: 1\n  c:\n    name: a\n    of:\n    - name: b\n      to: c\n    - d\n"},
		{"items apart", "- a: 1\n\n- a: 2\n", "", insert(1, object("a", "x")), "- a: 1\n\n- a: x\n\n- a: 2\n"},
		{"flow among flow", "- {a: 1}\n", "", insert(1, object("name", "x")), "- {a: 1}\n- {name: x}\n"},
		{"before a first key", "- a: 1\n  b: 2\n", "[0]", func(d *Draft, n *Node) error {
			return d.Insert(n, Insertion{Before: 0, Key: "c", Value: word("x")})
		}, "- c: x\n  a: 1\n  b: 2\n"},
		{"no more items", "a: # c\n  # of 1\n  - 1 # one\n  # foot\nb: 2\n", "a", remove(0), "a: [] # c\n  # foot\nb: 2\n"},
		{"the first key after a dash", "- a: 1 # one\n  # of b\n  b: 2\n", "[0]", remove(0), "- # of b\n  b: 2\n"},
		{"the last of several documents", "a: 1\n---\na: 1\nb: 2\n...\n", "", remove(0), "a: 1\n---\nb: 2\n...\n"},
		{"a comma at the end", "[\n  a, # a\n  b, # b\n]\n", "", remove(1), "[\n  a, # a\n]\n"},
		{"no comma at the end", "[\n  a, # a\n  b # b\n]\n", "", remove(1), "[\n  a # a\n]\n"},
		{"in the middle", "{a: 1, b: 2, c: 3}\n", "", remove(1), "{a: 1, c: 3}\n"},
		{"a new last item", "[\n  a # a\n]\n", "", insert(1, word("b")), "[\n  a, # a\n  b\n]\n"},
		{"a new last item with a comma", "[\n  a, # a\n]\n", "", insert(1, word("b")), "[\n  a, # a\n  b,\n]\n"},
		{"the first of a flow list", "[]", "", insert(0, word("a, b")), `["a, b"]`},
		{"the first two of a flow list", "[]", "", insert(0, word("a"), word("b")), `[a, b]`},
		{"two new last items", "[\n  a # a\n]\n", "", insert(1, word("b"), word("c")), "[\n  a, # a\n  b,\n  c\n]\n"},
		{"two new last items with a comma", "[\n  a,\n]\n", "", insert(1, word("b"), word("c")), "[\n  a,\n  b,\n  c,\n]\n"},
		{"two new first items", "[a]", "", insert(0, word("b"), word("c")), "[b, c, a]"},
		{"two new items in lines", "[\n  a,\n  b\n]\n", "", insert(1, word("c"), word("d")), "[\n  a,\n  c,\n  d,\n  b\n]\n"},
		{"two items more", "- a\n- b\n", "", insert(1, word("c"), word("d")), "- a\n- c\n- d\n- b\n"},
		{"after a text that keeps its breaks", "- |+\n  a\n\n- b\n\n- c\n", "", insert(1, word("d")), "- |+\n  a\n\n- d\n- b\n\n- c\n"},
		{"no more after a text that keeps its breaks", "- |+\n  a\n- b\n\n\n", "", remove(1), "- |+\n  a\n"},
		{"nothing left at the top", "a: 1\nb: 2\n", "", func(d *Draft, n *Node) error { return d.Change(n, Change{Delete: map[int]bool{0: true, 1: true}}) }, "{}\n"},
		{"a key without a value in flow", "{a, b: 1}", "", set("a", word("x")), "{a: x, b: 1}"},
		{"CRLF", "a:\r\n  b: 1\r\n", "a", set("c", deep()), "a:\r\n  b: 1\r\n  c:\r\n    name: a\r\n    of:\r\n      - name: b\r\n        to: c\r\n      - d\r\n"},
		{"JSON", "{\"a\": [1]}", "a", insert(1, object("b", "x")), "{\"a\": [1, {\"b\": \"x\"}]}"},
		{"small JSON", "{\"a\":[1]}", "a", insert(1, object("b", "x")), "{\"a\":[1,{\"b\":\"x\"}]}"},
		{"JSON in lines", "{\n  \"a\": 1\n}\n", "", set("b", number("2")), "{\n  \"a\": 1,\n  \"b\": 2\n}\n"},
	} {
		f, err := Parse("f.yaml", []byte(c.before))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		d := f.Draft()
		if err := c.edit(d, find(f.Documents[len(f.Documents)-1], c.path)); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if after, _, err := d.Done(nil); err != nil || string(after.Text) != c.after {
			t.Errorf("%s: %v\n%q is now\n%q, not\n%q", c.what, err, c.before, after.Text, c.after)
		}
	}
}

// find returns the node of a path.
func find(n *Node, path string) *Node {
	if n.Path() == path {
		return n
	}
	for _, e := range n.Entries {
		if found := find(e.Value, path); found != nil {
			return found
		}
	}
	return nil
}

func TestSharedValuesAreRefused(t *testing.T) {
	f, err := Parse("f.yaml", []byte("a: &x\n  b: {c: 1}\nd: *x\ne:\n  <<: *x\n  f: 2\ng: {<<: {h: 1}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	root := f.Documents[0]
	for _, c := range []struct {
		node   *Node
		key    string
		via    Via
		anchor string
	}{
		{find(root, "a"), "b", ByAlias, "x"},
		{find(root, "a.b"), "c", ByAlias, "x"},
		{find(root, "a.b"), "new", ByAlias, "x"},
		{root, "a", ByAlias, "x"},
		{root, "d", ByAlias, "x"},
		{find(root, "e"), "b", ByMerge, "x"},
		{find(root, "g"), "h", ByMerge, ""},
	} {
		err := f.Draft().Set(c.node, c.key, word("v"))
		var shared *SharedError
		if !errors.As(err, &shared) || shared.Via != c.via || shared.Anchor != c.anchor {
			t.Errorf("setting %s of %q: %v", c.key, c.node.Path(), err)
			continue
		}
		if users := []string{"f.yaml:3:4", "f.yaml:5:7"}; c.anchor == "x" && !slices.Equal(shared.Users, users) {
			t.Errorf("setting %s of %q names the users %q", c.key, c.node.Path(), shared.Users)
		}
	}
	if err := f.Draft().Set(find(root, "e"), "f", word("v")); err != nil {
		t.Error("a value that is not shared:", err)
	}
	if err := f.Draft().Delete(root, 0); err == nil || !strings.Contains(err.Error(), "&x, used at f.yaml:3:4") {
		t.Error("deleting an anchor in use:", err)
	}
}

// TestPlaces leads from the places of mistakes to nodes and back.
func TestPlaces(t *testing.T) {
	text := "\ufeff# ü\r\nà:\r\n  - é: 1 # c\r\n    b: *x\r\n  - {ü: ö, d: [1, 2]}\r\n"
	text = strings.Replace(text, "*x", "x", 1)
	f, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line, column int
		path         string
	}{
		{2, 1, "à"}, {3, 3, "à[0]"}, {3, 5, "à[0].é"}, {3, 8, "à[0].é"}, {4, 8, "à[0].b"}, {5, 5, "à[1]"}, {5, 6, "à[1].ü"}, {5, 9, "à[1].ü"}, {5, 12, "à[1].d"}, {5, 19, "à[1].d[1]"},
	} {
		n := f.At(c.line, c.column)
		if n == nil || n.Path() != c.path {
			t.Errorf("%d:%d is in %q, not %q", c.line, c.column, n.Path(), c.path)
			continue
		}
		if line, column := f.Position(f.Offset(c.line, c.column)); line != c.line || column != c.column {
			t.Errorf("%d:%d leads back to %d:%d", c.line, c.column, line, column)
		}
	}
	if f.EOL != "\r\n" || f.Indent != 2 {
		t.Errorf("line breaks are %q, indentation is %d", f.EOL, f.Indent)
	}
	if len(f.Comments) != 2 || !f.Comments[0].OwnLine || f.Comments[1].OwnLine || string(f.Text[f.Comments[1].From:f.Comments[1].To]) != "# c" {
		t.Errorf("comments are %v", f.Comments)
	}
}

func TestEditsThatOverlapAreRefused(t *testing.T) {
	for _, e := range []Edits{{{0, 3, ""}, {2, 1, ""}}, {{4, 2, ""}}, {{-1, 0, ""}}, {{0, -1, ""}}} {
		if _, err := e.Apply([]byte("hello")); err == nil {
			t.Errorf("%v is applied", e)
		}
	}
}
