// Package chaosmesh reads objects of Chaos Mesh as faults of this project. It
// refuses objects and fields that no fault can represent by name, and says what to
// use instead.
package chaosmesh

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const (
	Group            = "chaos-mesh.org"
	kindNetworkChaos = "NetworkChaos"
	kindStressChaos  = "StressChaos"
	kindPodChaos     = "PodChaos"
	// pauseAnnotation keeps the faults of an object from acting.
	pauseAnnotation = "experiment.chaos-mesh.org/pause"
)

type chaosFile[S any] struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Metadata   document.ObjectMeta `json:"metadata"`
	Spec       S                   `json:"spec"`
	Status     decode.Ignored      `json:"status"`
}

// chaosTargets says which pods are meant.
type chaosTargets struct {
	Selector chaosSelector     `json:"selector"`
	Mode     document.PickMode `json:"mode"`
	Value    string            `json:"value"`
}

type chaosSelector struct {
	Namespaces          []string          `json:"namespaces"`
	LabelSelectors      map[string]string `json:"labelSelectors"`
	ExpressionSelectors []chaosExpression `json:"expressionSelectors"`
	// These are refused.
	Pods                decode.Ignored `json:"pods"`
	Nodes               decode.Ignored `json:"nodes"`
	NodeSelectors       decode.Ignored `json:"nodeSelectors"`
	FieldSelectors      decode.Ignored `json:"fieldSelectors"`
	AnnotationSelectors decode.Ignored `json:"annotationSelectors"`
	PodPhaseSelectors   decode.Ignored `json:"podPhaseSelectors"`
}

type chaosExpression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// chaosFields are those that all the kinds have.
type chaosFields struct {
	chaosTargets
	Duration      unit.Duration  `json:"duration"`
	RemoteCluster decode.Ignored `json:"remoteCluster"`
	Scheduler     decode.Ignored `json:"scheduler"`
}

