package spec

import (
	"reflect"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A Chain is a MicroSim request that carries its own route.
type Chain struct {
	// JSON is the request as compact JSON. Every node has its probability.
	JSON []byte
}

// chainFile is one hop of a request.
type chainFile struct {
	Designation string      `json:"designation"`
	Probability int         `json:"probability"`
	Faults      chainFaults `json:"faults"`
	Routes      []chainFile `json:"routes"`
}

type chainFaults struct {
	Before []chainFault `json:"before"`
	After  []chainFault `json:"after"`
}

type chainFault struct {
	Type string  `json:"type"`
	Args ignored `json:"args"`
}

// readChain reads a request of MicroSim as a document.
func (f *file) readChain(n *node) {
	p := f.add(n, MicroSim, kindRequest)
	f.chain(n)
	p.Chain = &Chain{JSON: n.json()}
}

// chain checks the shape of a request and fills in probabilities. A hop without
// a probability is always taken: MicroSim's own reader makes 0 of it, which its
// draw then takes in one of a hundred cases, and nobody can mean that.
func (f *file) chain(n *node) {
	var in chainFile
	f.decode(n, "", reflect.ValueOf(&in).Elem())
	f.chainHop(n, "")
}

func (f *file) chainHop(n *node, path string) {
	if n.shape != object {
		return
	}
	if n.text("designation") == "" {
		f.mistake(n, problem.Join(path, "designation"), "name the service that is called", "designation is missing")
	}
	if p := n.get("probability"); p == nil {
		hundred := n.like(number)
		hundred.scalar = "100"
		n.set("probability", hundred)
	} else if p.shape == number && (len(p.scalar) > 3 || p.scalar[0] == '-' || len(p.scalar) == 3 && p.scalar != "100") {
		f.mistake(p, problem.Join(path, "probability"), "write a percentage from 0 to 100", "probability %s is out of range", p.scalar)
	}
	if routes := n.get("routes"); routes != nil {
		for i, route := range routes.items {
			f.chainHop(route, problem.Index(problem.Join(path, "routes"), i))
		}
	}
}

// Designations lists the services that the hops of a chain name, each once, in
// the order of the request.
func (c *Chain) Designations() []string {
	f := file{}
	var names []string
	var walk func(*node)
	walk = func(n *node) {
		if name := n.text("designation"); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if routes := n.get("routes"); routes != nil {
			for _, route := range routes.items {
				walk(route)
			}
		}
	}
	for _, root := range f.parse(c.JSON) {
		walk(root)
	}
	return names
}
