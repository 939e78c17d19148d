package spec

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file turns the short forms of the native kinds into the fields of the
// domain, node by node, so that every value keeps its place in the file.

// endpointKeys are written at a service to describe its only endpoint.
func endpointKeys() []string {
	return []string{"method", "work", "calls", "steps", "require", "response", "errorRate", "errorStatus", "timeout"}
}

func workKeys() []string  { return keysOf(reflect.TypeFor[topology.Work]()) }
func callKeys() []string  { return keysOf(reflect.TypeFor[topology.Call]()) }
func phaseKeys() []string { return keysOf(reflect.TypeFor[load.Phase]()) }
func argKeys() []string   { return keysOf(reflect.TypeFor[fault.Args]()) }

func (f *reader) lowerSystem(n *node, path string) {
	if n.shape != object {
		return
	}
	if entry := n.get("entry"); entry.isScalar() {
		n.set("entry", entry.listed())
	}
	common := f.takeDefaults(n, path)
	services := n.get("services")
	if services == nil {
		return
	}
	for i, service := range services.items {
		if service.shape == text {
			service = service.objectAt("name", service)
			services.items[i] = service
		}
		f.lowerService(service, problem.Index(problem.Join(path, "services"), i), common)
	}
}

// lowerService lowers a service whose calls have policies in common with others.
func (f *reader) lowerService(n *node, path string, common *node) {
	if n.shape != object {
		return
	}
	if own := f.takePolicy(n, path); own != nil {
		inherit(own, common)
		common = own
	}
	endpoints := n.get("endpoints")
	if key := n.first(endpointKeys()...); key != "" && endpoints != nil {
		f.mistake(n.get(key).or(n), problem.Join(path, key), "move it into an endpoint", "%s stands beside endpoints", key)
		n.take(endpointKeys()...)
	}
	if endpoints == nil {
		endpoint := n.take(endpointKeys()...)
		endpoints = endpoint.listed()
		n.take("endpoints")
		n.set("endpoints", endpoints)
	}
	for i, endpoint := range endpoints.items {
		f.lowerEndpoint(endpoint, problem.Index(problem.Join(path, "endpoints"), i))
		inheritAll(endpoint.get("steps"), common)
	}
}

func (f *reader) lowerEndpoint(n *node, path string) {
	if n.shape != object {
		return
	}
	if response := n.get("response"); response.isScalar() {
		n.set("response", response.objectAt("size", response))
	} else if response != nil && response.shape == object {
		lowerText(response, "body")
	}
	if require := n.get("require"); require.isScalar() {
		n.set("require", require.objectAt("header", require))
	}
	steps := n.get("steps")
	if key := n.first("work", "calls"); key != "" && steps != nil {
		f.mistake(n.get(key).or(n), problem.Join(path, key), "keep steps, or work and calls", "%s stands beside steps", key)
	}
	work, calls := n.get("work"), n.get("calls").listed()
	n.take("work", "calls")
	if steps == nil && (work != nil || calls != nil) {
		steps = work.or(calls).like(list)
		if work != nil {
			steps.items = append(steps.items, f.lowerWork(work, problem.Join(path, "work")))
		}
		if calls != nil {
			steps.items = append(steps.items, calls.items...)
		}
		n.set("steps", steps)
	}
	if steps == nil || len(steps.items) == 0 && steps.shape == list {
		n.take("steps")
		return
	}
	f.lowerSteps(steps, problem.Join(path, "steps"))
}

// lowerWork makes a step of an endpoint's work.
func (f *reader) lowerWork(n *node, path string) *node {
	if n.isScalar() {
		f.mistake(n, path, "write {cpu: 5ms} to compute or {sleep: 5ms} to wait", "%q does not say what kind of work it is", n.scalar)
		n = n.like(object)
	}
	return n.objectAt("work", n)
}

func (f *reader) lowerSteps(steps *node, path string) {
	if steps.shape != list {
		return
	}
	for i, step := range steps.items {
		steps.items[i] = f.lowerStep(step, problem.Index(path, i))
	}
}

