package spec

import (
	"reflect"
	"strings"
)

// A structField is a field that files may set, with its name there.
type structField struct {
	name  string
	index []int
	typ   reflect.Type
}

// fieldsOf lists the fields of a struct as encoding/json does: those of an
// embedded struct stand beside its own.
func fieldsOf(t reflect.Type) (fields []structField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			fields = append(fields, structField{name, []int{i}, f.Type})
		}
	}
	return fields
}

// keysOf lists the names of a struct's fields in files. Those that begin with a
// dash are not for people.
func keysOf(t reflect.Type) (keys []string) {
	for _, f := range fieldsOf(t) {
		if f.name[0] != '-' {
			keys = append(keys, f.name)
		}
	}
	return keys
}

// fieldNamed returns the field that files call by the name.
func fieldNamed(v reflect.Value, name string) (field reflect.Value, ok bool) {
	for _, f := range fieldsOf(v.Type()) {
		if f.name == name {
			return v.FieldByIndex(f.index), true
		}
	}
	return reflect.Value{}, false
}
