package spec

import (
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// defaults returns the value that a file's value of the type starts from.
func defaults(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[topology.Service]():
		s := topology.NewService("")
		s.Endpoints = nil
		return reflect.ValueOf(s)
	case reflect.TypeFor[topology.Endpoint]():
		return reflect.ValueOf(topology.NewEndpoint(topology.DefaultPath))
	case reflect.TypeFor[topology.Call]():
		return reflect.ValueOf(topology.NewCall(""))
	case reflect.TypeFor[load.Profile]():
		return reflect.ValueOf(load.Profile{}.WithDefaults())
	case reflect.TypeFor[load.Request]():
		return reflect.ValueOf(load.Request{Weight: 1})
	case reflect.TypeFor[fault.Fault]():
		return reflect.ValueOf(fault.Fault{Probability: 1})
	case reflect.TypeFor[experiment.Experiment]():
		return reflect.ValueOf(experiment.Experiment{Seed: document.DefaultSeed, Load: load.Profile{}.WithDefaults()})
	}
	return datasetDefaults(t)
}

// absent says what it means to leave out the fields in which a 0 would mean that.
func absent(t reflect.Type) map[string]string {
	switch t {
	case reflect.TypeFor[dataset.Dataset]():
		return map[string]string{"lasts": "until the end"}
	case reflect.TypeFor[dataset.Fault]():
		return map[string]string{"probability": "1"}
	case reflect.TypeFor[dataset.Strength]():
		means := map[string]string{}
		for _, key := range argKeys() {
			means[key] = "that of the fault"
		}
		means["probability"] = "that of the fault"
		return means
	}
	return experiment.Absent(t)
}

// shorthands lists the keys that a file may use beside the fields of a type;
// lower.go turns them into fields. They are suggested if a key is misspelt.
func shorthands(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[topology.Service]():
		return append(endpointKeys(), policyKey)
	case reflect.TypeFor[topology.Endpoint]():
		return []string{"work", "calls"}
	case reflect.TypeFor[topology.Step]():
		return append(workKeys(), callKeys()...)
	case reflect.TypeFor[load.Profile]():
		return phaseKeys()
	case reflect.TypeFor[fault.Fault]():
		return append(argKeys(), "direction")
	case reflect.TypeFor[experiment.Experiment]():
		return []string{"apiVersion", "kind"}
	case reflect.TypeFor[topology.System]():
		return []string{"apiVersion", "kind", defaultsKey}
	case reflect.TypeFor[dataset.Dataset]():
		return []string{"apiVersion", "kind"}
	case reflect.TypeFor[dataset.Fault]():
		return argKeys()
	}
	return nil
}
