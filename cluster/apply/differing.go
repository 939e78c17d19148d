package apply

import "reflect"

// Differing returns the objects of a plan that another plan lacks or has otherwise.
func Differing(from, plan []Object) (differ []Object) {
	type name struct{ kind, namespace, name string }
	before := map[name]Object{}
	for _, o := range from {
		before[name{o.GetKind(), o.GetNamespace(), o.GetName()}] = o
	}
	for _, o := range plan {
		old := before[name{o.GetKind(), o.GetNamespace(), o.GetName()}]
		if old == nil || !reflect.DeepEqual(old.Object, o.Object) {
			differ = append(differ, o)
		}
	}
	return differ
}
