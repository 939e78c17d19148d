package spec

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/microsim"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file turns the short forms of the native kinds into the fields of the
// domain, node by node, so that every value keeps its place in the file.

// endpointKeys are written at a service to describe its only endpoint.
func endpointKeys() []string {
	return []string{"method", "work", "calls", "steps", "require", "response", "errorRate", "errorStatus", "timeout"}
}

func workKeys() []string  { return decode.KeysOf(reflect.TypeFor[topology.Work]()) }
func callKeys() []string  { return decode.KeysOf(reflect.TypeFor[topology.Call]()) }
func phaseKeys() []string { return decode.KeysOf(reflect.TypeFor[load.Phase]()) }
func argKeys() []string   { return decode.KeysOf(reflect.TypeFor[fault.Args]()) }

func (f *reader) lowerSystem(n *decode.Node, path string) {
	if n.Shape != decode.Object {
		return
	}
	if entry := n.Get("entry"); entry.IsScalar() {
		n.Set("entry", entry.Listed())
	}
	common := f.takeDefaults(n, path)
	services := n.Get("services")
	if services == nil {
		return
	}
	for i, service := range services.Items {
		if service.Shape == decode.Text {
			service = service.ObjectAt("name", service)
			services.Items[i] = service
		}
		f.lowerService(service, problem.Index(problem.Join(path, "services"), i), common)
	}
}

// lowerService lowers a service whose calls have policies in common with others.
func (f *reader) lowerService(n *decode.Node, path string, common *decode.Node) {
	if n.Shape != decode.Object {
		return
	}
	if own := f.takePolicy(n, path); own != nil {
		inherit(own, common)
		common = own
	}
	endpoints := n.Get("endpoints")
	if key := n.First(endpointKeys()...); key != "" && endpoints != nil {
		f.Mistake(n.Get(key).Or(n), problem.Join(path, key), "move it into an endpoint", "%s stands beside endpoints", key)
		n.Take(endpointKeys()...)
	}
	if endpoints == nil {
		endpoint := n.Take(endpointKeys()...)
		endpoints = endpoint.Listed()
		n.Take("endpoints")
		n.Set("endpoints", endpoints)
	}
	for i, endpoint := range endpoints.Items {
		f.lowerEndpoint(endpoint, problem.Index(problem.Join(path, "endpoints"), i))
		inheritAll(endpoint.Get("steps"), common)
	}
}

func (f *reader) lowerEndpoint(n *decode.Node, path string) {
	if n.Shape != decode.Object {
		return
	}
	if response := n.Get("response"); response.IsScalar() {
		n.Set("response", response.ObjectAt("size", response))
	} else if response != nil && response.Shape == decode.Object {
		lowerText(response, "body")
	}
	if require := n.Get("require"); require.IsScalar() {
		n.Set("require", require.ObjectAt("header", require))
	}
	steps := n.Get("steps")
	if key := n.First("work", "calls"); key != "" && steps != nil {
		f.Mistake(n.Get(key).Or(n), problem.Join(path, key), "keep steps, or work and calls", "%s stands beside steps", key)
	}
	work, calls := n.Get("work"), n.Get("calls").Listed()
	n.Take("work", "calls")
	if steps == nil && (work != nil || calls != nil) {
		steps = work.Or(calls).Like(decode.List)
		if work != nil {
			steps.Items = append(steps.Items, f.lowerWork(work, problem.Join(path, "work")))
		}
		if calls != nil {
			steps.Items = append(steps.Items, calls.Items...)
		}
		n.Set("steps", steps)
	}
	if steps == nil || len(steps.Items) == 0 && steps.Shape == decode.List {
		n.Take("steps")
		return
	}
	f.lowerSteps(steps, problem.Join(path, "steps"))
}

// lowerWork makes a step of an endpoint's work.
func (f *reader) lowerWork(n *decode.Node, path string) *decode.Node {
	if n.IsScalar() {
		f.Mistake(n, path, "write {cpu: 5ms} to compute or {sleep: 5ms} to wait", "%q does not say what kind of work it is", n.Scalar)
		n = n.Like(decode.Object)
	}
	return n.ObjectAt("work", n)
}

func (f *reader) lowerSteps(steps *decode.Node, path string) {
	if steps.Shape != decode.List {
		return
	}
	for i, step := range steps.Items {
		steps.Items[i] = f.lowerStep(step, problem.Index(path, i))
	}
}

// lowerStep makes a step of a callee's name, of the fields of a call, or of the
// fields of work.
func (f *reader) lowerStep(n *decode.Node, path string) *decode.Node {
	switch {
	case n.Shape == decode.Text:
		return n.ObjectAt("call", callTo(n))
	case n.Shape == decode.List:
		f.Mistake(n, path, "write {parallel: [a, b]}", "expected a step, got a list")
		return n.Like(decode.Object).ObjectAt("work", n.Like(decode.Object))
	case n.Shape != decode.Object:
		return n
	case n.Has("call"):
		if call := n.Get("call"); call != nil && call.Shape == decode.Text {
			n.Set("call", callTo(call))
		} else if call != nil {
			lowerCall(call)
		}
	case n.Has("parallel"):
		if parallel := n.Get("parallel"); parallel != nil {
			parallel = parallel.Listed()
			n.Set("parallel", parallel)
			f.lowerSteps(parallel, problem.Join(path, "parallel"))
		}
	case n.Has("to"):
		if to := n.Get("to"); to != nil && to.Shape == decode.Text && !n.Has("endpoint") {
			call := callTo(to)
			n.Set("to", call.Get("to"))
			if endpoint := call.Get("endpoint"); endpoint != nil {
				n.Set("endpoint", endpoint)
			}
		}
		lowerCall(n)
		return n.ObjectAt("call", n)
	case n.Has(workKeys()...):
		return n.ObjectAt("work", n)
	}
	return n
}

