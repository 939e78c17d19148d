package webui

import (
	"math"

	"github.com/microsim-dev/kubectl-microsim/model/drawing"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Graph is the services of a system, and who calls whom. Node 0 is the clients,
// whose name is empty.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// A Node is a service, or the clients.
type Node struct {
	Name     string `json:"name"`
	Kind     string `json:"kind,omitempty"`
	Replicas int    `json:"replicas,omitempty"`
}

// An Edge leads from a caller to whom it calls, by their places among the nodes.
type Edge struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// NewGraph is the graph of a system.
func NewGraph(s *topology.System) *Graph {
	g := &Graph{Nodes: []Node{{}}, Edges: []Edge{}}
	index := map[string]int{}
	for i := range s.Services {
		service := &s.Services[i]
		n := Node{Name: service.Name, Replicas: service.Replicas}
		if service.Kind != topology.Base {
			n.Kind = string(service.Kind)
		}
		index[n.Name] = len(g.Nodes)
		g.Nodes = append(g.Nodes, n)
	}
	known := map[Edge]bool{}
	join := func(e Edge) {
		if !known[e] {
			known[e] = true
			g.Edges = append(g.Edges, e)
		}
	}
	for _, entry := range s.Entries() {
		if to, ok := index[entry]; ok {
			join(Edge{0, to})
		}
	}
	for _, e := range s.Edges() {
		join(Edge{index[e.From.Service], index[e.To.Service]})
	}
	return g
}

// A layoutRequest is a graph that the page made by taking services together.
type layoutRequest struct {
	Nodes int      `json:"nodes"`
	Edges [][2]int `json:"edges"`
}

// A placed graph says where the page draws what. Points are x and y in turns, in
// whole pixels at the size of 1.
type placed struct {
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	NodeWidth  int     `json:"nodeWidth"`
	NodeHeight int     `json:"nodeHeight"`
	Nodes      []int   `json:"nodes"`
	Paths      [][]int `json:"paths"`
}

func place(r *layoutRequest) placed {
	l := drawing.New(drawing.Graph{N: r.Nodes, Edges: r.Edges, Roots: []int{0}})
	whole := func(v float64) int { return int(math.Round(v)) }
	p := placed{Width: whole(l.Width), Height: whole(l.Height), NodeWidth: drawing.NodeWidth, NodeHeight: whole(l.NodeHeight), Nodes: []int{}, Paths: [][]int{}}
	for _, at := range l.Nodes {
		p.Nodes = append(p.Nodes, whole(at.X), whole(at.Y))
	}
	for _, path := range l.Paths {
		points := []int{}
		for _, at := range path {
			points = append(points, whole(at.X), whole(at.Y))
		}
		p.Paths = append(p.Paths, points)
	}
	return p
}

// check says why a graph cannot be laid out.
func (r *layoutRequest) check() error {
	const most = 20_000
	if r.Nodes < 1 || r.Nodes > most || len(r.Edges) > 5*most {
		return badRequest("the graph has %d nodes and %d edges; 1 to %d nodes can be drawn", r.Nodes, len(r.Edges), most)
	}
	for _, e := range r.Edges {
		if min(e[0], e[1]) < 0 || max(e[0], e[1]) >= r.Nodes {
			return badRequest("the edge %v leads to a node that there is not", e)
		}
	}
	return nil
}
