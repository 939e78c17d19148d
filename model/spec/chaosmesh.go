package spec

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file reads those objects of Chaos Mesh that our faults can stand for. What
// they cannot is refused by its name, with what to use in its place.

const (
	chaosMeshGroup   = "chaos-mesh.org"
	kindNetworkChaos = "NetworkChaos"
	kindStressChaos  = "StressChaos"
	kindPodChaos     = "PodChaos"
)

type chaosFile[S any] struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   objectMeta `json:"metadata"`
	Spec       S          `json:"spec"`
	Status     ignored    `json:"status"`
}

// chaosTargets says which pods are meant.
type chaosTargets struct {
	Selector chaosSelector `json:"selector"`
	Mode     pickMode      `json:"mode"`
	Value    string        `json:"value"`
}

type chaosSelector struct {
	Namespaces          ignored           `json:"namespaces"`
	LabelSelectors      map[string]string `json:"labelSelectors"`
	ExpressionSelectors []chaosExpression `json:"expressionSelectors"`
	// These are refused.
	Pods                ignored `json:"pods"`
	Nodes               ignored `json:"nodes"`
	NodeSelectors       ignored `json:"nodeSelectors"`
	FieldSelectors      ignored `json:"fieldSelectors"`
	AnnotationSelectors ignored `json:"annotationSelectors"`
	PodPhaseSelectors   ignored `json:"podPhaseSelectors"`
}

type chaosExpression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// chaosFields are those that all the kinds have.
type chaosFields struct {
	chaosTargets
	Duration      unit.Duration `json:"duration"`
	RemoteCluster ignored       `json:"remoteCluster"`
	Scheduler     ignored       `json:"scheduler"`
}

// readChaosMesh reads an object by its kind.
func readChaosMesh(f *file, n *node) *pending {
	switch kind := n.text("kind"); kind {
	case kindNetworkChaos:
		return readChaos(f, n, kind, (*chaosReader).network)
	case kindStressChaos:
		return readChaos(f, n, kind, (*chaosReader).stress)
	case kindPodChaos:
		return readChaos(f, n, kind, (*chaosReader).pods)
	default:
		f.mistake(n.get("kind").or(n), "kind", insteadOfKind(kind), "kind %q of %s cannot be read", kind, chaosMeshGroup)
		return nil
	}
}

// insteadOfKind says what does what a kind that is not read does.
func insteadOfKind(kind string) string {
	switch kind {
	case "Schedule", "Workflow", "WorkflowNode":
		return "write the objects that it would make; for a time line, faults with a start in an Experiment"
	case "HTTPChaos":
		return "use the faults latency, error, abort and corrupt in an Experiment, or with 'fault add'"
	case "IOChaos", "BlockChaos":
		return "use a StressChaos, or the faults io and io-stress"
	case "JVMChaos":
		return "use the faults latency, panic, cpu and memory-leak"
	case "DNSChaos":
		return "use the fault unreachable"
	}
	return "read are " + strings.Join([]string{kindNetworkChaos, kindStressChaos, kindPodChaos}, ", ")
}

// A chaosReader makes faults of one object.
type chaosReader struct {
	*pending
	name string
}

func readChaos[S any](f *file, n *node, kind string, read func(*chaosReader, *S) chaosFields) *pending {
	c := &chaosReader{pending: newPending(f, n, ChaosMesh, kind)}
	var in chaosFile[S]
	f.decode(n, "", reflect.ValueOf(&in).Elem())
	c.name = in.Metadata.Name
	if c.name == "" {
		f.mistake(n.get("metadata").or(n), "metadata.name", "give it one; it is listed and cleared by it", "the object has no name")
	}
	c.Faults = &Faults{Name: c.name}
	if n.get("spec") == nil {
		f.mistake(n, "spec", "say what is to be broken", "spec is missing")
		return c.pending
	}
	for _, key := range []string{"remoteCluster", "scheduler"} {
		c.refuse("spec."+key, "remove it")
	}
	common := read(c, &in.Spec)
	on := c.selection(&common.chaosTargets, "spec")
	for i := range c.Faults.parts {
		p := &c.Faults.parts[i]
		p.on, p.fault.Duration, p.fault.Probability = on, common.Duration, 1
		if len(c.Faults.parts) == 1 {
			p.fault.Name = c.name
		}
	}
	return c.pending
}

