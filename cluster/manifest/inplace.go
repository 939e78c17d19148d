package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// This file plans what changes in pods that go on: the description of a service, which the
// agent follows while it runs.

// A Transition is how the objects of a system become others.
type Transition struct {
	// Objects are to be applied. Deployments whose pods go on have the template that they
	// have now.
	Objects []*unstructured.Unstructured
	// InPlace are the descriptions that pods are to follow which go on, by service.
	InPlace map[string]control.Description
	// Rolled are the Deployments that take the place of those in Objects whose pods do
	// not follow after all.
	Rolled map[string]*unstructured.Unstructured
	// Starts says that Objects have Deployments whose pods start.
	Starts bool
}

// Plan returns how the objects of one plan become those of another. differ are the objects
// of the other plan that the first lacks or has otherwise, live the Deployments as they are
// now, by service.
func Plan(from, to, differ []*unstructured.Unstructured, live map[string]*appsv1.Deployment) (*Transition, error) {
	t := &Transition{InPlace: map[string]control.Description{}, Rolled: map[string]*unstructured.Unstructured{}}
	before, after := partsOf(from), partsOf(to)
	for name, part := range after {
		if before[name] == "" || before[name] == part || !takesVariable(live[name]) || !sameTemplate(deploymentIn(from, name), deploymentIn(to, name)) {
			continue
		}
		old, next, err := descriptions(before[name], part)
		if err != nil {
			return nil, fmt.Errorf("reading the part of service %q: %w", name, err)
		}
		if len(control.Fixed(&old.Service, &next.Service)) == 0 {
			t.InPlace[name] = next
		}
	}
	for _, o := range differ {
		name := o.GetLabels()[ServiceLabel]
		if o.GetKind() != "Deployment" {
			t.Objects = append(t.Objects, o)
			continue
		}
		_, changes := t.InPlace[name]
		if changes {
			t.Rolled[name] = rolled(o, live[name])
		}
		if changes || live[name] != nil && before[name] != "" && before[name] == after[name] && sameTemplate(deploymentIn(from, name), o) {
			o = withMark(o, markOf(live[name]))
			if was := deploymentIn(from, name); was != nil && reflect.DeepEqual(withMark(was, markOf(live[name])).Object, o.Object) {
				continue
			}
		} else {
			t.Starts = true
		}
		t.Objects = append(t.Objects, o)
	}
	return t, nil
}

// Replacing returns the Deployments of services whose pods do not follow after all, to be
// applied so that they are replaced.
func (t *Transition) Replacing(services []string) (objects []*unstructured.Unstructured) {
	for _, name := range services {
		if o := t.Rolled[name]; o != nil {
			objects = append(objects, o)
			delete(t.InPlace, name)
		}
	}
	return objects
}

// DescriptionsOf returns the descriptions that the pods of a plan follow, by service.
func DescriptionsOf(plan []*unstructured.Unstructured) (map[string]control.Description, error) {
	all := map[string]control.Description{}
	for name, part := range partsOf(plan) {
		var d control.Description
		if err := json.Unmarshal([]byte(part), &d); err != nil {
			return nil, fmt.Errorf("reading the part of service %q: %w", name, err)
		}
		all[name] = d
	}
	return all, nil
}

// descriptions reads two parts. The next one has the peers of both: requests that began by
// the old one may still call a service that goes.
func descriptions(before, after string) (old, next control.Description, err error) {
	if err = json.Unmarshal([]byte(before), &old); err != nil {
		return old, next, err
	}
	if err = json.Unmarshal([]byte(after), &next); err != nil {
		return old, next, err
	}
	for name, urls := range old.Peers {
		if next.Peers[name] == nil && next.Peers != nil {
			next.Peers[name] = urls
		}
	}
	return old, next, nil
}

// partsOf are the parts of the system that a plan keeps for variables, by service.
func partsOf(plan []*unstructured.Unstructured) map[string]string {
	parts := map[string]string{}
	for _, o := range plan {
		part, ok, _ := unstructured.NestedString(o.Object, "data", specKey)
		if o.GetKind() == "ConfigMap" && ok && len(part) <= maxInline {
			parts[o.GetLabels()[ServiceLabel]] = part
		}
	}
	return parts
}

func deploymentIn(plan []*unstructured.Unstructured, service string) *unstructured.Unstructured {
	for _, o := range plan {
		if o.GetKind() == "Deployment" && o.GetLabels()[ServiceLabel] == service {
			return o
		}
	}
	return nil
}

// sameTemplate reports whether the pods of two Deployments differ in nothing but the
// part of the system with which they are rolled out.
func sameTemplate(a, b *unstructured.Unstructured) bool {
	if a == nil || b == nil {
		return false
	}
	of, _, _ := unstructured.NestedMap(withMark(a, "").Object, "spec", "template")
	to, _, _ := unstructured.NestedMap(withMark(b, "").Object, "spec", "template")
	return reflect.DeepEqual(of, to)
}

// markPath is where a Deployment has the mark of its pods.
func markPath() []string {
	return []string{"spec", "template", "metadata", "annotations", SpecAnnotation}
}

func withMark(o *unstructured.Unstructured, mark string) *unstructured.Unstructured {
	o = o.DeepCopy()
	_ = unstructured.SetNestedField(o.Object, mark, markPath()...) // every plan has annotations there
	return o
}

func markOf(d *appsv1.Deployment) string { return d.Spec.Template.Annotations[SpecAnnotation] }

// rolled returns a Deployment whose pods are replaced in any case: a service may be changed
// in place and back, and then has the mark of its pods already.
func rolled(o *unstructured.Unstructured, live *appsv1.Deployment) *unstructured.Unstructured {
	mark, _, _ := unstructured.NestedString(o.Object, markPath()...)
	if mark == markOf(live) {
		mark += "-again"
	}
	return withMark(o, mark)
}

// takesVariable reports whether the pods of a Deployment read their part from its ConfigMap
// when they start. Those of an earlier version have it in their template.
func takesVariable(d *appsv1.Deployment) bool {
	if d == nil || markOf(d) == "" {
		return false
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if c.Name == ContainerName && v.Name == partName {
				return v.ValueFrom != nil && v.ValueFrom.ConfigMapKeyRef != nil
			}
		}
	}
	return false
}

// Fingerprints are those of the descriptions that pods start with, by service, as the
// ConfigMaps of a system have them.
func Fingerprints(configs []corev1.ConfigMap) map[string]string {
	all := map[string]string{}
	for i := range configs {
		part := configs[i].Data[specKey]
		var d control.Description
		if part == "" || len(part) > maxInline || json.Unmarshal([]byte(part), &d) != nil {
			continue
		}
		if f, err := d.Fingerprint(); err == nil {
			all[configs[i].Labels[ServiceLabel]] = f
		}
	}
	return all
}
