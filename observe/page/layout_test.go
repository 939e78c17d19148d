package page

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// random is a graph in which calls mostly lead forwards, and some back.
func random(r *rand.Rand) graph {
	g := graph{n: 1 + r.IntN(60), roots: []int{0}}
	for range r.IntN(2 * g.n) {
		g.edges = append(g.edges, [2]int{r.IntN(g.n), r.IntN(g.n)})
	}
	return g
}

func TestNodesDoNotOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		g := random(r)
		l := newLayout(g)
		top := l.nodes[0].y
		for _, a := range l.nodes {
			top = min(top, a.y)
		}
		for _, path := range l.paths {
			for _, p := range path {
				top = min(top, p.y-bendHeight/2)
			}
		}
		if math.Abs(top) > 1e-6 {
			t.Fatalf("the drawing is empty down to %g: %v", top, g)
		}
		for i, a := range l.nodes {
			if a.x < 0 || a.y < -1e-6 || a.x+nodeWidth > l.width+1e-6 || a.y+l.nodeHeight > l.height+1e-6 {
				t.Fatalf("node %d at %v leaves the drawing of %g by %g: %v", i, a, l.width, l.height, g)
			}
			for j, b := range l.nodes[:i] {
				if a.x == b.x && max(a.y, b.y)-min(a.y, b.y) < l.nodeHeight+lowGap-1e-6 {
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
		for i, e := range g.edges {
			g.edges[i] = [2]int{min(e[0], e[1]), max(e[0], e[1])}
		}
		l := newLayout(g)
		for i, e := range g.edges {
			path := l.paths[i]
			if e[0] != e[1] && l.nodes[e[0]].x >= l.nodes[e[1]].x {
				t.Fatalf("the call %v leads from %v to %v: %v", e, l.nodes[e[0]], l.nodes[e[1]], g)
			}
			from, to := l.nodes[e[0]], l.nodes[e[1]]
			if first, last := path[0], path[len(path)-1]; first != (spot{from.x + nodeWidth, from.y + l.nodeHeight/2}) || last != (spot{to.x, to.y + l.nodeHeight/2}) {
				t.Fatalf("the call %v is drawn from %v to %v", e, first, last)
			}
		}
	}
}

func TestSameGraphSameLayout(t *testing.T) {
	g := random(rand.New(rand.NewPCG(5, 6)))
	if !reflect.DeepEqual(newLayout(g), newLayout(g)) {
		t.Error("two layouts of one graph differ")
	}
}

func TestLongCallsGoAroundNodes(t *testing.T) {
	// 0 calls 1 calls 2, and 0 calls 2 itself, past 1.
	l := newLayout(graph{n: 3, edges: [][2]int{{0, 1}, {1, 2}, {0, 2}}, roots: []int{0}})
	for _, p := range l.paths[2] {
		if n := l.nodes[1]; p.x >= n.x && p.x <= n.x+nodeWidth && p.y > n.y && p.y < n.y+l.nodeHeight {
			t.Errorf("the call goes through a node at %v: %v", n, l.paths[2])
		}
	}
	if len(l.paths[2]) != 4 {
		t.Errorf("the call has the points %v", l.paths[2])
	}
}

func BenchmarkLayout(b *testing.B) {
	g := random(rand.New(rand.NewPCG(7, 8)))
	for b.Loop() {
		newLayout(g)
	}
}
