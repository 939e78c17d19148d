package topology

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An Edge is one call of the graph: the endpoint that makes it, the endpoint
// that answers it, and how often it is made for each request on average.
type Edge struct {
	From, To EndpointRef
	// PerRequest is probability times count, summed over equal calls.
	PerRequest float64
}

// An EndpointRef is an endpoint of a service, by name and path.
type EndpointRef struct {
	Service, Endpoint string
}

func (p EndpointRef) String() string {
	if p.Endpoint == DefaultPath || p.Endpoint == "" {
		return p.Service
	}
	return p.Service + p.Endpoint
}

// Calls lists the names of the services that a service may call, in the order
// of their first mention.
func (s *Service) Calls() []string {
	var names []string
	for i := range s.Endpoints {
		for call := range s.Endpoints[i].calls {
			if !slices.Contains(names, call.To) {
				names = append(names, call.To)
			}
		}
	}
	return names
}

// calls yields every call of the endpoint.
func (e *Endpoint) calls(yield func(*Call) bool) {
	walk(e.Steps, yield)
}

func walk(steps []Step, yield func(*Call) bool) bool {
	for i := range steps {
		if c := steps[i].Call; c != nil && !yield(c) {
			return false
		}
		if !walk(steps[i].Parallel, yield) {
			return false
		}
	}
	return true
}

// Callers lists the services that call a service, in the order of the file. It does
// not know calls of chains.
func (s *System) Callers(service string) (names []string) {
	for i := range s.Services {
		if slices.Contains(s.Services[i].Calls(), service) {
			names = append(names, s.Services[i].Name)
		}
	}
	return names
}

// Edges lists the calls between endpoints in the order of the file. It omits calls
// of services that do not exist.
func (s *System) Edges() []Edge {
	byName := map[string]*Service{}
	for i := range s.Services {
		byName[s.Services[i].Name] = &s.Services[i]
	}
	var edges []Edge
	index := map[[2]EndpointRef]int{}
	for i := range s.Services {
		for j := range s.Services[i].Endpoints {
			e := &s.Services[i].Endpoints[j]
			from := EndpointRef{s.Services[i].Name, e.Path}
			for c := range e.calls {
				callee := byName[c.To]
				if callee == nil {
					continue
				}
				to := EndpointRef{Service: c.To, Endpoint: c.Endpoint}
				if at := callee.Endpoint(c.Method, c.Endpoint); at != nil {
					to.Endpoint = at.Path
				}
				at, known := index[[2]EndpointRef{from, to}]
				if !known {
					at = len(edges)
					index[[2]EndpointRef{from, to}] = at
					edges = append(edges, Edge{From: from, To: to})
				}
				edges[at].PerRequest += float64(c.Probability) * float64(c.Count)
			}
		}
	}
	return edges
}

// Entries lists the services at which requests arrive: the services in Entry or, if
// it is empty, those that no service calls or, if there are none, the first. It
// never lists data stores.
func (s *System) Entries() []string {
	if len(s.Entry) > 0 {
		return s.Entry
	}
	called := map[string]bool{}
	for _, e := range s.Edges() {
		if e.From.Service != e.To.Service {
			called[e.To.Service] = true
		}
	}
	var names []string
	for i := range s.Services {
		if !called[s.Services[i].Name] && !s.Services[i].Kind.IsStore() {
			names = append(names, s.Services[i].Name)
		}
	}
	if at := slices.IndexFunc(s.Services, func(t Service) bool { return !t.Kind.IsStore() }); len(names) == 0 && at >= 0 {
		names = []string{s.Services[at].Name}
	}
	return names
}

// Executions returns how often each endpoint works, on average, for one request to
// the given endpoint, which counts, too. Endpoints that the request never reaches
// are absent. The system must have no endless cycle.
func (s *System) Executions(entry EndpointRef) map[EndpointRef]float64 {
	out := map[EndpointRef][]Edge{}
	for _, e := range s.Edges() {
		out[e.From] = append(out[e.From], e)
	}
	if entry.Endpoint == "" {
		entry.Endpoint = DefaultPath
		if svc := s.Service(entry.Service); svc != nil && len(svc.Endpoints) > 0 {
			entry.Endpoint = svc.Endpoints[0].Path
		}
	}
	total := map[EndpointRef]float64{entry: 1}
	wave := map[EndpointRef]float64{entry: 1}
	// Each wave is one hop further away. A cycle's waves shrink; stop when they are
	// negligible.
	for range 10000 {
		next := map[EndpointRef]float64{}
		sum := 0.0
		for from, n := range wave {
			for _, e := range out[from] {
				if n*e.PerRequest > 0 {
					next[e.To] += n * e.PerRequest
					sum += n * e.PerRequest
				}
			}
		}
		if sum < 1e-9 {
			break
		}
		for to, n := range next {
			total[to] += n
		}
		wave = next
	}
	return total
}

