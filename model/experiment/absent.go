package experiment

import (
	"reflect"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Absent lists the fields of a type in which 0 stands for the default, by their names
// in files, with the meaning of leaving them out. Readers refuse a 0 that is written
// in such a field, because its author means none.
func Absent(t reflect.Type) map[string]string {
	switch t {
	case reflect.TypeFor[topology.Service](), reflect.TypeFor[Patch]():
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
	case reflect.TypeFor[fault.Fault]():
		return map[string]string{"duration": "until the end", "probability": "1"}
	case reflect.TypeFor[fault.Args]():
		return map[string]string{"status": "500", "cores": "1", "load": "1", "hold": "the default of the type", "size": "the default of the type"}
	case reflect.TypeFor[policy.RateLimit]():
		return map[string]string{"burst": "the calls of a second"}
	case reflect.TypeFor[policy.Breaker]():
		return map[string]string{"minCalls": "all of the window"}
	case reflect.TypeFor[policy.Hedge]():
		return map[string]string{"max": "1"}
	case reflect.TypeFor[policy.Fallback]():
		return map[string]string{"maxAge": "any age"}
	case reflect.TypeFor[Experiment]():
		return map[string]string{"abortWindow": "the default"}
	}
	return nil
}
