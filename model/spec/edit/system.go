package edit

import (
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file brings systems into their nodes.

func values[T any](before, after *T) (b, a, usual reflect.Value) {
	return reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), spec.Default(reflect.TypeFor[T]())
}

func equal[T any](a, b T) bool { return same(reflect.ValueOf(a), reflect.ValueOf(b)) }

// document brings what a document describes into its node.
func (s *syncer) document(n *source.Node, before, after *document.Document) {
	switch {
	case equal(before.System, after.System) && equal(before.Experiment, after.Experiment):
	case !s.enter(n):
	case before.System != nil:
		s.system(n, before.System, after.System)
	case before.Experiment != nil:
		s.experiment(n, before.Experiment, after.Experiment)
	}
}

func (s *syncer) system(n *source.Node, before, after *topology.System) {
	if !s.enter(n) {
		return
	}
	o := s.object(n, decode.KeysOf(reflect.TypeFor[topology.System]()))
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "services")
	inherited := policiesOf(look(n, "defaults"), policy.Call{})
	o.items("services", alignNames(names(before), names(after)), func(n *source.Node, p pair) {
		s.service(n, &before.Services[p.old], &after.Services[p.new], inherited)
	}, func(j int) *decode.Node { return s.shortService(after.Services[j], inherited) })
	o.done()
}

func names(s *topology.System) (names []string) {
	for i := range s.Services {
		names = append(names, s.Services[i].Name)
	}
	return names
}

// policiesOf returns the policies that calls below a node inherit: what stands
// there, or else what is inherited from above.
func policiesOf(n *source.Node, above policy.Call) policy.Call {
	own := look(n, "policy")
	if own == nil || own.Kind != source.Object {
		return above
	}
	call := callAt(node(own))
	to, from := reflect.ValueOf(&call).Elem(), reflect.ValueOf(above)
	for _, f := range decode.FieldsOf(to.Type()) {
		if look(own, f.Name) == nil {
			to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		}
	}
	return call
}

// callAt reads policies as a call has them.
func callAt(policies *decode.Node) policy.Call {
	policies.Set("to", &decode.Node{Shape: decode.Text, Scalar: "x"})
	step, err := readStep(policies.JSON())
	if err != nil || step.Call == nil {
		return policy.Call{} // not reached: the file was read without mistakes
	}
	return step.Call.Call
}

func (s *syncer) service(n *source.Node, before, after *topology.Service, inherited policy.Call) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	if n.Kind == source.Scalar {
		s.replace(n, s.shortService(*after, inherited))
		return
	}
	order := slices.Concat(decode.KeysOf(reflect.TypeFor[topology.Service]()), []string{"policy"}, endpointOrder())
	o := s.object(n, order)
	defer o.done()
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "endpoints")
	inherited = policiesOf(n, inherited)
	short := func(j int) *decode.Node { return s.shortEndpoint(after.Endpoints[j], inherited) }
	switch {
	case equal(before.Endpoints, after.Endpoints):
	case look(n, "endpoints") != nil:
		pairs := align(len(before.Endpoints), len(after.Endpoints),
			func(i, j int) bool { return equal(before.Endpoints[i], after.Endpoints[j]) },
			func(i, j int) bool { return before.Endpoints[i].Path == after.Endpoints[j].Path })
		o.items("endpoints", pairs, func(n *source.Node, p pair) {
			if e := &before.Endpoints[p.old]; !equal(e, &after.Endpoints[p.new]) && s.enter(n) {
				o := s.object(n, endpointOrder())
				o.endpoint(e, &after.Endpoints[p.new], inherited)
				o.done()
			}
		}, short)
	case len(after.Endpoints) == 1 && after.Endpoints[0].Path == topology.DefaultPath:
		o.endpoint(&before.Endpoints[0], &after.Endpoints[0], inherited, "path")
	default:
		list := &decode.Node{Shape: decode.List}
		for j := range after.Endpoints {
			list.Items = append(list.Items, short(j))
		}
		for _, key := range spec.ServiceKeys() {
			o.remove(key)
		}
		o.set("endpoints", list)
	}
}

// endpointOrder lists the keys of an endpoint as they are mostly written.
func endpointOrder() []string {
	return []string{"path", "method", "require", "work", "calls", "steps", "response", "errorRate", "errorStatus", "timeout"}
}

