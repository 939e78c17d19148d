package webui

import (
	"math"
	"slices"

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
	// Store says that it is a data store, which other faults act on.
	Store bool `json:"store,omitempty"`
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
		n := Node{Name: service.Name, Kind: service.Badge(), Replicas: service.Replicas, Store: service.Kind.IsStore()}
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

// An aside is what runs beside what the page has described, and what does not run of that,
// because another program has changed it.
type aside struct {
	// Added are services that run without being described, Calls the calls between
	// services that do, each from a caller to a callee.
	Added []Node      `json:"added,omitempty"`
	Calls [][2]string `json:"calls,omitempty"`
	// Removed are services that are described and do not run.
	Removed []string `json:"removed,omitempty"`
}

// asideOf compares what runs with what is described; it is nil if nothing has to be drawn
// beside that. Calls of the clients are left out, because the load goes on to be
// sent where it was.
func asideOf(runs, described *Graph) *aside {
	services, calls := described.names()
	a := &aside{}
	for _, n := range runs.Nodes {
		if !services[n.Name] {
			a.Added = append(a.Added, n)
		}
	}
	for _, e := range runs.Edges {
		if call := runs.call(e); e.From != 0 && !calls[call] {
			a.Calls = append(a.Calls, call)
		}
	}
	running, _ := runs.names()
	for _, n := range described.Nodes {
		if !running[n.Name] {
			a.Removed = append(a.Removed, n.Name)
		}
	}
	if len(a.Added)+len(a.Calls)+len(a.Removed) == 0 {
		return nil
	}
	return a
}

// names are the services of a graph and its calls by name.
func (g *Graph) names() (services map[string]bool, calls map[[2]string]bool) {
	services, calls = map[string]bool{}, map[[2]string]bool{}
	for _, n := range g.Nodes {
		services[n.Name] = true
	}
	for _, e := range g.Edges {
		calls[g.call(e)] = true
	}
	return services, calls
}

// call is an edge by the names of its ends.
func (g *Graph) call(e Edge) [2]string {
	return [2]string{g.Nodes[e.From].Name, g.Nodes[e.To].Name}
}

// A layoutRequest is a graph to be laid out. Node 0 is the clients.
type layoutRequest struct {
	Nodes []string `json:"nodes"`
	Edges [][2]int `json:"edges"`
	// Grouped takes services together, so that about 60 boxes are drawn.
	Grouped bool `json:"grouped"`
	// Narrow lays the graph out downwards, for the window of a telephone.
	Narrow bool `json:"narrow"`
	// Shown are services that stand alone in any case, Hot those that do if there is
	// room.
	Shown []int `json:"shown"`
	Hot   []int `json:"hot"`
	// Open and Shut are groups that the user has opened and closed.
	Open []string `json:"open"`
	Shut []string `json:"shut"`
}

// A placed graph says where the page draws what. Points are x and y in turns, in
// whole pixels at the size of 1.
type placed struct {
	Width      int         `json:"width"`
	Height     int         `json:"height"`
	NodeWidth  int         `json:"nodeWidth"`
	NodeHeight int         `json:"nodeHeight"`
	Down       bool        `json:"down,omitempty"`
	Boxes      []placedBox `json:"boxes"`
	Edges      []foldEdge  `json:"edges"`
	Nodes      []int       `json:"nodes"`
	Paths      [][]int     `json:"paths"`
}

// A placedBox is a service, or a group of some with what they have in common. Inside
// are the groups that it is part of, the outermost first.
type placedBox struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Why     string          `json:"why,omitempty"`
	Members []int           `json:"members"`
	Inside  []drawing.Group `json:"inside,omitempty"`
}

// A foldEdge leads from a box to another, and stands for some edges of the graph.
type foldEdge struct {
	Edge
	Stands []int `json:"stands"`
}

func place(r *layoutRequest) placed {
	g := drawing.Graph{N: len(r.Nodes), Edges: r.Edges, Roots: []int{0}}
	boxes := r.boxes(g)
	folded, stands := g.Fold(boxes)
	lay := drawing.New
	if r.Narrow {
		lay = drawing.Narrow
	}
	l := lay(folded)
	whole := func(v float64) int { return int(math.Round(v)) }
	p := placed{
		Width: whole(l.Width), Height: whole(l.Height), NodeWidth: drawing.NodeWidth, NodeHeight: whole(l.NodeHeight), Down: l.Down,
		Boxes: []placedBox{}, Edges: []foldEdge{}, Nodes: []int{}, Paths: [][]int{},
	}
	for i, at := range l.Nodes {
		p.Boxes = append(p.Boxes, placedBox(boxes[i]))
		p.Nodes = append(p.Nodes, whole(at.X), whole(at.Y))
	}
	for i, path := range l.Paths {
		e := folded.Edges[i]
		p.Edges = append(p.Edges, foldEdge{Edge{e[0], e[1]}, stands[i]})
		points := []int{}
		for _, at := range path {
			points = append(points, whole(at.X), whole(at.Y))
		}
		p.Paths = append(p.Paths, points)
	}
	return p
}

// boxes are what is drawn: each service, or groups of them.
func (r *layoutRequest) boxes(g drawing.Graph) []drawing.Box {
	if !r.Grouped {
		var all []drawing.Box
		for v, name := range r.Nodes {
			all = append(all, drawing.Box{ID: "node " + name, Name: name, Members: []int{v}})
		}
		return all
	}
	view := drawing.View{Interest: make([]float64, g.N), Open: map[string]bool{}, Shut: map[string]bool{}}
	for _, v := range r.Hot {
		view.Interest[v] = drawing.Hot
	}
	for _, v := range r.Shown {
		view.Interest[v] = math.Inf(1)
	}
	for _, id := range r.Open {
		view.Open[id] = true
	}
	for _, id := range r.Shut {
		view.Shut[id] = true
	}
	return drawing.NewTree(g, r.Nodes).Cut(view)
}

// check says why a graph cannot be laid out.
func (r *layoutRequest) check() error {
	const most = 20_000
	n := len(r.Nodes)
	if n < 1 || n > most+1 || len(r.Edges) > 5*most {
		return badRequest("the graph has %d nodes and %d edges; 1 to %d nodes, and up to %d edges, can be drawn", n, len(r.Edges), most+1, 5*most)
	}
	for _, e := range r.Edges {
		if min(e[0], e[1]) < 0 || max(e[0], e[1]) >= n {
			return badRequest("the edge %v leads to a node that there is not", e)
		}
	}
	for _, v := range append(slices.Clip(r.Shown), r.Hot...) {
		if v < 0 || v >= n {
			return badRequest("there is no node %d to be shown", v)
		}
	}
	return nil
}
