package edit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// AddService adds a service to a system.
type AddService struct {
	In
	Service json.RawMessage `json:"service"`
	// At is the place among the services; nil means after the last.
	At *int `json:"at,omitempty"`
}

func (AddService) kind() string { return "addService" }

func (op AddService) apply(t *target) error {
	system, root, err := t.system()
	if err != nil {
		return err
	}
	if !given(op.Service) {
		return refuse("the service is missing; write {\"name\": \"cart\"}")
	}
	service, err := readServiceUnder(op.Service, policiesOf(look(root, "defaults"), policy.Call{}))
	if err != nil {
		return err
	}
	if system.Service(service.Name) != nil {
		return refuse("system %q has a service %q already; choose another name", system.Name, service.Name)
	}
	at, err := place(op.At, len(system.Services), "service")
	if err != nil {
		return err
	}
	system.Services = slices.Insert(system.Services, at, service)
	return nil
}

// readServiceUnder reads a service whose calls inherit policies.
func readServiceUnder(service any, inherited policy.Call) (topology.Service, error) {
	policies, err := policyFields(inherited)
	if err != nil {
		return topology.Service{}, err
	}
	d, err := read("System", fields{"services": []any{service}, "defaults": fields{"policy": policies}})
	if err != nil {
		return topology.Service{}, err
	}
	return d.System.Services[0], nil
}

// policyFields writes policies as a file has them.
func policyFields(p policy.Call) (json.RawMessage, error) {
	n, err := spec.Short(p)
	if err != nil {
		return nil, err
	}
	return n.JSON(), nil
}

// place returns where something new goes in a list.
func place(at *int, count int, what string) (int, error) {
	if at == nil {
		return count, nil
	}
	if *at < 0 || *at > count {
		return 0, refuse("there is no place %d for a %s: there are %d, and places count from 0", *at, what, count)
	}
	return *at, nil
}

// SetService gives a field of a service, or of one of its endpoints, a value.
type SetService struct {
	In
	Service string `json:"service"`
	// Endpoint is the path of the endpoint that a field of endpoints is of; empty
	// means the only one.
	Endpoint string `json:"endpoint,omitempty"`
	// Field is the key that a file has for it, such as replicas or work.
	Field string `json:"field"`
	// Value is written as in a file; null, or nothing, means the default.
	Value json.RawMessage `json:"value,omitempty"`
}

func (SetService) kind() string { return "setService" }

func (op SetService) apply(t *target) error {
	_, service, root, err := t.service(op.Service)
	if err != nil {
		return err
	}
	switch op.Field {
	case "name":
		return refuse("the name of a service is changed by renameService, which changes it everywhere")
	case "policy":
		return refuse("the policies that a service has for all its calls are not edited; set them at calls, by setPolicy")
	}
	inherited, err := t.inherited(root)
	if err != nil {
		return err
	}
	described := fields{"name": op.Service}
	if given(op.Value) {
		described[op.Field] = op.Value
	}
	value, err := readServiceUnder(described, inherited)
	if err != nil {
		return err
	}
	if !slices.Contains(spec.ServiceKeys(), op.Field) {
		return setNamed(service, op.Field, &value, "service")
	}
	e, err := endpointOf(service, op.Endpoint)
	if err != nil {
		return err
	}
	from := &value.Endpoints[0]
	hasWork := len(e.Steps) > 0 && e.Steps[0].Work != nil
	switch op.Field {
	case "work":
		if hasWork {
			e.Steps = e.Steps[1:]
		}
		e.Steps = append(from.Steps, e.Steps...)
	case "calls":
		var work []topology.Step
		if hasWork {
			work = e.Steps[:1]
		}
		e.Steps = append(slices.Clone(work), from.Steps...)
	default:
		return setNamed(e, op.Field, from, "endpoint")
	}
	return nil
}

func given(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// inherited returns the policies that the calls of a service inherit.
func (t *target) inherited(service *source.Node) (policy.Call, error) {
	_, root, err := t.system()
	if err != nil {
		return policy.Call{}, err
	}
	above := policiesOf(look(root, "defaults"), policy.Call{})
	if service.Kind != source.Object {
		return above, nil
	}
	return policiesOf(service, above), nil
}

func endpointOf(s *topology.Service, path string) (*topology.Endpoint, error) {
	var paths []string
	for i := range s.Endpoints {
		if s.Endpoints[i].Path == path || path == "" && len(s.Endpoints) == 1 {
			return &s.Endpoints[i], nil
		}
		paths = append(paths, s.Endpoints[i].Path)
	}
	if len(paths) == 0 {
		return nil, refuse("service %q has no endpoints", s.Name)
	}
	if path == "" {
		return nil, refuse("service %q has several endpoints; name one of %s", s.Name, strings.Join(paths, ", "))
	}
	return nil, refuse("service %q has no endpoint %q; name one of %s", s.Name, path, strings.Join(paths, ", "))
}

func policyType() reflect.Type { return reflect.TypeFor[policy.Call]() }

// setField copies a field, by the name that files have for it, and reports whether
// there is one.
func setField[T any](to *T, name string, from *T) bool {
	v, ok := fieldOf(reflect.ValueOf(to).Elem(), name)
	if ok {
		w, _ := fieldOf(reflect.ValueOf(from).Elem(), name)
		v.Set(w)
	}
	return ok
}

func setNamed[T any](to *T, name string, from *T, what string) error {
	if setField(to, name, from) {
		return nil
	}
	known := decode.KeysOf(reflect.TypeFor[T]())
	return refuse("a %s has no field %q; %s", what, name, problem.DidYouMean(name, known, "known are "+strings.Join(known, ", ")))
}

// RemoveService removes a service from a system.
type RemoveService struct {
	In
	Name string `json:"name"`
	// Cascade removes everything that names the service, too: calls, faults,
	// requests, checks, and what variants say of it. Without it a service that is
	// named somewhere is not removed.
	Cascade bool `json:"cascade,omitempty"`
}

func (RemoveService) kind() string { return "removeService" }

func (op RemoveService) apply(t *target) error {
	system, _, _, err := t.service(op.Name)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(system.Services, func(s topology.Service) bool { return s.Name == op.Name })
	system.Services = slices.Delete(system.Services, at, at+1)
	u := &uses{target: t, system: system, name: op.Name}
	if u.remove(); len(u.kept) > 0 {
		return &Refusal{Message: fmt.Sprintf("service %q is named where it cannot be taken out", op.Name), Uses: u.kept}
	}
	if len(u.removed) > 0 && !op.Cascade {
		return &Refusal{Message: fmt.Sprintf("service %q is in use; remove what names it, too (cascade), or change it first", op.Name), Uses: u.removed}
	}
	return nil
}

// RenameService gives a service another name, everywhere in the file: in calls,
// faults, loads, checks, variants and requests with routes of their own.
type RenameService struct {
	In
	Name string `json:"name"`
	To   string `json:"to"`
}

func (RenameService) kind() string { return "renameService" }

func (op RenameService) apply(t *target) error {
	system, service, _, err := t.service(op.Name)
	if err != nil {
		return err
	}
	if op.Name == op.To {
		return refuse("service %q has this name already", op.Name)
	}
	if system.Service(op.To) != nil {
		return refuse("system %q has a service %q already; choose another name", system.Name, op.To)
	}
	service.Name = op.To
	u := &uses{target: t, system: system, name: op.Name}
	if u.rename(op.To); len(u.kept) > 0 {
		return &Refusal{Message: fmt.Sprintf("service %q is named where it cannot be renamed", op.Name), Uses: u.kept}
	}
	return nil
}
