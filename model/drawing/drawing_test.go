package drawing

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// random is a graph in which calls mostly lead forwards, and some back.
func random(r *rand.Rand) Graph {
	g := Graph{N: 1 + r.IntN(60), Roots: []int{0}}
	for range r.IntN(2 * g.N) {
		g.Edges = append(g.Edges, [2]int{r.IntN(g.N), r.IntN(g.N)})
	}
	return g
}

func TestNodesDoNotOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		g := random(r)
		l := New(g)
		top := l.Nodes[0].Y
		for _, a := range l.Nodes {
			top = min(top, a.Y)
		}
		for _, path := range l.Paths {
			for _, p := range path {
				top = min(top, p.Y-bendHeight/2)
			}
		}
		if math.Abs(top) > 1e-6 {
			t.Fatalf("the drawing is empty down to %g: %v", top, g)
		}
		for i, a := range l.Nodes {
			if a.X < 0 || a.Y < -1e-6 || a.X+NodeWidth > l.Width+1e-6 || a.Y+l.NodeHeight > l.Height+1e-6 {
				t.Fatalf("node %d at %v leaves the drawing of %g by %g: %v", i, a, l.Width, l.Height, g)
			}
			for j, b := range l.Nodes[:i] {
				if a.X == b.X && max(a.Y, b.Y)-min(a.Y, b.Y) < l.NodeHeight+lowGap-1e-6 {
					t.Fatalf("nodes %d and %d stand at %v and %v: %v", i, j, a, b, g)
				}
			}
		}
	}
}

func TestCallsLeadToTheRight(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		g := random(r)
		// Without cycles: every call leads to a higher number.
		for i, e := range g.Edges {
			g.Edges[i] = [2]int{min(e[0], e[1]), max(e[0], e[1])}
		}
		l := New(g)
		for i, e := range g.Edges {
			path := l.Paths[i]
			// A wide drawing goes on below.
			if a, z := l.Nodes[e[0]], l.Nodes[e[1]]; e[0] != e[1] && a.X >= z.X && a.Y+l.NodeHeight+bandGap > z.Y {
				t.Fatalf("the call %v leads from %v to %v: %v", e, l.Nodes[e[0]], l.Nodes[e[1]], g)
			}
			from, to := l.Nodes[e[0]], l.Nodes[e[1]]
			if first, last := path[0], path[len(path)-1]; first != (Point{from.X + NodeWidth, from.Y + l.NodeHeight/2}) || last != (Point{to.X, to.Y + l.NodeHeight/2}) {
				t.Fatalf("the call %v is drawn from %v to %v", e, first, last)
			}
		}
	}
}

// passes looks at each straight run of an edge past nodes: none goes through one.
func passes(t *testing.T, g Graph, l *Layout) {
	t.Helper()
	for i, path := range l.Paths {
		for j := 2; j < len(path)-1; j += 2 {
			a, b := path[j-1], path[j]
			for _, n := range l.Nodes {
				if min(a.X, b.X) < n.X+NodeWidth-1e-6 && max(a.X, b.X) > n.X+1e-6 && min(a.Y, b.Y) < n.Y+l.NodeHeight-1e-6 && max(a.Y, b.Y) > n.Y+1e-6 {
					t.Fatalf("the call %v runs through a node at %v: %v in %v", g.Edges[i], n, path, g)
				}
			}
		}
	}
}

func TestEdgesRunPastNodes(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 300 {
		g := random(r)
		passes(t, g, New(g))
	}
}

// A call that leads back goes around the nodes between its ends.
func TestCallsLeadBackAroundNodes(t *testing.T) {
	cycle := Graph{N: 4, Edges: [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 1}, {2, 2}}, Roots: []int{0}}
	for name, l := range map[string]*Layout{"wide": New(cycle), "narrow": Narrow(cycle)} {
		if path := l.Paths[3]; len(path) != 4 {
			t.Errorf("%s: the call back has the points %v", name, path)
		}
		passes(t, cycle, l)
	}
}

