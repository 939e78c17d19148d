package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// corpus are the YAML and JSON files of the project.
func corpus(t testing.TB) (paths []string) {
	t.Helper()
	for _, tree := range []string{"examples", "testdata", "model", "docs", "krew"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", tree), func(path string, d fs.DirEntry, err error) error {
			if err == nil && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(paths) < 100 {
		t.Fatalf("found %d files", len(paths))
	}
	return paths
}

// TestEveryByteIsUnderstood reads every file that the YAML library reads, and
// reads each of its scalars again by itself.
func TestEveryByteIsUnderstood(t *testing.T) {
	read := 0
	for _, path := range corpus(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(path, text)
		if err != nil {
			if strings.Contains(err.Error(), "cannot be edited") && !strings.Contains(path, "mistakes") {
				t.Error(err)
			}
			continue
		}
		read++
		for _, doc := range f.Documents {
			scalarsReadAlone(t, f, doc)
		}
	}
	if read < 50 {
		t.Errorf("only %d files were read", read)
	}
}

// scalarsReadAlone holds the spans of scalars to what the library reads of them.
func scalarsReadAlone(t *testing.T, f *File, n *Node) {
	t.Helper()
	if !f.JSON && n.Kind == Scalar && n.Style != Literal && n.Style != Folded && n.To > n.From {
		var alone string
		text := "- " + f.Raw(n)
		var list []yaml.Node
		if err := yaml.Unmarshal([]byte(text), &list); err != nil {
			t.Errorf("%s: %q cannot be read alone: %v", f.Place(n.From), text, err)
		} else if alone = list[0].Value; alone != n.Value {
			t.Errorf("%s: %q is read as %q, not %q", f.Place(n.From), text, alone, n.Value)
		}
	}
	for _, e := range n.Entries {
		if e.Value.Parent != n || e.From < n.From || e.To() > n.To {
			t.Errorf("%s: an entry lies outside of its node", f.Place(e.From))
		}
		scalarsReadAlone(t, f, e.Value)
	}
}
