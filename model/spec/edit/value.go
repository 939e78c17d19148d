package edit

import (
	"fmt"
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// clone copies a value with all that it points to.
func clone[T any](v T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	copyInto(out, reflect.ValueOf(&v).Elem())
	return out.Interface().(T)
}

func copyInto(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(from.Type().Elem()))
			copyInto(to.Elem(), from.Elem())
		}
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyInto(to.Index(i), from.Index(i))
		}
	case reflect.Map:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
		for it := from.MapRange(); it.Next(); {
			value := reflect.New(from.Type().Elem()).Elem()
			copyInto(value, it.Value())
			to.SetMapIndex(it.Key(), value)
		}
	case reflect.Struct:
		to.Set(from) // with fields that are not exported
		for i := range from.NumField() {
			if from.Type().Field(i).IsExported() {
				copyInto(to.Field(i), from.Field(i))
			}
		}
	default:
		to.Set(from)
	}
}

// differ returns the path of the first thing that two readings of a file do not
// agree on, "" where they mean the same. Where in the file something stands has
// no meaning.
func differ(a, b document.Documents) string {
	if len(a) != len(b) {
		return "the number of documents"
	}
	for i := range a {
		a, b := a[i], b[i]
		a.Origin, b.Origin = document.Origin{}, document.Origin{}
		if path, same := difference(reflect.ValueOf(a), reflect.ValueOf(b)); !same {
			return fmt.Sprintf("document %d%s", i, path)
		}
	}
	return ""
}

func same(a, b reflect.Value) bool {
	_, ok := difference(a, b)
	return ok
}

// difference compares values, and takes an empty list for none.
func difference(a, b reflect.Value) (path string, same bool) {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return "", a.IsNil() == b.IsNil()
		}
		if a.Pointer() == b.Pointer() {
			return "", true
		}
		return difference(a.Elem(), b.Elem())
	case reflect.Slice:
		for i := range min(a.Len(), b.Len()) {
			if path, same := difference(a.Index(i), b.Index(i)); !same {
				return fmt.Sprintf("[%d]%s", i, path), false
			}
		}
		return "", a.Len() == b.Len()
	case reflect.Map:
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() {
				return fmt.Sprintf("[%v]", it.Key()), false
			}
			if path, same := difference(it.Value(), other); !same {
				return fmt.Sprintf("[%v]%s", it.Key(), path), false
			}
		}
		return "", a.Len() == b.Len()
	case reflect.Struct:
		for i := range a.NumField() {
			if path, same := difference(a.Field(i), b.Field(i)); !same {
				return "." + a.Type().Field(i).Name + path, false
			}
		}
		return "", true
	}
	return "", a.Equal(b)
}
