package decode

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A File is one file while it is read.
type File struct {
	Name     string
	Mistakes Mistakes
	Types    Types
	// Nodes are the documents as the YAML library has them, empty ones included; nil
	// for JSON. They save callers that need the layout of the file from parsing it
	// again.
	Nodes []*yaml.Node
	// json says that the file is JSON, so that hints speak JSON.
	json bool
	// root is the document that is read or checked now.
	root *Node
	// places are those of the fields of structs, by their names in files.
	places map[reflect.Type]map[string][]int
}

// Enter says that mistakes from here on are in the document with this root.
func (f *File) Enter(root *Node) { f.root = root }

// InDocument returns the mistakes found in the document that is read or checked
// now. A mistake in one document hides none in another.
func (f *File) InDocument() Mistakes {
	var here Mistakes
	for _, m := range f.Mistakes {
		if m.root == f.root || m.root == nil {
			here = append(here, m)
		}
	}
	return here
}

// Types tells what decoding must know of the types that it fills; either
// function may be nil.
type Types struct {
	// Defaults returns the value that a file's value of the type starts from.
	Defaults func(reflect.Type) reflect.Value
	// Shorthands lists the keys that a file may use beside the fields of a type.
	// They are suggested if a key is misspelt.
	Shorthands func(reflect.Type) []string
	// Absent says of fields of a type what it means to leave them out, by their names,
	// where a 0 would stand for that and not for nothing. A 0 is refused there.
	Absent func(reflect.Type) map[string]string
	// Hint says what to write into a file that is empty.
	Hint string
}

func (t *Types) defaultOf(typ reflect.Type) reflect.Value {
	if t.Defaults == nil {
		return reflect.Zero(typ)
	}
	return t.Defaults(typ)
}

func (t *Types) shorthandsOf(typ reflect.Type) []string {
	if t.Shorthands == nil {
		return nil
	}
	return t.Shorthands(typ)
}

// absentIn is what Absent says of a field, or empty.
func (t *Types) absentIn(typ reflect.Type, name string) string {
	if t.Absent == nil {
		return ""
	}
	return t.Absent(typ)[name]
}

// maxMistakes bounds the mistakes that are kept of one file.
const maxMistakes = 1000

// MistakeAt reports a problem at the place of a node.
func (f *File) MistakeAt(n *Node, p problem.Problem) {
	if len(f.Mistakes) < maxMistakes {
		f.Mistakes = append(f.Mistakes, Mistake{File: f.Name, Line: n.Line, Column: n.Col, Problem: p, root: f.root})
	}
}

func (f *File) Mistake(n *Node, path, hint, format string, args ...any) {
	f.MistakeAt(n, problem.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// WantValues reports every key without a value, except at the paths where having
// none means something. It would have no effect, and what it is meant for cannot
// be known.
func (f *File) WantValues(n *Node, path string, except func(path string) bool) {
	if !n.lacksValue() {
		return // no path is made for the many values that are fine
	}
	for _, field := range n.Fields {
		at := problem.Join(path, field.Key)
		if field.Value.Shape == null && !except(at) {
			f.Mistake(&Node{Line: field.Line, Col: field.Col}, at, "write one, or remove the key", "field %q has no value", field.Key)
		}
		f.WantValues(field.Value, at, except)
	}
	for i, item := range n.Items {
		f.WantValues(item, problem.Index(path, i), except)
	}
}

// either returns the hint for the language that the file is written in.
func (f *File) either(yaml, json string) string {
	if f.json {
		return json
	}
	return yaml
}

// whole reports a mistake of the file as a whole.
func (f *File) whole(message, hint string) {
	f.MistakeAt(&Node{}, problem.Problem{Message: message, Hint: hint})
}

// Follows reports whether a problem, which shows at a place, is a consequence of
// a mistake that is known: it lies on the way to it or below it, or it is about
// something absent because a key is misspelt.
func Follows(root *Node, path string, place *Node, whole bool, known Mistakes) bool {
	return slices.ContainsFunc(known, func(m Mistake) bool {
		switch {
		case m.Path == "":
			return false
		case m.Path == path, strings.HasPrefix(path, m.Path+"."), strings.HasPrefix(path, m.Path+"["):
			return true
		case strings.HasPrefix(m.Path, path+"."):
			return m.Line == place.Line
		case whole || !strings.HasPrefix(m.Message, "field "):
			return false
		}
		beside := root.At(m.Path[:max(strings.LastIndexByte(m.Path, '.'), 0)])
		return beside.Line == place.Line && beside.Col == place.Col
	})
}
