package behave

import (
	"cmp"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Request is the identity of a request, by which decisions are keyed and faults
// are filtered.
type Request struct {
	// ID is the same for all calls that follow from one request from outside.
	ID string
	// Hop identifies one of those calls.
	Hop string
	// From is the calling service; empty for a client outside the system.
	From string
}

// A Service is a service, compiled for decisions. It does not change, so many
// goroutines may use it at once.
type Service struct {
	Name      string
	Endpoints []*Endpoint
	// Sites are the calls of all endpoints; a call's Site is its index.
	Sites  []*Call
	key    dist.Key
	byPath map[string][]*Endpoint
	// patterns are the endpoints whose paths have names in braces.
	patterns []*Endpoint
}

// New compiles a service. seed is the seed of the run, with which all replicas of a
// service decide alike. Bind must have completed the calls whose endpoint the file
// leaves out; others go to GET /.
func New(seed uint64, t *topology.Service) *Service {
	s := &Service{Name: t.Name, key: dist.Seed(seed).With(t.Name), byPath: map[string][]*Endpoint{}}
	for i := range t.Endpoints {
		e := compile(s, &t.Endpoints[i])
		s.Endpoints = append(s.Endpoints, e)
		s.byPath[e.Path] = append(s.byPath[e.Path], e)
		if len(e.Segments) > 0 {
			s.patterns = append(s.patterns, e)
		}
	}
	return s
}

// Endpoint returns the endpoint that answers a method and path. known reports
// whether the path exists with another method. If no endpoint has the root path, it
// means the first endpoint.
func (s *Service) Endpoint(method, path string) (e *Endpoint, known bool) {
	list, ok := s.byPath[path]
	if !ok && path == topology.DefaultPath {
		list = s.Endpoints
	}
	for _, e := range list {
		if e.Method == "" || e.Method == method {
			return e, true
		}
	}
	known = len(list) > 0
	for _, e := range s.patterns {
		if !topology.MatchPath(e.Path, path) {
			continue
		}
		if known = true; e.Method == "" || e.Method == method {
			return e, true
		}
	}
	return nil, known
}

// Methods lists the methods of the endpoints that answer a path, each once. ""
// stands for an endpoint of any method.
func (s *Service) Methods(path string) (methods []string) {
	add := func(e *Endpoint) {
		if !slices.Contains(methods, e.Method) {
			methods = append(methods, e.Method)
		}
	}
	list, ok := s.byPath[path]
	if !ok && path == topology.DefaultPath {
		list = s.Endpoints
	}
	for _, e := range list {
		add(e)
	}
	for _, e := range s.patterns {
		if topology.MatchPath(e.Path, path) {
			add(e)
		}
	}
	return methods
}

// Key returns the key from which all decisions for a request are derived.
func (s *Service) Key(r Request) dist.Key { return s.key.With(r.ID).With(r.Hop) }

// ReplicaKey returns the key that chooses the replica of the index-th call of a
// request.
func (s *Service) ReplicaKey(r Request, index int) dist.Key {
	return s.Key(r).With("replica").WithInt(index)
}

// CallKey returns the key from which the waits of a call are drawn.
func (s *Service) CallKey(r Request, index int) dist.Key {
	return s.Key(r).With("call").WithInt(index)
}

// OperationItem returns the item of a data store for the n-th operation, counted
// from 0, of the index-th call of a request. All attempts of a call use the same
// item.
func (s *Service) OperationItem(r Request, index, n, items int) int {
	return s.Key(r).With("item").WithInt(index).WithInt(n).IntN(max(items, 1))
}

// ItemOf returns the item for the n-th operation of a call; items returns how many a
// data store has. All operations of a call that follows a miss use the item that was
// looked up.
func (s *Service) ItemOf(r Request, op *Op, n int, items func(store string) int) int {
	if l := op.Call.OnMiss; l != nil {
		return s.OperationItem(r, l.Index, 0, items(l.Store))
	}
	return s.OperationItem(r, op.Index, n, items(op.Call.To))
}

// Bind returns the service of a system with every call complete: the endpoint and
// method that a call leaves out are those of its callee's first endpoint, and the
// operations that a call of a data store leaves out are the store's own. The
// endpoint of a call to a service at a URL becomes the path on its server. A
// service knows only its own part of the system, so it must be bound before it is
// started. Bind does not change the system, nor calls to unknown services.
func Bind(system *topology.System, service *topology.Service) topology.Service {
	callees := make(map[string]*topology.Service, len(system.Services))
	for i := range system.Services {
		callees[system.Services[i].Name] = &system.Services[i]
	}
	return BindTo(service, func(name string) *topology.Service { return callees[name] })
}

// BindTo is Bind for callers that have an index of the services.
func BindTo(service *topology.Service, lookup func(name string) *topology.Service) topology.Service {
	bound := *service
	bound.Endpoints = make([]topology.Endpoint, len(service.Endpoints))
	for i, e := range service.Endpoints {
		e.Steps = bindSteps(e.Steps, lookup)
		bound.Endpoints[i] = e
	}
	return bound
}

func bindSteps(steps []topology.Step, lookup func(string) *topology.Service) []topology.Step {
	if len(steps) == 0 {
		return nil
	}
	bound := make([]topology.Step, len(steps))
	for i, step := range steps {
		bound[i] = step
		bound[i].Parallel = bindSteps(step.Parallel, lookup)
		if step.Call == nil {
			continue
		}
		call := *step.Call
		if callee := lookup(call.To); callee != nil && callee.Kind.IsStore() {
			call = call.WithOperations(callee)
		} else if callee != nil {
			if e := callee.Endpoint(call.Method, call.Endpoint); e != nil {
				if len(topology.PathNames(e.Path)) == 0 || call.Endpoint == "" {
					call.Endpoint = e.Path
				}
				call.Method = cmp.Or(call.Method, e.Method)
			}
			call.Endpoint = callee.RequestPath(call.Endpoint)
		}
		bound[i].Call = &call
	}
	return bound
}