// refuse reports a field that is there and has no meaning here.
func (c *chaosReader) refuse(path, hint string) {
	if at, there := c.root.follow(path); there {
		key := path[strings.LastIndexByte(path, '.')+1:]
		c.file.mistake(at, path, hint, "%s is not covered", key)
	}
}

// add adds a fault that the object has under a path.
func (c *chaosReader) add(path string, f fault.Fault, moved map[string]string) *part {
	f.Name = c.name + "-" + strings.TrimPrefix(string(f.Type), "net-")
	for from, to := range moved {
		c.moved[path+".args."+from] = path + "." + to
	}
	c.moved[path+".name"], c.moved[path+".duration"] = "metadata.name", "spec.duration"
	c.Faults.parts = append(c.Faults.parts, part{fault: f.WithDefaults(), path: path, towards: fault.ToTarget})
	return &c.Faults.parts[len(c.Faults.parts)-1]
}

// selection reads which pods are meant.
func (c *chaosReader) selection(t *chaosTargets, path string) selection {
	s := selection{mode: t.Mode}
	at := func(key string) *node { return c.root.at(problem.Join(path, key)) }
	s.services = c.services(&t.Selector, problem.Join(path, "selector"))
	switch t.Mode {
	case pickAll, pickOne:
	case pickFixed, pickPercent, pickAtMostPer:
		n, err := strconv.Atoi(strings.TrimSuffix(t.Value, "%"))
		if err != nil || n < 0 || t.Mode != pickFixed && n > 100 {
			c.file.mistake(at("value"), problem.Join(path, "value"), "write a whole number in quotes, such as \"2\"", "mode %s with the value %q takes no number of pods", t.Mode, t.Value)
		}
		s.value = n
	case "":
		c.file.mistake(at("mode"), problem.Join(path, "mode"), "write all, one, fixed, fixed-percent or random-max-percent", "mode is missing")
	default:
		c.file.mistake(at("mode"), problem.Join(path, "mode"), "write all, one, fixed, fixed-percent or random-max-percent", "mode %q is not known", t.Mode)
	}
	return s
}

// services reads a selector. Nil means all services of the system.
func (c *chaosReader) services(s *chaosSelector, path string) []string {
	for _, key := range []string{"pods", "nodes", "nodeSelectors", "fieldSelectors", "annotationSelectors", "podPhaseSelectors"} {
		c.refuse(path+"."+key, "choose services with labelSelectors: {app.kubernetes.io/name: SERVICE}")
	}
	var named [][]string
	labels := c.root.at(path)
	if selector := c.root.under(path); selector != nil && selector.get("labelSelectors") != nil {
		for _, field := range selector.get("labelSelectors").fields {
			if service := c.label(field.key, s.LabelSelectors[field.key], field, path+".labelSelectors."+field.key); service {
				named = append(named, []string{s.LabelSelectors[field.key]})
			}
		}
	}
	for i, e := range s.ExpressionSelectors {
		at := problem.Index(path+".expressionSelectors", i)
		if !isServiceLabel(e.Key) || e.Operator != "In" || len(e.Values) == 0 {
			c.file.mistake(c.root.at(at), at, "write {key: app.kubernetes.io/name, operator: In, values: [SERVICE]}", "the expression on %q with operator %q cannot be told for our services", e.Key, e.Operator)
			continue
		}
		named = append(named, e.Values)
	}
	switch len(named) {
	case 0:
		return nil
	case 1:
		return named[0]
	}
	c.file.mistake(labels, path, "keep one of them", "the selector names services in more than one way")
	return nil
}

// label reads one label of a selector and tells whether its value is a service.
func (c *chaosReader) label(key, value string, at field, path string) bool {
	switch {
	case isServiceLabel(key):
		return true
	case key == "microsim.dev/system", key == "app.kubernetes.io/part-of", key == "app.kubernetes.io/instance":
		c.Faults.System = value
	case key == "app.kubernetes.io/managed-by" && value == "microsim":
	default:
		c.file.mistake(&node{line: at.line, col: at.col}, path, "choose a service of the system with app.kubernetes.io/name or microsim.dev/service", "label %q is none that pods of our systems are known by", key)
	}
	return false
}

// isServiceLabel tells of the labels whose value is a service: ours, and that of
// VECROsim's pods.
func isServiceLabel(key string) bool {
	return key == "app.kubernetes.io/name" || key == "microsim.dev/service" || key == "vecro-sim/service-name"
}
