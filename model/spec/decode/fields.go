package decode

import (
	"reflect"
	"strings"
)

// A structField is a field that files may set, with its name there.
type structField struct {
	Name  string
	Index []int
	Typ   reflect.Type
}

// FieldsOf lists the fields of a struct as encoding/json does: those of an
// embedded struct stand beside its own.
func FieldsOf(t reflect.Type) (fields []structField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			for _, inner := range FieldsOf(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
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

// KeysOf lists the names of a struct's fields in files. Those that begin with a
// dash are not for people.
func KeysOf(t reflect.Type) (keys []string) {
	for _, f := range FieldsOf(t) {
		if f.Name[0] != '-' {
			keys = append(keys, f.Name)
		}
	}
	return keys
}

// fieldNamed returns the field that files call by the name. A large file has thousands
// of objects of a few types, so the places of their fields are looked up once.
func (f *File) fieldNamed(v reflect.Value, name string) (field reflect.Value, ok bool) {
	t := v.Type()
	places, known := f.places[t]
	if !known {
		places = map[string][]int{}
		for _, field := range FieldsOf(t) {
			if _, earlier := places[field.Name]; !earlier {
				places[field.Name] = field.Index
			}
		}
		if f.places == nil {
			f.places = map[reflect.Type]map[string][]int{}
		}
		f.places[t] = places
	}
	place, ok := places[name]
	if !ok {
		return reflect.Value{}, false
	}
	return v.FieldByIndex(place), true
}