// A narrow drawing leads downwards, and is never wider than a telephone shows.
func TestNarrowDrawingsLeadDown(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		g := random(r)
		l := Narrow(g)
		if !l.Down || l.Width > 720 {
			t.Fatalf("the drawing is %g wide: %v", l.Width, g)
		}
		for i, a := range l.Nodes {
			if a.X < -1e-6 || a.Y < 0 || a.X+NodeWidth > l.Width+1e-6 || a.Y+l.NodeHeight > l.Height+1e-6 {
				t.Fatalf("node %d at %v leaves the drawing of %g by %g: %v", i, a, l.Width, l.Height, g)
			}
			for j, b := range l.Nodes[:i] {
				if math.Abs(a.X-b.X) < NodeWidth && math.Abs(a.Y-b.Y) < l.NodeHeight {
					t.Fatalf("nodes %d and %d stand at %v and %v: %v", i, j, a, b, g)
				}
			}
		}
		for i, e := range g.Edges {
			from, to, path := l.Nodes[e[0]], l.Nodes[e[1]], l.Paths[i]
			if first, last := path[0], path[len(path)-1]; first != (Point{from.X + NodeWidth/2, from.Y + l.NodeHeight}) || last != (Point{to.X + NodeWidth/2, to.Y}) {
				t.Fatalf("the call %v is drawn from %v to %v", e, first, last)
			}
			passes(t, g, l)
		}
	}
	wide := Graph{N: 21, Roots: []int{0}}
	for v := 1; v < wide.N; v++ {
		wide.Edges = append(wide.Edges, [2]int{0, v})
	}
	if l := Narrow(wide); l.Height < 6*narrowNode {
		t.Errorf("20 services are %g high", l.Height)
	}
}

func TestSameGraphSameLayout(t *testing.T) {
	g := random(rand.New(rand.NewPCG(5, 6)))
	if !reflect.DeepEqual(New(g), New(g)) || !reflect.DeepEqual(Narrow(g), Narrow(g)) {
		t.Error("two layouts of one graph differ")
	}
}

func TestLongCallsGoAroundNodes(t *testing.T) {
	// 0 calls 1 calls 2, and 0 calls 2 itself, past 1.
	l := New(Graph{N: 3, Edges: [][2]int{{0, 1}, {1, 2}, {0, 2}}, Roots: []int{0}})
	for _, p := range l.Paths[2] {
		if n := l.Nodes[1]; p.X >= n.X && p.X <= n.X+NodeWidth && p.Y > n.Y && p.Y < n.Y+l.NodeHeight {
			t.Errorf("the call goes through a node at %v: %v", n, l.Paths[2])
		}
	}
	if len(l.Paths[2]) != 4 {
		t.Errorf("the call has the points %v", l.Paths[2])
	}
}

// Stars, chains and dense graphs stay in a shape that a screen can show.
func TestLargeGraphsStayCompact(t *testing.T) {
	star, chain, dense := Graph{N: 61}, Graph{N: 60}, Graph{N: 60}
	for v := 1; v < star.N; v++ {
		star.Edges = append(star.Edges, [2]int{0, v})
	}
	for v := 1; v < chain.N; v++ {
		chain.Edges = append(chain.Edges, [2]int{v - 1, v})
		for w := range v {
			dense.Edges = append(dense.Edges, [2]int{w, v})
		}
	}
	r := rand.New(rand.NewPCG(9, 10))
	large := Graph{N: 1000}
	for v := 1; v < large.N; v++ {
		for range 4 {
			large.Edges = append(large.Edges, [2]int{r.IntN(v), v})
		}
	}
	for name, c := range map[string]struct {
		g             Graph
		width, height float64
	}{
		"star": {star, 2000, 1000}, "chain": {chain, 2100, 1000}, "dense": {dense, 2100, 2800}, "large": {large, 5500, 8000},
	} {
		c.g.Roots = []int{0}
		if l := New(c.g); l.Width > c.width || l.Height > c.height {
			t.Errorf("%s: the drawing is %g by %g, more than %g by %g", name, l.Width, l.Height, c.width, c.height)
		}
	}
}

// From band to band, edges run between the rows of nodes.
func TestEdgesBetweenBandsPassNoNodes(t *testing.T) {
	chain := Graph{N: 20, Roots: []int{0}}
	for v := 1; v < chain.N; v++ {
		chain.Edges = append(chain.Edges, [2]int{v - 1, v})
	}
	l := New(chain)
	for i, path := range l.Paths {
		for j := 2; j < len(path)-1; j += 2 {
			for _, n := range l.Nodes {
				if y := path[j].Y; y >= n.Y && y <= n.Y+l.NodeHeight {
					t.Errorf("the call %d runs at %g, through a node at %v", i, y, n)
				}
			}
		}
	}
}

func BenchmarkLayout(b *testing.B) {
	g := random(rand.New(rand.NewPCG(7, 8)))
	for b.Loop() {
		New(g)
	}
}
