package page

import (
	layout "github.com/microsim-dev/kubectl-microsim/model/drawing"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// MaxDrawn is the number of services up to which a system is drawn as a graph.
const MaxDrawn = 60

// A drawing says where the services and calls of a run are drawn. The clients
// are its first node. A system of more than MaxDrawn services has no places.
type drawing struct {
	Width      num           `json:"width"`
	Height     num           `json:"height"`
	NodeWidth  num           `json:"nodeWidth"`
	NodeHeight num           `json:"nodeHeight"`
	Nodes      []nodeDrawing `json:"nodes"`
	Edges      []edgeDrawing `json:"edges"`
	Placed     bool          `json:"placed"`
}

type nodeDrawing struct {
	// Name is empty for the clients.
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Replicas int    `json:"replicas"`
	X        num    `json:"x"`
	Y        num    `json:"y"`
}

// An edgeDrawing is a call; its points are x and y in turns.
type edgeDrawing struct {
	From   int   `json:"from"`
	To     int   `json:"to"`
	Points []num `json:"points"`
}

func newDrawing(run *Run) drawing {
	b := newDrawer(run)
	d := drawing{NodeWidth: layout.NodeWidth, Nodes: b.nodes, Edges: []edgeDrawing{}, Placed: len(b.nodes)-1 <= MaxDrawn}
	l := &layout.Layout{Nodes: make([]layout.Point, len(b.nodes)), Paths: make([][]layout.Point, len(b.edges))}
	if d.Placed {
		l = layout.New(layout.Graph{N: len(b.nodes), Edges: b.edges, Roots: []int{0}})
	}
	d.Width, d.Height, d.NodeHeight = num(l.Width), num(l.Height), num(l.NodeHeight)
	for i := range d.Nodes {
		d.Nodes[i].X, d.Nodes[i].Y = num(l.Nodes[i].X), num(l.Nodes[i].Y)
	}
	for i, e := range b.edges {
		edge := edgeDrawing{From: e[0], To: e[1], Points: []num{}}
		for _, at := range l.Paths[i] {
			edge.Points = append(edge.Points, num(at.X), num(at.Y))
		}
		d.Edges = append(d.Edges, edge)
	}
	return d
}

// A drawer gathers nodes and edges; node 0 is the clients.
type drawer struct {
	nodes []nodeDrawing
	index map[string]int
	edges [][2]int
	known map[[2]int]bool
}

// newDrawer gathers what the run's system has, and what its result tells of.
func newDrawer(run *Run) *drawer {
	b := &drawer{nodes: []nodeDrawing{{}}, index: map[string]int{}, known: map[[2]int]bool{}}
	if run.System != nil {
		b.system(run.System)
	}
	for i := range run.Result.Segments {
		s := &run.Result.Segments[i]
		for j := range s.Services {
			b.node(s.Services[j].Service)
		}
		for j := range s.Edges {
			b.join(b.node(s.Edges[j].Caller), b.node(s.Edges[j].Callee))
		}
	}
	for _, entry := range b.entries(run.System) {
		b.join(0, entry)
	}
	return b
}

func (b *drawer) system(s *topology.System) {
	for i := range s.Services {
		n := &b.nodes[b.node(s.Services[i].Name)]
		n.Replicas = s.Services[i].Replicas
		if s.Services[i].Kind != topology.Base {
			n.Kind = string(s.Services[i].Kind)
		}
	}
	for _, e := range s.Edges() {
		b.join(b.node(e.From.Service), b.node(e.To.Service))
	}
}

func (b *drawer) node(name string) int {
	i, known := b.index[name]
	if !known {
		i = len(b.nodes)
		b.index[name] = i
		b.nodes = append(b.nodes, nodeDrawing{Name: name})
	}
	return i
}

func (b *drawer) join(from, to int) {
	if e := [2]int{from, to}; !b.known[e] {
		b.known[e] = true
		b.edges = append(b.edges, e)
	}
}

// entries are where the clients' requests arrive: as the system says, or else
// where nobody calls.
func (b *drawer) entries(s *topology.System) (entries []int) {
	if s != nil {
		for _, name := range s.Entries() {
			entries = append(entries, b.node(name))
		}
		return entries
	}
	called := map[int]bool{}
	for _, e := range b.edges {
		if e[0] != e[1] {
			called[e[1]] = true
		}
	}
	for i := 1; i < len(b.nodes); i++ {
		if !called[i] {
			entries = append(entries, i)
		}
	}
	return entries
}
