package spec

import (
	"cmp"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestDescriptionsAreTheComments holds the descriptions in the schema equal to the
// comments of the fields. Run it with -update after a change of a comment.
func TestDescriptionsAreTheComments(t *testing.T) {
	types, docs := map[string]*ast.StructType{}, map[string]string{}
	for _, pkg := range []string{"topology", "policy", "fault", "load", "experiment", "dist", "dataset"} {
		paths, err := filepath.Glob("../" + pkg + "/*.go")
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				decl, ok := n.(*ast.GenDecl)
				if !ok || decl.Tok != token.TYPE {
					return true
				}
				for _, spec := range decl.Specs {
					spec := spec.(*ast.TypeSpec)
					name := pkg + "." + spec.Name.Name
					if structure, ok := spec.Type.(*ast.StructType); ok {
						types[name] = structure
					}
					docs[name] = text(cmp.Or(spec.Doc, decl.Doc))
				}
				return true
			})
		}
	}
	found := descriptions{}
	for name, structure := range types {
		describe(found, name, structure, docs)
	}
	data, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "descriptions.json", string(data)+"\n")
}

func text(comment *ast.CommentGroup) string {
	return strings.Join(strings.Fields(comment.Text()), " ")
}

// describe adds the comments of a struct's fields. A field without one has that of
// its type, or else that of the struct.
func describe(found descriptions, name string, structure *ast.StructType, docs map[string]string) {
	pkg, _, _ := strings.Cut(name, ".")
	for _, field := range structure.Fields.List {
		if field.Tag == nil {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		found[name+"."+key] = cmp.Or(text(field.Doc), text(field.Comment), docs[typeName(pkg, field.Type)], docs[name])
	}
}

// typeName is the package and name of the type in a field's type.
func typeName(pkg string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(pkg, e.X)
	case *ast.ArrayType:
		return typeName(pkg, e.Elt)
	case *ast.MapType:
		return typeName(pkg, e.Value)
	case *ast.SelectorExpr:
		return typeName(e.X.(*ast.Ident).Name, e.Sel)
	case *ast.Ident:
		return pkg + "." + e.Name
	}
	return ""
}

// Every field that a file may have is described.
func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range Kinds() {
		data, err := Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := json.Unmarshal(data, &root); err != nil {
			t.Fatal(err)
		}
		checkDescribed(t, kind, root)
	}
}

func checkDescribed(t *testing.T, path string, node any) {
	t.Helper()
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			checkDescribed(t, path, item)
		}
	case map[string]any:
		properties, _ := node["properties"].(map[string]any)
		for key, property := range properties {
			if text, _ := property.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s.%s has no description", path, key)
			}
		}
		for key, item := range node {
			switch key {
			case "properties", "$defs":
				for name, one := range item.(map[string]any) {
					checkDescribed(t, path+"."+name, one)
				}
			default:
				checkDescribed(t, path, item)
			}
		}
	}
}
