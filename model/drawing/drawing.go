// Package drawing places the nodes and edges of a graph in layers, from callers
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
	// maxRows and maxBends are how many nodes, and bends of edges, a column has at most
	// (Coffman and Graham, Optimal Scheduling for Two-Processor Systems, 1972, as used
	// for layers); further edges are bundled.
	maxRows, maxBends = 12, 6
	// A drawing of more than maxColumns columns goes on below, as a text does. Edges
	// between such bands run in lanes of the gap between them.
	maxColumns       = 8
	bandGap          = 56
	lanes, laneWidth = 6, 6
)

// Sizes of a narrow drawing. Its nodes are high, because it is shown small and
// touched by fingers.
const (
	narrowNode, narrowGap   = 92, 20
	narrowRows, narrowBends = 3, 3
	narrowRowGap            = 56
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
// Visual Understanding of Hierarchical System Structures, 1981), or in rows
// downwards.
type Layout struct {
	Width, Height float64
	NodeHeight    float64
	// Down says that calls lead downwards: an edge leaves its caller at the middle of
	// the lower side, and reaches its callee at that of the upper side.
	Down  bool
	Nodes []Point
	Paths [][]Point
}

// A Point is the left upper corner of a node, or a point on an edge.
type Point struct{ X, Y float64 }

// A slot is a place in a layer: a node, or where a long edge passes by. Layers are
// laid out as columns; its height is how much of the layer it takes.
type slot struct {
	node        int // -1 where an edge passes by
	before      []*slot
	after       []*slot
	column, row int
	height      float64
	y           float64 // of its middle
}

// New lays the graph out in columns, from left to right. The same graph has the same
// layout.
func New(g Graph) *Layout {
	column := g.columns(maxRows)
	height, gap := sizes(column)
	l := g.layers(column, bandsOf(g.N, countOf(column)), height, gap, maxBends)
	l.NodeHeight = height
	return l
}

// Narrow lays the graph out downwards, with at most three nodes beside each other, so
// that the window of a telephone holds its width.
func Narrow(g Graph) *Layout {
	row := g.columns(narrowRows)
	l := g.layers(row, bands{width: countOf(row), thick: narrowNode, gap: narrowRowGap, room: 1}, NodeWidth, narrowGap, narrowBends)
	l.NodeHeight, l.Down = narrowNode, true
	l.Width, l.Height = l.Height, l.Width
	turn := func(p *Point) { p.X, p.Y = p.Y, p.X }
	for i := range l.Nodes {
		turn(&l.Nodes[i])
	}
	for _, path := range l.Paths {
		for i := range path {
			turn(&path[i])
		}
	}
	return l
}

func countOf(column []int) int { return slices.Max(append(slices.Clone(column), 0)) + 1 }

// layers places the nodes, each of which has its layer, as columns from left to right.
// Nodes take so much of their column, with a gap between them.
func (g *Graph) layers(column []int, b bands, height, gap float64, most int) *Layout {
	slots, chains, columns := g.slots(column, b, most)
	for sweep := range 8 {
		order(columns, sweep%2 == 0)
	}
	for _, s := range slots {
		s.height = height
	}
	l := &Layout{Nodes: make([]Point, g.N), Paths: make([][]Point, len(g.Edges))}
	l.Width = b.x(min(b.width, len(columns))-1) + b.thick + b.indent
	tops := l.stack(b, columns, gap)
	for i, e := range g.Edges {
		l.Paths[i] = path(i, slots[e[0]], slots[e[1]], chains[i], b, tops)
		if e[0] != e[1] && len(l.Paths[i]) == 2 && column[e[0]] >= column[e[1]] {
			l.Paths[i] = l.back(l.Paths[i], b, height, gap)
		}
	}
	return l
}

// back leads an edge that goes back to the left below the nodes that are between its
// ends, or above them, whichever is nearer.
func (l *Layout) back(ends []Point, b bands, height, gap float64) []Point {
	from, to := Point{ends[0].X + b.gap/2, ends[0].Y}, Point{ends[1].X - b.gap/2, ends[1].Y}
	way := func(y float64) float64 { return math.Abs(y-from.Y) + math.Abs(y-to.Y) }
	free := func(y float64) bool {
		return !slices.ContainsFunc(l.Nodes, func(n Point) bool {
			return n.X < from.X && n.X+b.thick > to.X && n.Y < y+1 && n.Y+height > y-1
		})
	}
	best := l.Height + gap/2
	for _, n := range l.Nodes {
		for _, y := range []float64{n.Y + height + gap/2, n.Y - gap/2} {
			if y > 0 && way(y) < way(best) && free(y) {
				best = y
			}
		}
	}
	// The turn swings out a little further.
	l.Width, l.Height = max(l.Width, from.X+b.gap/3), max(l.Height, best+gap/2)
	return []Point{ends[0], {from.X, best}, {to.X, best}, ends[1]}
}

// stack places the bands below each other, and returns where each begins.
func (l *Layout) stack(b bands, columns [][]*slot, gap float64) (tops []float64) {
	for band := range slices.Chunk(columns, b.width) {
		place(band, gap, b.room)
		top := 0.0
		if len(tops) > 0 {
			top = l.Height + bandGap
		}
		tops = append(tops, top)
		for _, column := range band {
			for _, s := range column {
				s.y += top
				l.Height = max(l.Height, s.y+s.height/2)
				if s.node >= 0 {
					l.Nodes[s.node] = Point{b.x(s.column), s.y - s.height/2}
				}
			}
		}
	}
	return tops
}

// path leads from a node to another: through bends inside of a band, and through the
// gap above the lower one from band to band.
func path(edge int, from, to *slot, bends []*slot, b bands, tops []float64) []Point {
	start, end := Point{b.x(from.column) + b.thick, from.y}, Point{b.x(to.column), to.y}
	points := []Point{start}
	if a, z := b.of(from.column), b.of(to.column); a != z {
		y := tops[max(a, z)] - bandGap + bandGap/4 + laneWidth*float64(edge%lanes)
		points = append(points, Point{start.X + b.gap/2, y}, Point{end.X - b.gap/2, y})
	}
	for _, bend := range bends {
		points = append(points, Point{b.x(bend.column), bend.y}, Point{b.x(bend.column) + b.thick, bend.y})
	}
	return append(points, end)
}

// bands are the rows of columns that a wide drawing is broken into.
type bands struct {
	width int
	// thick is how wide a column is; gap is between two of them.
	thick, gap float64
	// room is how much higher a band may become than its fullest column.
	room float64
	// indent leaves room for edges that come from other bands.
	indent float64
}

// bandsOf breaks columns into bands of about the same width. Of very many nodes, a
// band has more columns, so that the drawing is as wide as it is high.
func bandsOf(nodes, columns int) bands {
	most := max(maxColumns, int(math.Sqrt(float64(nodes)*(lowNode+lowGap)/(NodeWidth+columnGap))))
	count := (columns + most - 1) / most
	b := bands{width: (columns + count - 1) / count, thick: NodeWidth, gap: columnGap, room: 1.25}
	if count > 1 {
		b.indent = columnGap / 2
	}
	return b
}

func (b bands) of(column int) int { return column / b.width }

// x is the left edge of a column.
func (b bands) x(column int) float64 {
	return b.indent + float64(column%b.width)*(b.thick+b.gap)
}

// columns is the column of each node: right of all that call it, and where there is
// room among at most so many.
func (g *Graph) columns(most int) []int {
	depth := g.depths()
	nodes := make([]int, g.N)
	for v := range nodes {
		nodes[v] = v
	}
	slices.SortStableFunc(nodes, func(a, b int) int { return cmp.Compare(depth[a], depth[b]) })
	into := make([][]int, g.N)
	for _, e := range g.Edges {
		if depth[e[0]] < depth[e[1]] {
			into[e[1]] = append(into[e[1]], e[0])
		}
	}
	column, count := make([]int, g.N), map[int]int{}
	for _, v := range nodes {
		for _, w := range into[v] {
			column[v] = max(column[v], column[w]+1)
		}
		for count[column[v]] == most {
			column[v]++
		}
		count[column[v]]++
	}
	return column
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
func sizes(of []int) (height, gap float64) {
	nodes := map[int]int{}
	for _, column := range of {
		if nodes[column]++; nodes[column] > longColumn {
			return lowNode, lowGap
		}
	}
	return highNode, highGap
}

// slots puts the nodes into columns, and bends where edges pass columns by.
func (g *Graph) slots(of []int, b bands, most int) (nodes []*slot, chains [][]*slot, columns [][]*slot) {
	columns = make([][]*slot, countOf(of))
	add := func(s *slot) *slot {
		s.row = len(columns[s.column])
		columns[s.column] = append(columns[s.column], s)
		return s
	}
	for v := range g.N {
		nodes = append(nodes, add(&slot{node: v, column: of[v]}))
	}
	chains = make([][]*slot, len(g.Edges))
	bends := make([]bundles, len(columns))
	for i, e := range g.Edges {
		from, to := of[e[0]], of[e[1]]
		if from >= to || b.of(from) != b.of(to) {
			continue
		}
		last := nodes[e[0]]
		for column := from + 1; column < to; column++ {
			bend, fresh := bends[column].take(e[0], column, most)
			if fresh {
				add(bend)
			}
			join(last, bend)
			chains[i] = append(chains[i], bend)
			last = bend
		}
		join(last, nodes[e[1]])
	}
	return nodes, chains, columns
}

// bundles are the bends of a column, with the node that the first edge of each comes
// from.
type bundles struct {
	slots []*slot
	from  []int
	taken int
}

// take returns a bend for an edge from a node: one of its own while there are fewer
// than most, then one of the same node, if there is such.
func (b *bundles) take(from, column, most int) (bend *slot, fresh bool) {
	if len(b.slots) < most {
		b.slots, b.from = append(b.slots, &slot{node: -1, column: column, height: bendHeight}), append(b.from, from)
		return b.slots[len(b.slots)-1], true
	}
	if at := slices.Index(b.from, from); at >= 0 {
		return b.slots[at], false
	}
	b.taken++
	return b.slots[b.taken%most], false
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
// the column allows, and as the height of the fullest column does, times room.
func place(columns [][]*slot, gap, room float64) {
	high := 0.0
	for _, column := range columns {
		y := 0.0
		for _, s := range column {
			s.y = y + s.height/2
			y += s.height + gap
		}
		high = max(high, room*(y-gap))
	}
	for range 12 {
		for i := range columns {
			settle(columns[i], gap, high)
		}
		for i := range columns {
			settle(columns[len(columns)-1-i], gap, high)
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
// apart: the mean of a pass from above and one from below, between 0 and high.
func settle(column []*slot, gap, high float64) {
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
	least := 0.0
	for i, s := range column {
		least += s.height / 2
		s.y = max((down[i]+up[i])/2, least)
		least += s.height/2 + gap
	}
	most := high
	for _, s := range slices.Backward(column) {
		most -= s.height / 2
		s.y = min(s.y, most)
		most -= s.height/2 + gap
	}
}
