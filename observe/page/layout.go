package page

import (
	"cmp"
	"math"
	"slices"
)

// Sizes of the drawing, in the units of its own coordinates.
const (
	nodeWidth, columnGap = 184, 64
	// In a long column, nodes are low and close together.
	highNode, highGap = 66, 26
	lowNode, lowGap   = 48, 12
	longColumn        = 9
	bendHeight        = 12
)

// MaxDrawn is the number of services up to which a system is drawn as a graph.
const MaxDrawn = 60

// A graph is what is laid out: nodes 0 to n-1 and calls between them.
type graph struct {
	n     int
	edges [][2]int
	// roots are where requests come in.
	roots []int
}

// A layout has a place for each node, and for each edge the points that it goes
// through, in columns from left to right (Sugiyama, Tagawa and Toda, Methods for
// Visual Understanding of Hierarchical System Structures, 1981).
type layout struct {
	width, height float64
	nodeHeight    float64
	nodes         []spot
	paths         [][]spot
}

// A spot is the left upper corner of a node, or a point on an edge.
type spot struct{ x, y float64 }

// A slot is a place in a column: a node, or where a long edge passes by.
type slot struct {
	node        int // -1 where an edge passes by
	before      []*slot
	after       []*slot
	column, row int
	height      float64
	y           float64 // of its middle
}

// newLayout lays the graph out. The same graph has the same layout.
func newLayout(g graph) *layout {
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
	l := &layout{nodeHeight: height, nodes: make([]spot, g.n), paths: make([][]spot, len(g.edges))}
	x := func(column int) float64 { return float64(column) * (nodeWidth + columnGap) }
	for _, column := range columns {
		for _, s := range column {
			l.height = max(l.height, s.y+s.height/2)
			if s.node >= 0 {
				l.nodes[s.node] = spot{x(s.column), s.y - height/2}
			}
		}
	}
	l.width = x(len(columns)) - columnGap
	for i, e := range g.edges {
		from, to := slots[e[0]], slots[e[1]]
		path := []spot{{x(from.column) + nodeWidth, from.y}}
		for _, bend := range chains[i] {
			path = append(path, spot{x(bend.column), bend.y}, spot{x(bend.column) + nodeWidth, bend.y})
		}
		l.paths[i] = append(path, spot{x(to.column), to.y})
	}
	return l
}

// depths is the column of each node: one right of the last that calls it.
// Calls that lead back to a caller are left out of the count.
func (g *graph) depths() []int {
	out := make([][]int, g.n)
	for _, e := range g.edges {
		if e[0] != e[1] {
			out[e[0]] = append(out[e[0]], e[1])
		}
	}
	const fresh, open, done = 0, 1, 2
	state, topological := make([]int, g.n), []int(nil)
	forward := make([][]int, g.n)
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
	for _, v := range g.roots {
		if state[v] == fresh {
			visit(v)
		}
	}
	for v := range g.n {
		if state[v] == fresh {
			visit(v)
		}
	}
	depth := make([]int, g.n)
	for _, v := range slices.Backward(topological) {
		for _, w := range forward[v] {
			depth[w] = max(depth[w], depth[v]+1)
		}
	}
	return depth
}

// sizes are the height of the nodes and the gap below each.
func (g *graph) sizes(depth []int) (height, gap float64) {
	nodes := map[int]int{}
	for _, column := range depth {
		if nodes[column]++; nodes[column] > longColumn {
			return lowNode, lowGap
		}
	}
	return highNode, highGap
}

// slots puts the nodes into columns, and bends where edges pass columns by.
func (g *graph) slots(depth []int) (nodes []*slot, chains [][]*slot, columns [][]*slot) {
	columns = make([][]*slot, slices.Max(append(slices.Clone(depth), 0))+1)
	add := func(s *slot) *slot {
		s.row = len(columns[s.column])
		columns[s.column] = append(columns[s.column], s)
		return s
	}
	for v := range g.n {
		nodes = append(nodes, add(&slot{node: v, column: depth[v]}))
	}
	chains = make([][]*slot, len(g.edges))
	for i, e := range g.edges {
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
