// Package drawing places the nodes and edges of a graph in columns, from callers
// to callees, for pages that draw a system.
package drawing

import (
	"cmp"
	"math"
	"slices"
)

// Sizes of the drawing, in the units of its own coordinates. NodeWidth is that of
// every node.
const (
	NodeWidth, columnGap = 184, 64
	// In a long column, nodes are low and close together.
	highNode, highGap = 66, 26
	lowNode, lowGap   = 48, 12
	longColumn        = 9
	bendHeight        = 12
)

// A Graph is what is laid out: nodes 0 to n-1 and calls between them.
type Graph struct {
	N     int
	Edges [][2]int
	// Roots are where requests come in.
	Roots []int
}

// A Layout has a place for each node, and for each edge the points that it goes
// through, in columns from left to right (Sugiyama, Tagawa and Toda, Methods for
// Visual Understanding of Hierarchical System Structures, 1981).
type Layout struct {
	Width, Height float64
	NodeHeight    float64
	Nodes         []Point
	Paths         [][]Point
}

// A Point is the left upper corner of a node, or a point on an edge.
type Point struct{ X, Y float64 }

// A slot is a place in a column: a node, or where a long edge passes by.
type slot struct {
	node        int // -1 where an edge passes by
	before      []*slot
	after       []*slot
	column, row int
	height      float64
	y           float64 // of its middle
}

// New lays the graph out. The same graph has the same layout.
func New(g Graph) *Layout {
	depth := g.depths()
	slots, chains, columns := g.slots(depth)
	for sweep := range 8 {
		order(columns, sweep%2 == 0)
	}
	height, gap := g.sizes(depth)
	for _, s := range slots {
		s.height = height
	}
	place(columns, gap)
	l := &Layout{NodeHeight: height, Nodes: make([]Point, g.N), Paths: make([][]Point, len(g.Edges))}
	x := func(column int) float64 { return float64(column) * (NodeWidth + columnGap) }
	for _, column := range columns {
		for _, s := range column {
			l.Height = max(l.Height, s.y+s.height/2)
			if s.node >= 0 {
				l.Nodes[s.node] = Point{x(s.column), s.y - height/2}
			}
		}
	}
	l.Width = x(len(columns)) - columnGap
	for i, e := range g.Edges {
		from, to := slots[e[0]], slots[e[1]]
		path := []Point{{x(from.column) + NodeWidth, from.y}}
		for _, bend := range chains[i] {
			path = append(path, Point{x(bend.column), bend.y}, Point{x(bend.column) + NodeWidth, bend.y})
		}
		l.Paths[i] = append(path, Point{x(to.column), to.y})
	}
	return l
}

// depths is the column of each node: one right of the last that calls it.
// Calls that lead back to a caller are left out of the count.
func (g *Graph) depths() []int {
	out := make([][]int, g.N)
	for _, e := range g.Edges {
		if e[0] != e[1] {
			out[e[0]] = append(out[e[0]], e[1])
		}
	}
	const fresh, open, done = 0, 1, 2
	state, topological := make([]int, g.N), []int(nil)
	forward := make([][]int, g.N)
	var visit func(int)
	visit = func(v int) {
		state[v] = open
		for _, w := range out[v] {
			if state[w] == open {
				continue
			}
			forward[v] = append(forward[v], w)
			if state[w] == fresh {
				visit(w)
			}
		}
		state[v] = done
		topological = append(topological, v)
	}
	for _, v := range g.Roots {
		if state[v] == fresh {
			visit(v)
		}
	}
	for v := range g.N {
		if state[v] == fresh {
			visit(v)
		}
	}
	depth := make([]int, g.N)
	for _, v := range slices.Backward(topological) {
		for _, w := range forward[v] {
			depth[w] = max(depth[w], depth[v]+1)
		}
	}
	return depth
}

// sizes are the height of the nodes and the gap below each.
func (g *Graph) sizes(depth []int) (height, gap float64) {
	nodes := map[int]int{}
	for _, column := range depth {
		if nodes[column]++; nodes[column] > longColumn {
			return lowNode, lowGap
		}
	}
	return highNode, highGap
}

// slots puts the nodes into columns, and bends where edges pass columns by.
func (g *Graph) slots(depth []int) (nodes []*slot, chains [][]*slot, columns [][]*slot) {
	columns = make([][]*slot, slices.Max(append(slices.Clone(depth), 0))+1)
	add := func(s *slot) *slot {
		s.row = len(columns[s.column])
		columns[s.column] = append(columns[s.column], s)
		return s
	}
	for v := range g.N {
		nodes = append(nodes, add(&slot{node: v, column: depth[v]}))
	}
	chains = make([][]*slot, len(g.Edges))
	for i, e := range g.Edges {
		last := nodes[e[0]]
		for column := depth[e[0]] + 1; column < depth[e[1]]; column++ {
			bend := add(&slot{node: -1, column: column, height: bendHeight})
			join(last, bend)
			chains[i] = append(chains[i], bend)
			last = bend
		}
		if depth[e[0]] < depth[e[1]] {
			join(last, nodes[e[1]])
		}
	}
	return nodes, chains, columns
}

func join(a, b *slot) { a.after, b.before = append(a.after, b), append(b.before, a) }

// order sorts each column by where its neighbours in the column before are, or
// in the one after.
func order(columns [][]*slot, rightwards bool) {
	for i := range columns {
		column := columns[i]
		if !rightwards {
			column = columns[len(columns)-1-i]
		}
		wish := map[*slot]float64{}
		for _, s := range column {
			near := s.before
			if !rightwards {
				near = s.after
			}
			wish[s] = float64(s.row)
			if len(near) > 0 {
				wish[s] = mean(near, func(o *slot) float64 { return float64(o.row) })
			}
		}
		slices.SortStableFunc(column, func(a, b *slot) int { return cmp.Compare(wish[a], wish[b]) })
		for row, s := range column {
			s.row = row
		}
	}
}

func mean(slots []*slot, of func(*slot) float64) (sum float64) {
	for _, s := range slots {
		sum += of(s) / float64(len(slots))
	}
	return sum
}

// place gives every slot its height: as near to its neighbours as the order of
// the column allows.
func place(columns [][]*slot, gap float64) {
	for _, column := range columns {
		y := 0.0
		for _, s := range column {
			s.y = y + s.height/2
			y += s.height + gap
		}
	}
	for range 12 {
		for i := range columns {
			settle(columns[i], gap)
		}
		for i := range columns {
			settle(columns[len(columns)-1-i], gap)
		}
	}
	top := math.Inf(1)
	for _, column := range columns {
		for _, s := range column {
			top = min(top, s.y-s.height/2)
		}
	}
	for _, column := range columns {
		for _, s := range column {
			s.y -= top
		}
	}
}

// settle moves the slots of a column to the middle of their neighbours and then
// apart: the mean of a pass from above and one from below.
func settle(column []*slot, gap float64) {
	wish := make([]float64, len(column))
	for i, s := range column {
		near := append(slices.Clone(s.before), s.after...)
		wish[i] = s.y
		if len(near) > 0 {
			wish[i] = mean(near, func(o *slot) float64 { return o.y })
		}
	}
	apart := func(i int) float64 { return (column[i].height+column[i-1].height)/2 + gap }
	down, up := slices.Clone(wish), slices.Clone(wish)
	for i := 1; i < len(down); i++ {
		down[i] = max(down[i], down[i-1]+apart(i))
	}
	for i := len(up) - 1; i > 0; i-- {
		up[i-1] = min(up[i-1], up[i]-apart(i))
	}
	for i, s := range column {
		s.y = (down[i] + up[i]) / 2
	}
}
