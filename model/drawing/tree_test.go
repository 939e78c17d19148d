package drawing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func named(g Graph, name func(v int) string) *Tree {
	names := make([]string, g.N)
	for v := 1; v < g.N; v++ {
		names[v] = name(v)
	}
	return NewTree(g, names)
}

func numbered(v int) string { return fmt.Sprintf("svc-%d", v) }

// Every node is in one box, whatever is open, and a box has one name.
func TestACutHasEveryNodeOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		g := random(r)
		if n%10 == 0 {
			g = Graph{N: 400 + r.IntN(400)}
			for range 2 * g.N {
				g.Edges = append(g.Edges, [2]int{r.IntN(g.N), r.IntN(g.N)})
			}
		}
		tree := named(g, numbered)
		view := View{Interest: make([]float64, g.N), Open: map[string]bool{}, Shut: map[string]bool{}}
		for v := range view.Interest {
			view.Interest[v] = []float64{0, 0, 0, 50, Hot, 1000}[r.IntN(6)]
		}
		for range 8 {
			boxes := tree.Cut(view)
			check(t, g, boxes)
			if !reflect.DeepEqual(boxes, named(g, numbered).Cut(view)) {
				t.Fatal("two cuts of one graph differ")
			}
			pick := boxes[r.IntN(len(boxes))]
			switch {
			case pick.Why != "":
				view.Open[pick.ID] = true
			case len(pick.Inside) > 0:
				view.Shut[pick.Inside[0].ID] = true
			}
		}
	}
}

func check(t *testing.T, g Graph, boxes []Box) {
	t.Helper()
	seen, ids := make([]int, g.N), map[string]bool{}
	for _, b := range boxes {
		if ids[b.ID] {
			t.Fatalf("two boxes are called %q", b.ID)
		}
		ids[b.ID] = true
		if (len(b.Members) == 1) != (b.Why == "") {
			t.Fatalf("the box %q of %d has the reason %q", b.ID, len(b.Members), b.Why)
		}
		for _, v := range b.Members {
			seen[v]++
		}
	}
	for v, n := range seen {
		if n != 1 {
			t.Fatalf("node %d is in %d boxes", v, n)
		}
	}
}

// The nodes of a group "reached only through X" cannot be reached without X.
func TestGroupsAreDominated(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	groups := 0
	for range 40 {
		g := Graph{N: 300}
		for v := 1; v < g.N; v++ {
			g.Edges = append(g.Edges, [2]int{r.IntN(v), v})
			if r.IntN(4) == 0 {
				g.Edges = append(g.Edges, [2]int{r.IntN(g.N), v})
			}
		}
		for _, b := range named(g, numbered).Cut(View{}) {
			if !strings.HasPrefix(b.Why, "reached only through svc-") {
				continue
			}
			groups++
			without := reached(g, b.Members[slices.IndexFunc(b.Members, func(v int) bool { return numbered(v) == b.Name })])
			for _, v := range b.Members {
				if without[v] {
					t.Fatalf("node %d of %q can be reached without it", v, b.ID)
				}
			}
		}
	}
	if groups == 0 {
		t.Error("there was no such group")
	}
}

// reached are the nodes that calls lead to from node 0, without one of them.
func reached(g Graph, without int) map[int]bool {
	seen := map[int]bool{0: true}
	for grown := true; grown; {
		grown = false
		for _, e := range g.Edges {
			if seen[e[0]] && !seen[e[1]] && e[1] != without {
				seen[e[1]], grown = true, true
			}
		}
	}
	return seen
}

// large is a system of n services in tiers, as a generated file has them.
func large(n int) Graph {
	r := rand.New(rand.NewPCG(5, 6))
	g := Graph{N: n + 1, Roots: []int{0}}
	for v := 1; v <= n; v++ {
		for range 1 + r.IntN(3) {
			g.Edges = append(g.Edges, [2]int{r.IntN(v), v})
		}
	}
	return g
}

func TestALargeSystemFitsAScreen(t *testing.T) {
	for name, g := range map[string]Graph{"tiers": large(1000), "all tiers": large(20_000)} {
		boxes := named(g, numbered).Cut(View{})
		if len(boxes) > MaxBoxes || len(boxes) < MaxBoxes/2 {
			t.Errorf("%s: %d boxes", name, len(boxes))
		}
	}
	star := Graph{N: 1001}
	for v := 1; v < star.N; v++ {
		star.Edges = append(star.Edges, [2]int{0, v})
	}
	if boxes := named(star, numbered).Cut(View{}); len(boxes) > MaxBoxes || len(boxes) < 8 {
		t.Errorf("star: %d boxes", len(boxes))
	}
	small := large(40)
	if boxes := named(small, numbered).Cut(View{}); len(boxes) != small.N {
		t.Errorf("%d boxes of a small system of %d", len(boxes), small.N)
	}
}

// The nodes that a reader asks for stand alone, and similar nodes stay together
// beside them.
func TestInterestingNodesStandAlone(t *testing.T) {
	g := Graph{N: 50}
	g.Edges = append(g.Edges, [2]int{0, 1})
	for v := 2; v < g.N; v++ {
		g.Edges = append(g.Edges, [2]int{1, v})
	}
	for v := range 30 { // so that not everything fits
		g.N++
		g.Edges = append(g.Edges, [2]int{0, g.N - 1}, [2]int{2 + v, g.N - 1})
	}
	interest := make([]float64, g.N)
	interest[7], interest[9] = Hot, math.Inf(1)
	boxes := named(g, numbered).Cut(View{Interest: interest})
	check(t, g, boxes)
	for _, v := range []int{7, 9} {
		if !slices.ContainsFunc(boxes, func(b Box) bool { return b.Why == "" && b.Members[0] == v }) {
			t.Errorf("node %d does not stand alone among %d boxes", v, len(boxes))
		}
	}
	if len(boxes) > MaxBoxes {
		t.Errorf("%d boxes", len(boxes))
	}
}

func TestFoldedEdgesStandForAllCalls(t *testing.T) {
	g := large(500)
	boxes := named(g, numbered).Cut(View{})
	folded, stands := g.Fold(boxes)
	inside, edges := 0, 0
	of := map[int]int{}
	for i, b := range boxes {
		for _, v := range b.Members {
			of[v] = i
		}
	}
	for _, e := range g.Edges {
		if of[e[0]] == of[e[1]] {
			inside++
		}
	}
	for i, s := range stands {
		edges += len(s)
		for _, at := range s {
			if e := g.Edges[at]; of[e[0]] != folded.Edges[i][0] || of[e[1]] != folded.Edges[i][1] {
				t.Fatalf("the edge %v stands for %v", folded.Edges[i], e)
			}
		}
	}
	if edges+inside != len(g.Edges) {
		t.Errorf("%d edges between groups, and %d inside, of %d", edges, inside, len(g.Edges))
	}
}

func BenchmarkTree(b *testing.B) {
	g := large(1000)
	for b.Loop() {
		boxes := named(g, numbered).Cut(View{})
		folded, _ := g.Fold(boxes)
		New(folded)
	}
}
