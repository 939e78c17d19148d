// Package decode reads YAML and JSON into nodes that know their places, and
// nodes into Go values. It reports every mistake, each with its place and with
// what to write instead.
package decode

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Ignored takes any value. It stands in the structs of dialects for fields that
// are known, but mean nothing here.
type Ignored struct{}

// Decode fills v from a node and reports everything that does not fit. Where
// something does not, v keeps its default there.
func (f *File) Decode(n *Node, path string, v reflect.Value) {
	if n.Shape == null {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[Ignored]():
		return
	case reflect.TypeFor[dist.Delay]():
		if n.IsScalar() {
			n = n.ObjectAt("fixed", n)
		}
	}
	if v.Kind() != reflect.String && !f.plainNumber(n, path) {
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		f.decodeText(n, path, u)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		v.Elem().Set(f.Types.defaultOf(v.Type().Elem()))
		f.Decode(n, path, v.Elem())
	case reflect.Struct:
		f.decodeObject(n, path, v)
	case reflect.Slice:
		f.decodeList(n, path, v)
	case reflect.Map:
		f.decodeMap(n, path, v)
	default:
		f.decodeScalar(n, path, v)
	}
}

// Want reports a node that has another shape than is needed.
func (f *File) Want(n *Node, path string, s shape, hint string) bool {
	if n.Shape == s {
		return true
	}
	found := n.Shape.String()
	if n.IsScalar() {
		found = fmt.Sprintf("%q", n.Scalar)
	}
	f.Mistake(n, path, hint, "expected %s, got %s", s, found)
	return false
}

func (f *File) decodeText(n *Node, path string, u encoding.TextUnmarshaler) {
	if !n.IsScalar() {
		f.Want(n, path, Text, "")
		return
	}
	text := n.Scalar
	if n.Shape == Number {
		text = whole(text)
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		// The errors of quantities say what is wrong and what to write,
		// separated by a colon.
		message, hint, _ := strings.Cut(err.Error(), ": ")
		f.Mistake(n, path, hint, "%s", message)
	}
}

func (f *File) decodeObject(n *Node, path string, v reflect.Value) {
	if !f.Want(n, path, Object, "") {
		return
	}
	for _, field := range n.Fields {
		at := problem.Join(path, field.Key)
		if inner, ok := f.fieldNamed(v, field.Key); ok {
			known := len(f.Mistakes)
			f.Decode(field.Value, at, inner)
			if len(f.Mistakes) == known { // what cannot be read leaves a zero, too
				f.noZero(field, at, v.Type(), inner)
			}
			continue
		}
		f.Unknown(field, at, append(KeysOf(v.Type()), f.Types.shorthandsOf(v.Type())...))
	}
}

// noZero reports a 0 that would be taken as if the field were left out.
func (f *File) noZero(field Field, path string, t reflect.Type, v reflect.Value) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !field.Value.IsScalar() || field.Value.Shape == Text && !strings.HasPrefix(field.Value.Scalar, "0") || !v.IsZero() {
		return
	}
	if means := f.Types.absentIn(t, field.Key); means != "" {
		f.Mistake(field.Value, path, "write more than 0, or leave it out, which means "+means, "%s cannot be %s", field.Key, field.Value.Scalar)
	}
}

// Unknown reports a key that means nothing here, with the key that was likely
// meant.
func (f *File) Unknown(at Field, path string, keys []string) {
	hint := "remove it; known are " + strings.Join(unique(keys), ", ")
	if at.Key == "metadata" || at.Key == "spec" {
		hint = "write its fields at the top level, beside kind"
	}
	mark := &Node{Line: at.Line, Col: at.Col}
	if slices.Contains(keys, at.Key) {
		f.Mistake(mark, path, "write it inside of the field beside it, or write that in its short form, too", "field %q is a short form, which cannot stand here", at.Key)
		return
	}
	hint = problem.DidYouMean(at.Key, keys, hint)
	f.Mistake(mark, path, hint, "field %q is not known", at.Key)
}

func unique(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (f *File) decodeList(n *Node, path string, v reflect.Value) {
	if !f.Want(n, path, List, f.either("write one entry a line, each after a dash", "write the entries between brackets")) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		v.Index(i).Set(f.Types.defaultOf(v.Type().Elem()))
		if item.Shape == null {
			f.Mistake(item, problem.Index(path, i), f.either("remove the dash, or write something after it", "remove it, or write something in its place"), "the entry is empty")
			continue
		}
		f.Decode(item, problem.Index(path, i), v.Index(i))
	}
}

func (f *File) decodeMap(n *Node, path string, v reflect.Value) {
	if !f.Want(n, path, Object, "") {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, field := range n.Fields {
		element := reflect.New(v.Type().Elem()).Elem()
		f.Decode(field.Value, problem.Join(path, field.Key), element)
		v.SetMapIndex(reflect.ValueOf(field.Key), element)
	}
}

func (f *File) decodeScalar(n *Node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if hint := ""; n.IsScalar() && n.Shape != Text {
			hint = fmt.Sprintf("write it in quotes: %q", n.Scalar)
			f.Want(n, path, Text, hint)
		} else if f.Want(n, path, Text, "") {
			v.SetString(n.Scalar)
		}
	case reflect.Bool:
		if f.Want(n, path, Boolean, "write true or false") {
			v.SetBool(strings.EqualFold(n.Scalar, "true"))
		}
	case reflect.Float64:
		if !f.Want(n, path, Number, "") {
			return
		}
		x, err := strconv.ParseFloat(n.Scalar, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			f.Mistake(n, path, "write a decimal number", "%q is out of range", n.Scalar)
			return
		}
		v.SetFloat(x)
	case reflect.Int, reflect.Int64:
		if !f.Want(n, path, Number, "") {
			return
		}
		x, err := strconv.ParseInt(whole(n.Scalar), 10, 64)
		if f.integer(n, path, err) {
			v.SetInt(x)
		}
	case reflect.Uint64:
		if !f.Want(n, path, Number, "") {
			return
		}
		x, err := strconv.ParseUint(whole(n.Scalar), 10, 64)
		if strings.HasPrefix(n.Scalar, "-") {
			f.Mistake(n, path, "write a number from 0 up", "%s is negative", n.Scalar)
		} else if f.integer(n, path, err) {
			v.SetUint(x)
		}
	default:
		f.Mistake(n, path, "", "a value of type %s cannot be read", v.Type())
	}
}

func (f *File) integer(n *Node, path string, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, strconv.ErrRange):
		f.Mistake(n, path, "write a smaller number", "%s is out of range", n.Scalar)
	default:
		f.Mistake(n, path, "write digits only", "invalid whole number %q", n.Scalar)
	}
	return false
}