// Read reads an object by its kind.
func Read(f *decode.File, n *decode.Node) *document.Draft {
	switch kind := n.Text("kind"); kind {
	case kindNetworkChaos:
		return readChaos(f, n, kind, (*chaosReader).network)
	case kindStressChaos:
		return readChaos(f, n, kind, (*chaosReader).stress)
	case kindPodChaos:
		return readChaos(f, n, kind, (*chaosReader).pods)
	default:
		f.Mistake(n.Get("kind").Or(n), "kind", insteadOfKind(kind), "kind %q of %s cannot be read", kind, Group)
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
	*document.Draft
	Name string
}

func readChaos[S any](f *decode.File, n *decode.Node, kind string, read func(*chaosReader, *S) chaosFields) *document.Draft {
	c := &chaosReader{Draft: document.NewDraft(f, n, document.ChaosMesh, kind)}
	var in chaosFile[S]
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	c.Name = in.Metadata.Name
	if c.Name == "" {
		f.Mistake(n.Get("metadata").Or(n), "metadata.name", "give it one; it is listed and cleared by it", "the object has no name")
	}
	c.Faults = &document.Faults{Name: c.Name}
	if in.Metadata.Annotations[pauseAnnotation] == "true" {
		c.Faults.Paused = true
		c.Note(n.Get("metadata").Get("annotations"), "metadata.annotations", "the object is paused: none of its faults is applied; to apply them, remove the annotation %s", pauseAnnotation)
	}
	if n.Get("spec") == nil {
		f.Mistake(n, "spec", "say what is to be broken", "spec is missing")
		return c.Draft
	}
	for _, key := range []string{"remoteCluster", "scheduler"} {
		c.refuse("spec."+key, "remove it")
	}
	common := read(c, &in.Spec)
	on := c.selection(&common.chaosTargets, "spec")
	c.Faults.Namespace = in.Metadata.Namespace
	for i := range c.Faults.Parts {
		p := &c.Faults.Parts[i]
		p.On, p.Fault.Duration, p.Fault.Probability = on, common.Duration, 1
		if len(c.Faults.Parts) == 1 {
			p.Fault.Name = c.Name
		}
	}
	return c.Draft
}

// refuse reports a field that is there and has no meaning here.
func (c *chaosReader) refuse(path, hint string) {
	if at, there := c.Root.Follow(path); there {
		key := path[strings.LastIndexByte(path, '.')+1:]
		c.File.Mistake(at, path, hint, "%s is not covered", key)
	}
}

// needs reports a parameter that is missing, or 0, without which a fault has no effect.
func (c *chaosReader) needs(path string, zero bool) {
	told := slices.ContainsFunc(c.File.InDocument(), func(m decode.Mistake) bool { return m.Path == path })
	if !zero || told {
		return
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	switch at, there := c.Root.Follow(path); {
	case there:
		c.File.Mistake(at, path, "write more than 0", "a %s of 0 has no effect", key)
	default:
		c.File.Mistake(at, path, "write it, with more than 0", "%s is missing", key)
	}
}

// add adds a fault that the object has under a path.
func (c *chaosReader) add(path string, f fault.Fault, moved map[string]string) {
	f.Name = c.Name + "-" + strings.TrimPrefix(string(f.Type), "net-")
	for from, to := range moved {
		c.Moved[path+".args."+from] = path + "." + to
	}
	c.Moved[path+".name"], c.Moved[path+".duration"] = "metadata.name", "spec.duration"
	c.Faults.Parts = append(c.Faults.Parts, document.Part{Fault: f.WithDefaults(), Path: path, Towards: fault.ToTarget})
}

// selection reads which pods are meant.
func (c *chaosReader) selection(t *chaosTargets, path string) document.Selection {
	s := document.Selection{Mode: t.Mode, Namespaces: t.Selector.Namespaces}
	at := func(key string) *decode.Node { return c.Root.At(problem.Join(path, key)) }
	s.Services, s.Labels = c.Services(&t.Selector, problem.Join(path, "selector"))
	if path := problem.Join(path, "selector.namespaces"); len(s.Namespaces) > 0 {
		c.NoteOffCluster(c.Root.At(path), path, "namespaces count for 'fault apply' on a cluster; elsewhere, services are those of the one system")
	}
	switch t.Mode {
	case document.PickAll, document.PickOne:
	case document.PickFixed, document.PickPercent, document.PickAtMostPer:
		n, err := strconv.Atoi(strings.TrimSuffix(t.Value, "%"))
		if err != nil || n < 0 || t.Mode != document.PickFixed && n > 100 {
			c.File.Mistake(at("value"), problem.Join(path, "value"), "write a whole number in quotes, such as \"2\"", "mode %s cannot use the value %q as a number of pods", t.Mode, t.Value)
		}
		s.Value = n
	case "":
		c.File.Mistake(at("mode"), problem.Join(path, "mode"), "write all, one, fixed, fixed-percent or random-max-percent", "mode is missing")
	default:
		c.File.Mistake(at("mode"), problem.Join(path, "mode"), "write all, one, fixed, fixed-percent or random-max-percent", "mode %q is not known", t.Mode)
	}
	return s
}

// Services reads a selector: the services that it names, and labels of which a
// value may be one. Nil and nil mean all services of the system.
func (c *chaosReader) Services(s *chaosSelector, path string) (services []string, others map[string]string) {
	for _, key := range []string{"pods", "nodes", "nodeSelectors", "fieldSelectors", "annotationSelectors", "podPhaseSelectors"} {
		c.refuse(path+"."+key, "choose services with labelSelectors: {app.kubernetes.io/name: SERVICE}")
	}
	var named [][]string
	labels := c.Root.At(path)
	if selector := c.Root.Under(path); selector != nil && selector.Get("labelSelectors") != nil {
		for _, field := range selector.Get("labelSelectors").Fields {
			value := s.LabelSelectors[field.Key]
			switch {
			case isServiceLabel(field.Key):
				named = append(named, []string{value})
			case isSystemLabel(field.Key):
				c.Faults.System = value
			case field.Key == "app.kubernetes.io/managed-by" && value == "microsim":
			default:
				if others == nil {
					others = map[string]string{}
				}
				others[field.Key] = value
			}
		}
	}
	for i, e := range s.ExpressionSelectors {
		at := problem.Index(path+".expressionSelectors", i)
		if !isServiceLabel(e.Key) || e.Operator != "In" || len(e.Values) == 0 {
			c.File.Mistake(c.Root.At(at), at, "write {key: app.kubernetes.io/name, operator: In, values: [SERVICE]}", "the expression on %q with operator %q cannot select our services", e.Key, e.Operator)
			continue
		}
		named = append(named, e.Values)
	}
	switch {
	case len(named) == 0:
		return nil, others
	case len(named) == 1 && others == nil:
		return named[0], nil
	}
	c.File.Mistake(labels, path, "keep one of them", "the selector names services in more than one way")
	return nil, nil
}

// isSystemLabel tells of the labels whose value is a system.
func isSystemLabel(key string) bool {
	return key == "microsim.dev/system" || key == "app.kubernetes.io/part-of" || key == "app.kubernetes.io/instance"
}

// isServiceLabel tells of the labels whose value is a service: ours, and that of
// VECROsim's pods.
func isServiceLabel(key string) bool {
	return key == "app.kubernetes.io/name" || key == "microsim.dev/service" || key == "vecro-sim/service-name"
}
