package edit

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// AddCall adds a call, or another step, to an endpoint of a service.
type AddCall struct {
	In
	Service  string `json:"service"`
	Endpoint string `json:"endpoint,omitempty"`
	// Call is a step as in a file: "cart", {"to": "cart"}, {"sleep": "5ms"} or
	// {"parallel": ["a", "b"]}.
	Call json.RawMessage `json:"call"`
	// At is the place among the steps; nil means after the last.
	At *int `json:"at,omitempty"`
}

func (AddCall) kind() string { return "addCall" }

func (op AddCall) apply(t *target) error {
	_, service, root, err := t.service(op.Service)
	if err != nil {
		return err
	}
	e, err := endpointOf(service, op.Endpoint)
	if err != nil {
		return err
	}
	if len(op.Call) == 0 {
		return refuse("the call is missing; write {\"to\": \"cart\"}")
	}
	inherited, err := t.inherited(root)
	if err != nil {
		return err
	}
	read, err := readServiceUnder(fields{"name": op.Service, "steps": []any{op.Call}}, inherited)
	if err != nil {
		return err
	}
	at, err := place(op.At, len(e.Steps), "step")
	if err != nil {
		return err
	}
	e.Steps = slices.Insert(slices.Clone(e.Steps), at, read.Endpoints[0].Steps...)
	return nil
}

// A CallRef names a call of an endpoint by its callee.
type CallRef struct {
	Service  string `json:"service"`
	Endpoint string `json:"endpoint,omitempty"`
	To       string `json:"to"`
	// Nth counts the endpoint's calls to the callee from 0.
	Nth int `json:"nth,omitempty"`
}

// find visits the steps of the endpoint until the call, and gives the list that it
// is in.
func (c CallRef) find(e *topology.Endpoint) (list *[]topology.Step, at int, err error) {
	left := c.Nth
	var walk func(steps *[]topology.Step) bool
	walk = func(steps *[]topology.Step) bool {
		for i := range *steps {
			step := &(*steps)[i]
			if step.Call != nil && step.Call.To == c.To {
				if left == 0 {
					list, at = steps, i
					return true
				}
				left--
			}
			if walk(&step.Parallel) {
				return true
			}
		}
		return false
	}
	if c.Nth < 0 || !walk(&e.Steps) {
		if c.Nth > 0 {
			return nil, 0, refuse("service %q has no call %d to %q at %q, counted from 0", c.Service, c.Nth, c.To, e.Path)
		}
		return nil, 0, refuse("service %q does not call %q at %q", c.Service, c.To, e.Path)
	}
	return list, at, nil
}

func (c CallRef) endpoint(t *target) (*topology.Endpoint, error) {
	_, service, _, err := t.service(c.Service)
	if err != nil {
		return nil, err
	}
	return endpointOf(service, c.Endpoint)
}

// RemoveCall removes a call.
type RemoveCall struct {
	In
	CallRef
}

func (RemoveCall) kind() string { return "removeCall" }

func (op RemoveCall) apply(t *target) error {
	e, err := op.endpoint(t)
	if err != nil {
		return err
	}
	list, at, err := op.find(e)
	if err != nil {
		return err
	}
	*list = slices.Delete(slices.Clone(*list), at, at+1)
	e.Steps = withoutEmpty(e.Steps)
	return nil
}

// withoutEmpty leaves out steps at once that have no steps any more.
func withoutEmpty(steps []topology.Step) []topology.Step {
	var kept []topology.Step
	for _, s := range steps {
		if s.Call == nil && s.Work == nil {
			if s.Parallel = withoutEmpty(s.Parallel); len(s.Parallel) == 0 {
				continue
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// SetCall gives a field of a call a value.
type SetCall struct {
	In
	CallRef
	// Field is the key that a file has for it, such as probability or retry.
	Field string `json:"field"`
	// Value is written as in a file. Without one the field is left out, and has its
	// default; a policy is then inherited. Null means that a policy is off.
	Value json.RawMessage `json:"value,omitempty"`
}

func (SetCall) kind() string { return "setCall" }

func (op SetCall) apply(t *target) error {
	e, err := op.endpoint(t)
	if err != nil {
		return err
	}
	list, at, err := op.find(e)
	if err != nil {
		return err
	}
	_, _, root, err := t.service(op.Service)
	if err != nil {
		return err
	}
	inherited, err := t.inherited(root)
	if err != nil {
		return err
	}
	isPolicy := slices.Contains(decode.KeysOf(policyType()), op.Field)
	described := fields{"to": op.To}
	if given(op.Value) || isPolicy && len(op.Value) > 0 {
		described[op.Field] = op.Value
	} else if op.Field == "to" {
		return refuse("a call needs a callee; remove the call by removeCall")
	}
	read, err := readServiceUnder(fields{"name": op.Service, "steps": []any{described}}, inherited)
	if err != nil {
		return err
	}
	value := read.Endpoints[0].Steps[0].Call
	call := (*list)[at].Call
	switch op.Field {
	case "onError", "answers":
		call.OnError, call.Answers = value.OnError, value.Answers
	case "to":
		call.To = value.To
		if value.Endpoint != "" {
			call.Endpoint = value.Endpoint
		}
	default:
		return setNamed(call, op.Field, value, "call")
	}
	return nil
}

// SetPolicy sets a policy of a call, or takes it away.
type SetPolicy struct {
	In
	CallRef
	// Policy is timeout, retry, breaker, bulkhead, rateLimit, hedge or fallback.
	Policy string `json:"policy"`
	// Value is written as in a file; null means none, and without a value what the
	// service or the system has for all calls holds.
	Value json.RawMessage `json:"value,omitempty"`
}

func (SetPolicy) kind() string { return "setPolicy" }

func (op SetPolicy) apply(t *target) error {
	if known := decode.KeysOf(policyType()); !slices.Contains(known, op.Policy) {
		return refuse("there is no policy %q; known are %s", op.Policy, strings.Join(known, ", "))
	}
	return SetCall{In: op.In, CallRef: op.CallRef, Field: op.Policy, Value: op.Value}.apply(t)
}
