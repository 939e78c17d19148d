package spec

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// This file reads, describes and prints files of kind Dataset.

func datasetDefaults(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[dataset.Fault]():
		return reflect.ValueOf(dataset.Fault{Probability: 1})
	case reflect.TypeFor[dataset.Dataset]():
		return reflect.ValueOf(dataset.Dataset{Seed: document.DefaultSeed, Seeds: 1, Load: load.Profile{}.WithDefaults()})
	}
	return reflect.Zero(t)
}

func (f *reader) readDataset(n *decode.Node) {
	p := f.add(document.NewDraft(f.File, n, document.Native, document.KindDataset))
	d := defaults(reflect.TypeFor[dataset.Dataset]()).Interface().(dataset.Dataset)
	p.Dataset = &d
	n.Take("apiVersion", "kind")
	f.lowerDataset(n)
	f.takeSystemName(n, p, "the data set")
	f.Decode(n, "", reflect.ValueOf(p.Dataset).Elem())
	d.Load = d.Load.WithDefaults()
}

func (f *reader) lowerDataset(n *decode.Node) {
	if n.Shape != decode.Object {
		return
	}
	f.lowerSystemAndLoad(n)
	for _, key := range []string{"targets", "formats"} {
		if n.Get(key).IsScalar() {
			n.Set(key, n.Get(key).Listed())
		}
	}
	faults := n.Get("faults")
	if faults == nil {
		return
	}
	for i, one := range faults.Items {
		if one.Shape != decode.Object {
			continue
		}
		if one.Get("targets").IsScalar() {
			one.Set("targets", one.Get("targets").Listed())
		}
		key := one.First(argKeys()...)
		switch {
		case key == "":
		case one.Has("args"):
			f.Mistake(one.Get(key).Or(one), problem.Join(problem.Index("faults", i), key), "move it into args", "%s stands beside args", key)
			one.Take(argKeys()...)
		default:
			one.Set("args", one.Take(argKeys()...))
		}
	}
}

func (w *schemaWriter) dataset() schema {
	s := w.object(reflect.TypeFor[dataset.Dataset]())
	properties := s["properties"].(schema)
	properties["system"] = withText("The system that is run, or the name of one in the same files or of an example.",
		schema{"anyOf": []any{schema{"type": "string"}, w.System(false)}})
	w.also(s, "targets", schema{"type": "string"})
	w.also(s, "formats", schema{"type": "string"})
	f := w.object(reflect.TypeFor[dataset.Fault]())
	maps.Copy(f["properties"].(schema), w.object(reflect.TypeFor[fault.Args]())["properties"].(schema))
	w.also(f, "targets", schema{"type": "string"})
	f["required"] = []string{"type"}
	w.defs["DatasetFault"] = f
	put(properties, "faults", schema{"type": "array", "items": schema{"$ref": "#/$defs/DatasetFault"}})
	s["required"] = []string{"apiVersion", "kind", "name", "system", "load", "before", "after", "formats"}
	return s
}

// FormatDataset prints a data set as a native document in its short form. Reading it
// gives an equal one.
func FormatDataset(d *dataset.Dataset) ([]byte, error) {
	n, err := encode(reflect.ValueOf(*d), defaults(reflect.TypeFor[dataset.Dataset]()))
	if err != nil {
		return nil, fmt.Errorf("formatting data set %q: %w", d.Name, err)
	}
	if system := n.Get("system"); system != nil {
		shortenSystem(system)
		if system.Text("name") == d.Name {
			system.Take("name")
		}
	}
	shortenLoad(n.Get("load"))
	if faults := n.Get("faults"); faults != nil {
		for _, one := range faults.Items {
			if args := one.Take("args").Get("args"); args != nil {
				one.Fields = append(one.Fields, args.Fields...)
			}
		}
	}
	return write(document.KindDataset, n)
}
