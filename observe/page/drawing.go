package page

import (
	"cmp"

	layout "github.com/microsim-dev/kubectl-microsim/model/drawing"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A drawing says where the services and calls of a run are drawn. The clients
// are its first node, and its first box. Of more services than a reader can
// overlook, a box is a group of some.
type drawing struct {
	Width      num           `json:"width"`
	Height     num           `json:"height"`
	NodeWidth  num           `json:"nodeWidth"`
	NodeHeight num           `json:"nodeHeight"`
	Nodes      []nodeDrawing `json:"nodes"`
	Boxes      []boxDrawing  `json:"boxes"`
	Edges      []edgeDrawing `json:"edges"`
	// Narrow has the places of the same boxes and edges where the window is narrow.
	Narrow places `json:"narrow"`
}

// places are those of a drawing that leads downwards: the left upper corner of each
// box, and the points of each edge, all of them as x and y in turns.
type places struct {
	Width      num     `json:"width"`
	Height     num     `json:"height"`
	NodeHeight num     `json:"nodeHeight"`
	Boxes      []num   `json:"boxes"`
	Edges      [][]num `json:"edges"`
}

func narrow(g layout.Graph) places {
	l := layout.Narrow(g)
	p := places{Width: num(l.Width), Height: num(l.Height), NodeHeight: num(l.NodeHeight), Boxes: turns(l.Nodes), Edges: [][]num{}}
	for _, path := range l.Paths {
		p.Edges = append(p.Edges, turns(path))
	}
	return p
}

// turns are x and y of points in turns.
func turns(points []layout.Point) []num {
	out := make([]num, 0, 2*len(points))
	for _, at := range points {
		out = append(out, num(at.X), num(at.Y))
	}
	return out
}

type nodeDrawing struct {
	// Name is empty for the clients.
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Replicas int    `json:"replicas"`
}

// A boxDrawing is a node, or a group of some with what they have in common.
type boxDrawing struct {
	Name    string `json:"name"`
	Why     string `json:"why,omitempty"`
	Members []int  `json:"members"`
	X       num    `json:"x"`
	Y       num    `json:"y"`
}

// An edgeDrawing leads from a box to another; its points are x and y in turns. Calls
// are the callers and callees that it stands for, by their places among the nodes.
type edgeDrawing struct {
	From   int      `json:"from"`
	To     int      `json:"to"`
	Points []num    `json:"points"`
	Calls  [][2]int `json:"calls"`
}

// newDrawing draws a run. The same system is grouped alike in every run and window:
// interest is how much each service is worth a look in any of them.
func newDrawing(run *Run, interest map[string]float64) drawing {
	b := newDrawer(run)
	g := layout.Graph{N: len(b.nodes), Edges: b.edges, Roots: []int{0}}
	boxes := b.boxes(g, interest)
	folded, stands := g.Fold(boxes)
	l := layout.New(folded)
	d := drawing{
		Width: num(l.Width), Height: num(l.Height), NodeWidth: layout.NodeWidth, NodeHeight: num(l.NodeHeight),
		Nodes: b.nodes, Boxes: []boxDrawing{}, Edges: []edgeDrawing{}, Narrow: narrow(folded),
	}
	for i, at := range l.Nodes {
		d.Boxes = append(d.Boxes, boxDrawing{boxes[i].Name, boxes[i].Why, boxes[i].Members, num(at.X), num(at.Y)})
	}
	for i, e := range folded.Edges {
		edge := edgeDrawing{From: e[0], To: e[1], Points: turns(l.Paths[i])}
		for _, call := range stands[i] {
			edge.Calls = append(edge.Calls, b.edges[call])
		}
		d.Edges = append(d.Edges, edge)
	}
	return d
}

// boxes are what is drawn: each service if they are few, or groups of them.
func (b *drawer) boxes(g layout.Graph, interest map[string]float64) []layout.Box {
	names := make([]string, len(b.nodes))
	view := layout.View{Interest: make([]float64, len(b.nodes))}
	for i := range b.nodes {
		names[i] = b.nodes[i].Name
		view.Interest[i] = interest[names[i]]
	}
	return layout.NewTree(g, names).Cut(view)
}

// interestOf is how much each service is worth a look, over all runs and windows: one
// on which a fault acted most, then those that failed, then the busiest.
func interestOf(runs []Run) map[string]float64 {
	interest := map[string]float64{}
	note := func(name string, v float64) { interest[name] = max(interest[name], v) }
	for i := range runs {
		r := runs[i].Result
		for j := range r.Faults {
			if f := &r.Faults[j]; f.Applied() {
				note(cmp.Or(f.Victim, f.Fault.Target.Service), 10*layout.Hot)
				note(f.Fault.Target.From, 10*layout.Hot)
			}
		}
		for j := range r.Segments {
			for k := range r.Segments[j].Services {
				s := &r.Segments[j].Services[k]
				share := float64(s.Errors) / float64(max(s.Requests, 1))
				if share >= worthALook {
					note(s.Service, layout.Hot+layout.Hot*share)
				}
				note(s.Service, float64(s.Requests)/float64(max(r.Segments[j].Clients.Requests, 1)))
			}
		}
	}
	return interest
}

// worthALook is the share of errors from which on a service is shown by itself.
const worthALook = 0.01

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
		n.Kind, n.Replicas = s.Services[i].Badge(), s.Services[i].Replicas
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