// callTo makes a call of a callee's name and, after it, the path called.
func callTo(n *decode.Node) *decode.Node {
	name, endpoint, _ := strings.Cut(n.Scalar, "/")
	call := n.ObjectAt("to", n.TextAt(name))
	if endpoint != "" {
		call.Set("endpoint", n.TextAt("/"+endpoint))
	}
	return call
}

// takeSystemName notes the system that a document names instead of describing it;
// what is the document in words.
func (f *reader) takeSystemName(n *decode.Node, p *document.Draft, what string) {
	if system := n.Get("system"); system.IsScalar() {
		p.SystemName = system
		n.Take("system")
	} else if system == nil {
		f.Mistake(n, "system", "describe it under system, or name one: system: social", "%s has no system", what)
	}
}

// lowerSystemAndLoad lowers what experiments and data sets have alike. A system
// without a name has that of its document.
func (f *reader) lowerSystemAndLoad(n *decode.Node) {
	if system := n.Get("system"); system != nil && system.Shape == decode.Object {
		if !system.Has("name") && n.Get("name") != nil {
			system.Set("name", n.Get("name"))
		}
		f.lowerSystem(system, "system")
	}
	if l := n.Get("load"); l != nil {
		f.lowerLoad(l, "load")
	}
}

func (f *reader) lowerExperiment(n *decode.Node) {
	if n.Shape != decode.Object {
		return
	}
	f.lowerSystemAndLoad(n)
	if faults := n.Get("faults"); faults != nil {
		for i, one := range faults.Items {
			f.lowerFault(one, problem.Index("faults", i))
		}
	}
	f.lowerComparison(n)
}

// lowerLoad makes the only phase of the fields of a phase that stand at the
// profile, and requests of names.
func (f *reader) lowerLoad(n *decode.Node, path string) {
	if n.Shape != decode.Object {
		return
	}
	if key := n.First(phaseKeys()...); key != "" {
		if n.Has("phases") {
			f.Mistake(n.Get(key).Or(n), problem.Join(path, key), "move it into a phase", "%s stands beside phases", key)
			n.Take(phaseKeys()...)
		} else {
			phase := n.Take(phaseKeys()...)
			n.Set("phases", phase.Listed())
		}
	}
	requests := n.Get("requests").Listed()
	if requests == nil {
		return
	}
	n.Set("requests", requests)
	for i, r := range requests.Items {
		if r.Shape == decode.Text {
			call := callTo(r)
			r = r.ObjectAt("service", call.Get("to"))
			if endpoint := call.Get("endpoint"); endpoint != nil {
				r.Set("endpoint", endpoint)
			}
			requests.Items[i] = r
		}
		at := problem.Join(problem.Index(problem.Join(path, "requests"), i), "chain")
		switch chain := r.Get("chain"); {
		case chain == nil:
		case chain.Shape == decode.Object:
			microsim.Chain(f.File, chain, at)
			r.Set("chain", chain.TextAt(string(chain.JSON())))
		case chain.Shape == decode.Text:
			microsim.ChainText(f.File, chain, at)
		}
	}
}

// lowerFault moves a fault's parameters into args and reads its target.
func (f *reader) lowerFault(n *decode.Node, path string) {
	if n.Shape != decode.Object {
		return
	}
	if key := n.First(argKeys()...); key != "" {
		if n.Has("args") {
			f.Mistake(n.Get(key).Or(n), problem.Join(path, key), "move it into args", "%s stands beside args", key)
			n.Take(argKeys()...)
		} else {
			n.Set("args", n.Take(argKeys()...))
		}
	}
	target := n.Get("target")
	if target != nil && target.Shape == decode.Text {
		parsed, err := fault.ParseTarget(target.Scalar)
		if err != nil {
			message, hint, _ := strings.Cut(err.Error(), ": ")
			f.Mistake(target, problem.Join(path, "target"), hint, "%s", message)
			n.Take("target", "direction")
			return
		}
		n.Set("target", targetNode(target, parsed))
	}
	if direction := n.Get("direction"); direction != nil {
		n.Take("direction")
		if target = n.Get("target"); target == nil {
			target = n.Like(decode.Object)
			n.Set("target", target)
		}
		target.Set("direction", direction)
	}
}

// targetNode writes a target as an object at the place of its text.
func targetNode(at *decode.Node, t fault.Target) *decode.Node {
	o := at.Like(decode.Object)
	for _, part := range []struct{ Key, Value string }{{"service", t.Service}, {"from", t.From}, {"endpoint", t.Endpoint}} {
		if part.Value != "" {
			o.Set(part.Key, at.TextAt(part.Value))
		}
	}
	if t.Replica != 0 {
		replica := at.Like(decode.Number)
		replica.Scalar = strconv.Itoa(t.Replica)
		o.Set("replica", replica)
	}
	return o
}
