package golden

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A document is a type that is written as JSON or read from it. Its label, not
// the name of its type, names it in the golden file.
type document struct {
	label string
	of    reflect.Type
}

// TestDocuments pins names and types of the fields of all documents. It prints no
// name of a type or package, so that a type may move or get a better name.
func TestDocuments(t *testing.T) {
	var w walk
	for _, d := range documents() {
		fmt.Fprintf(&w.text, "%s: ", d.label)
		w.describe(d.label, d.of)
	}
	compare(t, "documents.txt", w.text.String())
}

// A walk writes the fields of types.
type walk struct {
	text strings.Builder
	// inside are the types that the walk is in, outermost first.
	inside []reflect.Type
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshaler   = reflect.TypeFor[json.Unmarshaler]()
)

// describe writes the rest of a line about a type, and lines for its fields. A
// type inside itself is described once.
func (w *walk) describe(path string, of reflect.Type) {
	shape, inner := shapeOf(of)
	if inner == nil {
		fmt.Fprintf(&w.text, "%s\n", shape)
		return
	}
	if i := slices.Index(w.inside, inner); i >= 0 {
		fmt.Fprintf(&w.text, "%s, as %d levels above\n", shape, len(w.inside)-i)
		return
	}
	fmt.Fprintf(&w.text, "%s\n", shape)
	w.inside = append(w.inside, inner)
	w.fields(path, inner)
	w.inside = w.inside[:len(w.inside)-1]
}

// fields writes the fields of a struct. A struct with a form of its own shows
// only those that carry a JSON name.
func (w *walk) fields(path string, of reflect.Type) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" || !f.IsExported() && !f.Anonymous || name == "" && ownForm(of) != "" {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			w.fields(path, f.Type)
			continue
		}
		if name == "" {
			name = f.Name
		}
		if options != "" {
			options = "," + options
		}
		at := path + "." + name
		fmt.Fprintf(&w.text, "%s%s: ", at, options)
		w.describe(at, f.Type)
	}
}

// shapeOf describes a type as JSON shows it; inner is the struct in it whose
// fields are still to be described.
func shapeOf(of reflect.Type) (shape string, inner reflect.Type) {
	if of == reflect.TypeFor[time.Time]() {
		return "time", nil
	}
	if own := ownForm(of); own != "" {
		if of.Kind() == reflect.Struct && strings.HasPrefix(of.PkgPath()+"/", modulePath) {
			return own + " of object", of
		}
		return own + " of " + of.Kind().String(), nil
	}
	switch of.Kind() {
	case reflect.Pointer:
		shape, inner = shapeOf(of.Elem())
		return "*" + shape, inner
	case reflect.Slice, reflect.Array:
		shape, inner = shapeOf(of.Elem())
		return "[]" + shape, inner
	case reflect.Map:
		shape, inner = shapeOf(of.Elem())
		return "map of " + shape, inner
	case reflect.Struct:
		return "object", of
	}
	return of.Kind().String(), nil
}

// ownForm says whether a type decides by itself how it is written or read.
func ownForm(of reflect.Type) string {
	if of.Kind() == reflect.Pointer || of.Kind() == reflect.Interface {
		return ""
	}
	pointer := reflect.PointerTo(of)
	switch {
	case pointer.Implements(marshaler):
		return "own JSON"
	case pointer.Implements(textMarshaler):
		return "text"
	case pointer.Implements(unmarshaler):
		return "own reading"
	}
	return ""
}
