package golden

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// contracts find names in texts of the source that others depend on. Where they
// stand in the source does not matter.
var contracts = map[string]*regexp.Regexp{
	"environment variable": regexp.MustCompile(`\bMICROSIM_[A-Z_]+\b|^(SERVICE_NAME|PORT|NO_COLOR|KUBECONFIG)$`),
	"header":               regexp.MustCompile(`\b(Microsim|X)-[A-Z][A-Za-z-]+\b|^(traceparent|tracestate)$`),
	"label or annotation":  regexp.MustCompile(`\b(microsim\.dev|app\.kubernetes\.io|pod-security\.kubernetes\.io)/[a-z0-9-]+`),
	"metric":               regexp.MustCompile(`\bmicrosim_[a-z_]+[a-z]\b`),
	"path":                 regexp.MustCompile(`^(?:[A-Z]+ )?(/(?:admin|healthz|readyz|metrics|set-delay|orders|status|backends|proxies|populate|reset|version|start|stop|done|outcomes|control)\b[a-z/-]*)`),
}

// TestNames pins every environment variable, header, label, annotation, metric
// and path that the source names.
func TestNames(t *testing.T) {
	found := map[string]bool{}
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for kind, pattern := range contracts {
				for _, match := range pattern.FindAllStringSubmatch(text, -1) {
					found[kind+" "+contractName(kind, match)] = true
				}
			}
			return true
		})
	})
	for what, name := range clusterNames() {
		found["cluster: "+what+" "+name] = true
	}
	compareSet(t, "names.txt", found)
}

// contractName is the one way to write what a pattern has found.
func contractName(kind string, match []string) string {
	switch kind {
	case "path":
		return strings.TrimRight(match[1], "/")
	case "header":
		return http.CanonicalHeaderKey(match[0])
	case "metric":
		// A histogram exposes these parts of itself.
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if name, is := strings.CutSuffix(match[0], part); is {
				return name
			}
		}
	}
	return match[0]
}

// TestShapes pins the JSON names of every struct of the source that has some,
// those that no other package can name as well. A line is a struct; where it
// stands, and what it and its types are called, does not matter.
func TestShapes(t *testing.T) {
	found := map[string]bool{}
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.StructType); ok {
				if line := jsonFields(s); line != "" {
					found[line] = true
				}
			}
			return true
		})
	})
	compareSet(t, "shapes.txt", found)
}

// jsonFields lists the JSON fields of a struct, or returns "" if it has none.
func jsonFields(s *ast.StructType) string {
	var fields []string
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tags, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		if name, has := reflect.StructTag(tags).Lookup("json"); has && name != "-" {
			fields = append(fields, fmt.Sprintf("%s %s", name, kindOf(f.Type)))
		}
	}
	return strings.Join(fields, "; ")
}

// kindOf describes a type without the names that the project gave.
func kindOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + kindOf(e.X)
	case *ast.ArrayType:
		return "[]" + kindOf(e.Elt)
	case *ast.MapType:
		return "map of " + kindOf(e.Value)
	case *ast.Ident:
		switch e.Name {
		case "string", "bool", "int", "int64", "uint64", "float64", "any", "byte":
			return e.Name
		}
	}
	return "…"
}

// eachFile parses the source of the project without its tests.
func eachFile(t *testing.T, do func(*ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir():
			// Names that only tests use are not a contract of the program.
			if strings.HasSuffix(name, "test") || name == "testdata" || name == "compare" || name == "node_modules" || len(name) > 2 && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		do(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
