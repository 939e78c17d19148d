package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clock names the functions of package time that read the clock or wait for it.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// pure are the trees that are told the time and start nothing.
var pure = []string{"model", "runner/measure", "runner/account"}

func TestModelIsPure(t *testing.T) {
	for _, tree := range pure {
		eachSource(t, tree, func(path string, src *ast.File) {
			for _, impurity := range impurities(src) {
				t.Errorf("%s %s: the model and its aggregates are told the time and run nothing by themselves; take the time as an argument, and let the caller start goroutines", path, impurity)
			}
		})
	}
}

// TestRunnerTakesTheTimeFromItsClock holds the runner to its Clock port, which
// alone reads the clock of the machine.
func TestRunnerTakesTheTimeFromItsClock(t *testing.T) {
	seen := 0
	eachSource(t, "runner", func(path string, src *ast.File) {
		if filepath.Base(filepath.Dir(path)) != "runner" {
			return // a package below it, with rules of its own
		}
		seen++
		if filepath.Base(path) == "clock.go" {
			return
		}
		for _, use := range clockUses(src) {
			t.Errorf("%s uses time.%s: take the time from the Clock of Deps", path, use)
		}
	})
	if seen == 0 {
		t.Error("the runner has no files")
	}
}

// eachSource visits the files of a tree but its tests.
func eachSource(t *testing.T, tree string, visit func(path string, src *ast.File)) {
	t.Helper()
	root := filepath.Join(filepath.FromSlash("../.."), filepath.FromSlash(tree))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		visit(path, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// impurities says what in a file reads the clock or starts a goroutine.
func impurities(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "starts a goroutine")
		case *ast.CallExpr:
			// sync.WaitGroup and errgroup.Group start theirs by this method.
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
				found = append(found, "starts a goroutine")
			}
		}
		return true
	})
	for _, use := range clockUses(file) {
		found = append(found, "uses time."+use)
	}
	return found
}

// clockUses names the functions of the clock that a file uses.
func clockUses(file *ast.File) []string {
	timeName := ""
	for _, imp := range file.Imports {
		if imp.Path.Value == `"time"` {
			timeName = "time"
			if imp.Name != nil {
				timeName = imp.Name.Name
			}
		}
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && slices.Contains(clock, s.Sel.Name) {
				found = append(found, s.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestImpurities(t *testing.T) {
	src := `package p
import clock "time"
func f() {
	go f()
	group.Go(f)
	_ = clock.Now
	clock.Sleep(clock.Second)
	_ = clock.Duration(1)
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := impurities(file); !slices.Equal(got, []string{"starts a goroutine", "starts a goroutine", "uses time.Now", "uses time.Sleep"}) {
		t.Errorf("got %q", got)
	}
}