// lowerStep makes a step of a callee's name, of the fields of a call, or of the
// fields of work.
func (f *reader) lowerStep(n *node, path string) *node {
	switch {
	case n.shape == text:
		return n.objectAt("call", callTo(n))
	case n.shape == list:
		f.mistake(n, path, "write {parallel: [a, b]}", "a list stands where a step is needed")
		return n.like(object).objectAt("work", n.like(object))
	case n.shape != object:
		return n
	case n.has("call"):
		if call := n.get("call"); call != nil && call.shape == text {
			n.set("call", callTo(call))
		} else if call != nil {
			lowerCall(call)
		}
	case n.has("parallel"):
		if parallel := n.get("parallel"); parallel != nil {
			parallel = parallel.listed()
			n.set("parallel", parallel)
			f.lowerSteps(parallel, problem.Join(path, "parallel"))
		}
	case n.has("to"):
		if to := n.get("to"); to != nil && to.shape == text && !n.has("endpoint") {
			call := callTo(to)
			n.set("to", call.get("to"))
			if endpoint := call.get("endpoint"); endpoint != nil {
				n.set("endpoint", endpoint)
			}
		}
		lowerCall(n)
		return n.objectAt("call", n)
	case n.has(workKeys()...):
		return n.objectAt("work", n)
	}
	return n
}

// callTo makes a call of a callee's name and, after it, the path called.
func callTo(n *node) *node {
	name, endpoint, _ := strings.Cut(n.scalar, "/")
	call := n.objectAt("to", n.textAt(name))
	if endpoint != "" {
		call.set("endpoint", n.textAt("/"+endpoint))
	}
	return call
}

func (f *reader) lowerExperiment(n *node) {
	if n.shape != object {
		return
	}
	if system := n.get("system"); system != nil && system.shape == object {
		if !system.has("name") && n.get("name") != nil {
			system.set("name", n.get("name"))
		}
		f.lowerSystem(system, "system")
	}
	if l := n.get("load"); l != nil {
		f.lowerLoad(l, "load")
	}
	if faults := n.get("faults"); faults != nil {
		for i, one := range faults.items {
			f.lowerFault(one, problem.Index("faults", i))
		}
	}
	f.lowerComparison(n)
}

// lowerLoad makes the only phase of the fields of a phase that stand at the
// profile, and requests of names.
func (f *reader) lowerLoad(n *node, path string) {
	if n.shape != object {
		return
	}
	if key := n.first(phaseKeys()...); key != "" {
		if n.has("phases") {
			f.mistake(n.get(key).or(n), problem.Join(path, key), "move it into a phase", "%s stands beside phases", key)
			n.take(phaseKeys()...)
		} else {
			phase := n.take(phaseKeys()...)
			n.set("phases", phase.listed())
		}
	}
	requests := n.get("requests").listed()
	if requests == nil {
		return
	}
	n.set("requests", requests)
	for i, r := range requests.items {
		if r.shape == text {
			call := callTo(r)
			r = r.objectAt("service", call.get("to"))
			if endpoint := call.get("endpoint"); endpoint != nil {
				r.set("endpoint", endpoint)
			}
			requests.items[i] = r
		}
		at := problem.Join(problem.Index(problem.Join(path, "requests"), i), "chain")
		switch chain := r.get("chain"); {
		case chain == nil:
		case chain.shape == object:
			readRequest(f.file, chain, at)
			r.set("chain", chain.textAt(string(chain.json())))
		case chain.shape == text:
			chainText(f.file, chain, at)
		}
	}
}

// lowerFault moves a fault's parameters into args and reads its target.
func (f *reader) lowerFault(n *node, path string) {
	if n.shape != object {
		return
	}
	if key := n.first(argKeys()...); key != "" {
		if n.has("args") {
			f.mistake(n.get(key).or(n), problem.Join(path, key), "move it into args", "%s stands beside args", key)
			n.take(argKeys()...)
		} else {
			n.set("args", n.take(argKeys()...))
		}
	}
	target := n.get("target")
	if target != nil && target.shape == text {
		parsed, err := fault.ParseTarget(target.scalar)
		if err != nil {
			message, hint, _ := strings.Cut(err.Error(), ": ")
			f.mistake(target, problem.Join(path, "target"), hint, "%s", message)
			n.take("target", "direction")
			return
		}
		n.set("target", targetNode(target, parsed))
	}
	if direction := n.get("direction"); direction != nil {
		n.take("direction")
		if target = n.get("target"); target == nil {
			target = n.like(object)
			n.set("target", target)
		}
		target.set("direction", direction)
	}
}

// targetNode writes a target as an object at the place of its text.
func targetNode(at *node, t fault.Target) *node {
	o := at.like(object)
	for _, part := range []struct{ key, value string }{{"service", t.Service}, {"from", t.From}, {"endpoint", t.Endpoint}} {
		if part.value != "" {
			o.set(part.key, at.textAt(part.value))
		}
	}
	if t.Replica != 0 {
		replica := at.like(number)
		replica.scalar = strconv.Itoa(t.Replica)
		o.set("replica", replica)
	}
	return o
}
