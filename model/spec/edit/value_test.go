package edit

import (
	"reflect"
	"testing"
)

// TestEveryDifferenceIsSeen changes each value of what a file describes, one at a
// time: Apply relies on seeing any of them.
func TestEveryDifferenceIsSeen(t *testing.T) {
	changed := 0
	for _, name := range []string{"documents.yaml", "outage-lab.yaml", "quoted.yaml"} {
		f := open(t, name)
		docs := clone(f.Documents)
		if path := differ(f.Documents, docs); path != "" {
			t.Errorf("%s: a copy differs at %s", name, path)
		}
		var visit func(v reflect.Value, path string)
		visit = func(v reflect.Value, path string) {
			switch v.Kind() {
			case reflect.Pointer:
				if !v.IsNil() {
					visit(v.Elem(), path)
				}
				return
			case reflect.Slice:
				for i := range v.Len() {
					visit(v.Index(i), path)
				}
				return
			case reflect.Struct:
				for i := range v.NumField() {
					if name := v.Type().Field(i).Name; name != "Origin" && v.Type().Field(i).IsExported() {
						visit(v.Field(i), path+"."+name)
					}
				}
				return
			}
			before := reflect.New(v.Type()).Elem()
			before.Set(v)
			switch v.Kind() {
			case reflect.String:
				v.SetString(v.String() + "x")
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int() + 1)
			case reflect.Float64:
				v.SetFloat(v.Float() + 1)
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Uint64:
				v.SetUint(v.Uint() + 1)
			case reflect.Map:
				v.Set(reflect.MakeMap(v.Type()))
				v.SetMapIndex(reflect.ValueOf("new"), reflect.Zero(v.Type().Elem()))
			default:
				t.Fatalf("%s: a %s at %s", name, v.Kind(), path)
			}
			if differ(f.Documents, docs) == "" {
				t.Errorf("%s: a change at %s is not seen", name, path)
			}
			changed++
			v.Set(before)
			if differ(f.Documents, docs) != "" {
				t.Fatalf("%s: %s is a part of the original, too", name, path)
			}
		}
		visit(reflect.ValueOf(docs), "")
	}
	if changed < 500 {
		t.Errorf("only %d values were changed", changed)
	}
}
