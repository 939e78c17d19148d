package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/microsim-dev/kubectl-microsim/"

type pkg struct {
	ImportPath string
	Imports    []string
	Doc        string
	Standard   bool
}

// goList returns the packages that `go list` names for the arguments.
func goList(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Doc,Standard"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// layerOf returns the listed package that a package of the project belongs to,
// and its layer.
func layerOf(path string) (name string, level int, ok bool) {
	path = strings.TrimPrefix(path, module)
	for _, l := range layers {
		for _, p := range l.packages {
			if isIn(path, p) && len(p) > len(name) {
				name, level, ok = p, l.level, true
			}
		}
	}
	for p, h := range helpers {
		if isIn(path, p) {
			// Imported from its own level, a helper stands below it.
			return p, h.level - 1, true
		}
	}
	return name, level, ok
}

func isIn(path, pkg string) bool { return path == pkg || strings.HasPrefix(path, pkg+"/") }

func isFree(path string) bool {
	path = strings.TrimPrefix(path, module)
	for _, f := range free {
		if isIn(path, f) {
			return true
		}
	}
	return path == "examples"
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range goList(t, "./...") {
		from, level, ok := layerOf(p.ImportPath)
		if !ok {
			if !isFree(p.ImportPath) && !strings.Contains(p.ImportPath, "/internal/") {
				t.Errorf("%s is in no layer: add it to the table in layers_test.go, with the reason", p.ImportPath)
			}
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) || isFree(imp) {
				continue
			}
			to, toLevel, ok := layerOf(imp)
			if ok && (from == to || toLevel < level) || sideways[from+" -> "+to] != "" {
				continue
			}
			t.Errorf("%s imports %s: imports go down only; move the shared part to a lower layer, or wire it in plugin", p.ImportPath, imp)
		}
	}
}

func TestLayersKeepTheOutsideOut(t *testing.T) {
	for _, p := range goList(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, rule := range outside {
			if !strings.HasPrefix(path, rule.pkg) || path == suite {
				continue
			}
			for _, imp := range p.Imports {
				if imp == rule.banned || strings.HasSuffix(rule.banned, "/") && strings.HasPrefix(imp, rule.banned) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, rule.why)
				}
			}
		}
		if !slices.Contains(standardOnly, path) {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !strings.HasPrefix(imp, module) {
				t.Errorf("%s imports %s: this layer uses the standard library only", p.ImportPath, imp)
			}
		}
	}
}

func TestPartsStayApart(t *testing.T) {
	for _, whole := range apart {
		for _, part := range whole.parts {
			pkgs := goList(t, "./"+whole.pkg+"/"+part)
			if len(pkgs) != 1 {
				t.Fatalf("%s/%s is not one package: change the table in layers_test.go", whole.pkg, part)
			}
			for _, imp := range pkgs[0].Imports {
				other, ok := strings.CutPrefix(imp, module+whole.pkg+"/")
				if ok && slices.Contains(whole.parts, other) {
					t.Errorf("%s imports %s: %s; join them in %s", pkgs[0].ImportPath, imp, whole.why, whole.pkg)
				}
			}
		}
	}
}

func TestAgentStaysSmall(t *testing.T) {
	for _, p := range goList(t, "-deps", "./cmd/microsim-agent") {
		if strings.HasPrefix(p.ImportPath, "k8s.io/") || strings.HasPrefix(p.ImportPath, "sigs.k8s.io/kind") {
			t.Errorf("microsim-agent depends on %s: it must stay small and free of Kubernetes", p.ImportPath)
		}
	}
}

func TestEveryPackageSaysWhatLivesThere(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say in one sentence what lives there", p.ImportPath)
		}
	}
}
