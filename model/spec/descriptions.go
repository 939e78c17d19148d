package spec

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"
)

// descriptionsJSON has the comments of the fields that files are read into. A test
// holds it equal to the sources; with -update it writes it.
//
//go:embed descriptions.json
var descriptionsJSON []byte

// descriptions are the comments of fields, by package, type and name in files:
// topology.Service.replicas.
type descriptions map[string]string

func readDescriptions() (descriptions, error) {
	var d descriptions
	if err := json.Unmarshal(descriptionsJSON, &d); err != nil {
		return nil, fmt.Errorf("reading the descriptions of fields: %w", err)
	}
	return d, nil
}

// of returns the description of a field of a struct, or of one embedded in it.
func (d descriptions) of(t reflect.Type, name string) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if text := d.of(f.Type, name); text != "" {
				return text
			}
		} else if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return d[path.Base(t.PkgPath())+"."+t.Name()+"."+name]
		}
	}
	return ""
}
