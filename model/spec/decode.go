package spec

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

// ignored takes any value. It stands in the structs of dialects for fields that
// are known, but mean nothing here.
type ignored struct{}

// decode fills v from a node and reports everything that does not fit. Where
// something does not, v keeps its default there.
func (f *file) decode(n *node, path string, v reflect.Value) {
	if n.shape == null {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[ignored]():
		return
	case reflect.TypeFor[dist.Delay]():
		if n.isScalar() {
			n = n.objectAt("fixed", n)
		}
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		f.decodeText(n, path, u)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		v.Elem().Set(f.types.defaultOf(v.Type().Elem()))
		f.decode(n, path, v.Elem())
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

// want reports a node that has another shape than is needed.
func (f *file) want(n *node, path string, s shape, hint string) bool {
	if n.shape == s {
		return true
	}
	found := n.shape.String()
	if n.isScalar() {
		found = fmt.Sprintf("%q", n.scalar)
	}
	f.mistake(n, path, hint, "%s is found where %s is needed", found, s)
	return false
}

func (f *file) decodeText(n *node, path string, u encoding.TextUnmarshaler) {
	if !n.isScalar() {
		f.want(n, path, text, "")
		return
	}
	if err := u.UnmarshalText([]byte(n.scalar)); err != nil {
		// The quantities say what is wrong and what to write, parted by a colon.
		message, hint, _ := strings.Cut(err.Error(), ": ")
		f.mistake(n, path, hint, "%s", message)
	}
}

func (f *file) decodeObject(n *node, path string, v reflect.Value) {
	if !f.want(n, path, object, "") {
		return
	}
	for _, field := range n.fields {
		at := problem.Join(path, field.key)
		if inner, ok := fieldNamed(v, field.key); ok {
			f.decode(field.value, at, inner)
			continue
		}
		f.unknown(field, at, append(keysOf(v.Type()), f.types.shorthandsOf(v.Type())...))
	}
}

// unknown reports a key that means nothing here, with the key that was likely
// meant.
func (f *file) unknown(at field, path string, keys []string) {
	hint := "remove it; known are " + strings.Join(unique(keys), ", ")
	if at.key == "metadata" || at.key == "spec" {
		hint = "write its fields at the top level, beside kind"
	}
	hint = problem.DidYouMean(at.key, keys, hint)
	f.mistake(&node{line: at.line, col: at.col}, path, hint, "field %q is not known", at.key)
}

func unique(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (f *file) decodeList(n *node, path string, v reflect.Value) {
	if !f.want(n, path, list, "write one entry a line, each after a dash") {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		v.Index(i).Set(f.types.defaultOf(v.Type().Elem()))
		if item.shape == null {
			f.mistake(item, problem.Index(path, i), "remove the dash, or write something after it", "the entry is empty")
			continue
		}
		f.decode(item, problem.Index(path, i), v.Index(i))
	}
}

func (f *file) decodeMap(n *node, path string, v reflect.Value) {
	if !f.want(n, path, object, "") {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, field := range n.fields {
		element := reflect.New(v.Type().Elem()).Elem()
		f.decode(field.value, problem.Join(path, field.key), element)
		v.SetMapIndex(reflect.ValueOf(field.key), element)
	}
}

func (f *file) decodeScalar(n *node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if hint := ""; n.isScalar() && n.shape != text {
			hint = fmt.Sprintf("write it in quotes: %q", n.scalar)
			f.want(n, path, text, hint)
		} else if f.want(n, path, text, "") {
			v.SetString(n.scalar)
		}
	case reflect.Bool:
		if f.want(n, path, boolean, "write true or false") {
			v.SetBool(strings.EqualFold(n.scalar, "true"))
		}
	case reflect.Float64:
		if !f.want(n, path, number, "") {
			return
		}
		x, err := strconv.ParseFloat(n.scalar, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			f.mistake(n, path, "write a decimal number", "%q is out of range", n.scalar)
			return
		}
		v.SetFloat(x)
	case reflect.Int, reflect.Int64:
		if !f.want(n, path, number, "") {
			return
		}
		x, err := strconv.ParseInt(n.scalar, 10, 64)
		if f.integer(n, path, err) {
			v.SetInt(x)
		}
	case reflect.Uint64:
		if !f.want(n, path, number, "") {
			return
		}
		x, err := strconv.ParseUint(n.scalar, 10, 64)
		if strings.HasPrefix(n.scalar, "-") {
			f.mistake(n, path, "write a number from 0 up", "%s is negative", n.scalar)
		} else if f.integer(n, path, err) {
			v.SetUint(x)
		}
	default:
		f.mistake(n, path, "", "a value of type %s cannot be read", v.Type())
	}
}

func (f *file) integer(n *node, path string, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, strconv.ErrRange):
		f.mistake(n, path, "write a smaller number", "%s is out of range", n.scalar)
	default:
		f.mistake(n, path, "write digits only", "%q is no whole number", n.scalar)
	}
	return false
}