// checkCycles refuses cycles of calls in which each round makes, on average, at
// least as many calls as the round before, because a request would never end.
func (s *System) checkCycles(problems *problem.List) {
	edges := s.Edges()
	out := map[EndpointRef][]Edge{}
	var places []EndpointRef
	for _, e := range edges {
		if e.PerRequest > 0 {
			if out[e.From] == nil {
				places = append(places, e.From)
			}
			out[e.From] = append(out[e.From], e)
		}
	}
	for _, component := range components(places, out) {
		if growth(component, out) < 1-1e-9 {
			continue
		}
		cycle := findCycle(component, out)
		first := cycle[0]
		names := make([]string, len(cycle))
		for i, p := range cycle {
			names[i] = p.String()
		}
		at := slices.IndexFunc(s.Services, func(svc Service) bool { return svc.Name == first.Service })
		problems.AddHint(problem.Index("services", at), "remove a call, or give one a probability that lets the cycle end",
			"calls go round without end: %s", strings.Join(append(names, first.String()), " -> "))
	}
}

// components returns the strongly connected components that have a cycle. It is
// Tarjan's algorithm with a stack of its own, because recursion would limit the
// depth of graphs.
func components(places []EndpointRef, out map[EndpointRef][]Edge) [][]EndpointRef {
	type state struct {
		index, low int
		onStack    bool
	}
	states := map[EndpointRef]*state{}
	var found [][]EndpointRef
	var stack []EndpointRef
	type frame struct {
		place EndpointRef
		next  int
	}
	for _, root := range places {
		if states[root] != nil {
			continue
		}
		work := []frame{{place: root}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			st := states[f.place]
			if st == nil {
				st = &state{index: len(states), low: len(states), onStack: true}
				states[f.place] = st
				stack = append(stack, f.place)
			}
			if f.next < len(out[f.place]) {
				to := out[f.place][f.next].To
				f.next++
				if next := states[to]; next == nil {
					work = append(work, frame{place: to})
				} else if next.onStack {
					st.low = min(st.low, next.index)
				}
				continue
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := states[work[len(work)-1].place]
				parent.low = min(parent.low, st.low)
			}
			if st.low != st.index {
				continue
			}
			at := len(stack) - 1
			for stack[at] != f.place { // mostly the last
				at--
			}
			component := slices.Clone(stack[at:])
			stack = stack[:at]
			for _, p := range component {
				states[p].onStack = false
			}
			loops := slices.ContainsFunc(out[component[0]], func(e Edge) bool { return e.To == component[0] })
			if len(component) > 1 || loops {
				found = append(found, component)
			}
		}
	}
	return found
}

// growth returns the factor by which the calls inside a component multiply with
// each round: the spectral radius of its matrix of calls per request, found by
// power iteration with a shift that makes it converge for cycles, too.
func growth(component []EndpointRef, out map[EndpointRef][]Edge) float64 {
	weight := map[EndpointRef]float64{}
	for _, p := range component {
		weight[p] = 1
	}
	radius := 0.0
	for range 200 {
		next := map[EndpointRef]float64{}
		for _, p := range component {
			next[p] += weight[p]
			for _, e := range out[p] {
				if _, inside := weight[e.To]; inside {
					next[p] += e.PerRequest * weight[e.To]
				}
			}
		}
		norm := 0.0
		for _, p := range component {
			norm = math.Max(norm, next[p])
		}
		radius = norm - 1
		for p := range next {
			next[p] /= norm
		}
		weight = next
	}
	return radius
}

// findCycle returns one cycle of the component, each place once.
func findCycle(component []EndpointRef, out map[EndpointRef][]Edge) []EndpointRef {
	path := []EndpointRef{component[0]}
	for {
		last := path[len(path)-1]
		for _, e := range out[last] {
			if at := slices.Index(path, e.To); at >= 0 {
				return path[at:]
			}
		}
		next := slices.IndexFunc(out[last], func(e Edge) bool { return slices.Contains(component, e.To) })
		path = append(path, out[last][next].To)
	}
}

// Describe says in one line how large the system is.
func (s *System) Describe() string {
	return fmt.Sprintf("%s, %s", unit.Count(len(s.Services), "service"), unit.Count(len(s.Edges()), "call"))
}