func (o *object) endpoint(before, after *topology.Endpoint, inherited policy.Call, except ...string) {
	b, a, usual := values(before, after)
	o.fields(b, a, usual, append(except, "steps")...)
	if equal(before.Steps, after.Steps) {
		return
	}
	if o.get("steps") != nil {
		o.stepsAt("steps", before.Steps, after.Steps, inherited)
		return
	}
	if _, from := o.node.Merged("steps"); from != nil {
		o.shared = append(o.shared, o.file.MergedError(from))
		return
	}
	work := o.get("work")
	if work == nil {
		if len(after.Steps) == len(before.Steps)+1 && after.Steps[0].Work != nil && equal(before.Steps, after.Steps[1:]) {
			o.set("work", o.short(*after.Steps[0].Work))
			return
		}
		o.stepsAt("calls", before.Steps, after.Steps, inherited)
		return
	}
	switch {
	case len(after.Steps) > 0 && after.Steps[0].Work != nil:
		if !equal(before.Steps[0], after.Steps[0]) {
			o.value(work, reflect.ValueOf(*before.Steps[0].Work), reflect.ValueOf(*after.Steps[0].Work))
		}
		o.stepsAt("calls", before.Steps[1:], after.Steps[1:], inherited)
	case equal(before.Steps[1:], after.Steps):
		o.remove("work")
	default:
		o.remove("work")
		o.stepsAt("calls", before.Steps[1:], after.Steps, inherited)
	}
}

func (o *object) stepsAt(key string, before, after []topology.Step, inherited policy.Call) {
	if equal(before, after) {
		return
	}
	o.items(key, alignSteps(before, after), func(n *source.Node, p pair) {
		o.step(n, &before[p.old], &after[p.new], inherited)
	}, func(j int) *decode.Node { return o.shortStep(after[j], inherited) })
}

func alignSteps(before, after []topology.Step) []pair {
	return align(len(before), len(after), func(i, j int) bool { return equal(before[i], after[j]) }, func(i, j int) bool {
		a, b := before[i], after[j]
		return a.Call != nil && b.Call != nil && a.Call.To == b.Call.To || a.Parallel != nil && b.Parallel != nil || a.Work != nil && b.Work != nil
	})
}

// step brings a step into its node: the name of a callee, a call, work, or steps
// at once, with or without a key that says so.
func (s *syncer) step(n *source.Node, before, after *topology.Step, inherited policy.Call) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	whole := func() { s.replace(n, s.shortStep(*after, inherited)) }
	if n.Kind != source.Object {
		whole()
		return
	}
	switch call, work := n.Get("call"), n.Get("work"); {
	case before.Call != nil && after.Call != nil && call != nil:
		if call.Kind == source.Scalar {
			s.replace(call, s.shortStep(*after, inherited))
		} else {
			s.call(call, before.Call, after.Call, inherited)
		}
	case before.Call != nil && after.Call != nil && call == nil:
		s.call(n, before.Call, after.Call, inherited)
	case before.Work != nil && after.Work != nil && work != nil:
		s.value(work, reflect.ValueOf(*before.Work), reflect.ValueOf(*after.Work))
	case before.Work != nil && after.Work != nil:
		s.value(n, reflect.ValueOf(*before.Work), reflect.ValueOf(*after.Work))
	case before.Parallel != nil && len(after.Parallel) > 0:
		o := s.object(n, []string{"parallel"})
		o.stepsAt("parallel", before.Parallel, after.Parallel, inherited)
		o.done()
	default:
		whole()
	}
}

func (s *syncer) call(n *source.Node, before, after *topology.Call, inherited policy.Call) {
	if !s.enter(n) {
		return
	}
	o := s.object(n, decode.KeysOf(reflect.TypeFor[topology.Call]()))
	b, a, usual := values(before, after)
	policies := decode.KeysOf(reflect.TypeFor[policy.Call]())
	o.fields(b, a, usual, append([]string{"to", "endpoint", "onError", "answers"}, policies...)...)
	o.callee(before, after)
	o.onError(before, after)
	for _, key := range policies {
		o.policy(key, &before.Call, &after.Call, inherited)
	}
	o.done()
}

