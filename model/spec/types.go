package spec

import (
	"reflect"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
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

// absent says what it means to leave out the fields in which a 0 would mean that,
// though its writer meant none.
func absent(t reflect.Type) map[string]string {
	switch t {
	case reflect.TypeFor[topology.Service](), reflect.TypeFor[experiment.Patch]():
		return map[string]string{"backlog": "that of the machine"}
	case reflect.TypeFor[topology.Store]():
		return map[string]string{
			"items": strconv.Itoa(topology.DefaultItems), "maxConnections": "that of the kind", "lockTimeout": "that of the kind", "timeout": topology.DefaultStoreTimeout.String(),
			"partitions": strconv.Itoa(topology.DefaultPartitions), "retention": unit.Size(topology.DefaultRetention).String(),
		}
	case reflect.TypeFor[topology.Pool]():
		return map[string]string{"size": strconv.Itoa(topology.DefaultPoolSize), "wait": topology.DefaultPoolWait.String()}
	case reflect.TypeFor[topology.Probe]():
		return map[string]string{"period": "the default", "timeout": "the default", "failureThreshold": "the default", "successThreshold": "the default"}
	case reflect.TypeFor[load.Request]():
		return map[string]string{"weight": "1"}
	case reflect.TypeFor[load.Phase]():
		return map[string]string{"burst": "1"}
	case reflect.TypeFor[load.Beat]():
		return map[string]string{"every": "1", "burst": "1", "count": "no end"}
	case reflect.TypeFor[fault.Fault](), reflect.TypeFor[dataset.Dataset]():
		return map[string]string{"duration": "until the end", "lasts": "until the end"}
	case reflect.TypeFor[policy.RateLimit]():
		return map[string]string{"burst": "the calls of a second"}
	case reflect.TypeFor[policy.Breaker]():
		return map[string]string{"minCalls": "all of the window"}
	case reflect.TypeFor[policy.Hedge]():
		return map[string]string{"max": "1"}
	case reflect.TypeFor[policy.Fallback]():
		return map[string]string{"maxAge": "any age"}
	case reflect.TypeFor[experiment.Experiment]():
		return map[string]string{"abortWindow": "the default"}
	}
	return nil
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