// callee writes whom a call goes to, with the path behind the name where it was so.
func (o *object) callee(before, after *topology.Call) {
	if before.To == after.To && before.Endpoint == after.Endpoint {
		return
	}
	b, a, usual := values(before, after)
	joined := after.Endpoint == "" || strings.HasPrefix(after.Endpoint, "/") && len(after.Endpoint) > 1
	if o.get("endpoint") != nil || !joined {
		for _, key := range []string{"to", "endpoint"} {
			x, _ := fieldOf(b, key)
			y, _ := fieldOf(a, key)
			z, _ := fieldOf(usual, key)
			o.field(key, x, y, z)
		}
		return
	}
	o.set("to", &decode.Node{Shape: decode.Text, Scalar: after.To + after.Endpoint})
}

func (o *object) onError(before, after *topology.Call) {
	if before.OnError == after.OnError && equal(before.Answers, after.Answers) {
		return
	}
	c := topology.NewCall("x")
	c.OnError, c.Answers = after.OnError, after.Answers
	short := o.short(topology.Step{Call: &c})
	for _, key := range []string{"onError", "answers"} {
		own, wanted := o.get(key), short.Get(key)
		switch {
		case wanted == nil && own != nil:
			o.remove(key)
		case wanted == nil:
		case own != nil:
			o.tree(own, wanted)
		default:
			o.set(key, wanted)
		}
	}
}

// policy writes a policy of a call; without a value it turns off what is inherited.
func (o *object) policy(key string, before, after *policy.Call, inherited policy.Call) {
	b, _ := fieldOf(reflect.ValueOf(*before), key)
	a, _ := fieldOf(reflect.ValueOf(*after), key)
	usual, _ := fieldOf(reflect.ValueOf(inherited), key)
	own := o.get(key)
	switch {
	case same(b, a):
	case same(a, usual) && (own != nil || look(o.node, key) != nil):
		o.remove(key)
	case a.IsZero():
		o.set(key, &decode.Node{})
	case own != nil && !b.IsZero():
		o.value(own, b, a)
	default:
		o.set(key, o.shortPolicy(key, a))
	}
}

// shortPolicy is the short form of one policy.
func (s *syncer) shortPolicy(key string, v reflect.Value) *decode.Node {
	c := topology.NewCall("x")
	to, _ := fieldOf(reflect.ValueOf(&c).Elem(), key)
	to.Set(v)
	return s.short(topology.Step{Call: &c}).Get(key)
}

// own returns the policies of a call that are not inherited, and the keys of those
// that it turns off.
func own(c *topology.Call, inherited policy.Call) (written topology.Call, off []string) {
	written = *c
	to, from := reflect.ValueOf(&written.Call).Elem(), reflect.ValueOf(inherited)
	for _, f := range decode.FieldsOf(to.Type()) {
		v, usual := to.FieldByIndex(f.Index), from.FieldByIndex(f.Index)
		switch {
		case usual.IsZero():
		case v.IsZero():
			off = append(off, f.Name)
		case same(v, usual):
			v.SetZero()
		}
	}
	return written, off
}

// shortStep is the short form of a step whose calls inherit policies.
func (s *syncer) shortStep(step topology.Step, inherited policy.Call) *decode.Node {
	switch {
	case step.Call != nil:
		written, off := own(step.Call, inherited)
		n := s.short(topology.Step{Call: &written})
		if len(off) > 0 && n.IsScalar() {
			n = n.ObjectAt("to", n)
		}
		for _, key := range off {
			n.Set(key, &decode.Node{})
		}
		return n
	case step.Parallel != nil:
		list := &decode.Node{Shape: decode.List}
		for _, inner := range step.Parallel {
			list.Items = append(list.Items, s.shortStep(inner, inherited))
		}
		return list.ObjectAt("parallel", list)
	}
	return s.short(step)
}

func (s *syncer) shortEndpoint(e topology.Endpoint, inherited policy.Call) *decode.Node {
	return s.short(without(e, inherited))
}

func (s *syncer) shortService(v topology.Service, inherited policy.Call) *decode.Node {
	v = clone(v)
	for i := range v.Endpoints {
		v.Endpoints[i] = without(v.Endpoints[i], inherited)
	}
	return s.short(v)
}

// without takes inherited policies from the calls of a new endpoint.
func without(e topology.Endpoint, inherited policy.Call) topology.Endpoint {
	e = clone(e)
	s := topology.Service{Endpoints: []topology.Endpoint{e}}
	s.EachStep(func(step *topology.Step) {
		if step.Call != nil {
			*step.Call, _ = own(step.Call, inherited)
		}
	})
	return s.Endpoints[0]
}
