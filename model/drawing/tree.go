package drawing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// fan is how many parts of a group stand beside each other before some of them are
// taken together.
const fan = 12

// wide is how many parts a group has that are alike.
const wide = 48

// A Tree takes the nodes of a graph together, in groups inside of groups. A group
// has a meaning: the nodes that requests reach only through one node (a subtree of
// the dominator tree, found as by Cooper, Harvey and Kennedy, A Simple, Fast
// Dominance Algorithm, 2001), the nodes of a cycle of calls, or many neighbours with
// the same callers, the same beginning of their names, or the same depth.
type Tree struct {
	graph Graph
	names []string
	root  *item
}

// An item is a node, or a group of items.
type item struct {
	// id is the same for the same group of the same graph.
	id, name, why string
	node          int // -1 for a group
	// apart says that some parts can stand alone while the others stay together.
	apart    bool
	children []*item
	size     int
}

// NewTree groups a graph. Node 0 is where requests come from; it is in no group.
func NewTree(g Graph, names []string) *Tree {
	b := newGrouper(&Tree{graph: g, names: names})
	b.tree.root = &item{node: -1, children: b.parts(b.component[0])}
	return b.tree
}

// A grouper builds a tree from the strongly connected components of a graph.
type grouper struct {
	tree *Tree
	// component is that of each node; members are the nodes of each component.
	component []int
	members   [][]int
	// callers are the components that call each; dominated are those that each
	// dominates at once.
	callers   [][]int
	dominated [][]int
	depth     []int
}

func newGrouper(t *Tree) *grouper {
	b := &grouper{tree: t}
	b.component, b.members = components(&t.graph)
	n := len(b.members)
	b.callers, b.dominated, b.depth = make([][]int, n), make([][]int, n), make([]int, n)
	for _, e := range t.graph.Edges {
		from, to := b.component[e[0]], b.component[e[1]]
		if from != to {
			b.callers[to] = append(b.callers[to], from)
		}
	}
	root := b.component[0]
	// Callers have higher numbers than those whom they call.
	dominator, level := make([]int, n), make([]int, n)
	for c := n - 1; c >= 0; c-- {
		slices.Sort(b.callers[c])
		b.callers[c] = slices.Compact(b.callers[c])
		if c == root {
			b.callers[c] = nil
			continue
		}
		if len(b.callers[c]) == 0 {
			b.callers[c] = []int{root} // nobody calls it: it stands beside the entries
		}
		at := b.callers[c][0]
		for _, caller := range b.callers[c] {
			b.depth[c] = max(b.depth[c], b.depth[caller]+1)
			for other := caller; at != other; {
				if level[at] >= level[other] {
					at = dominator[at]
				} else {
					other = dominator[other]
				}
			}
		}
		dominator[c], level[c] = at, level[at]+1
	}
	for c := range n {
		if c != root {
			b.dominated[dominator[c]] = append(b.dominated[dominator[c]], c)
		}
	}
	return b
}

// components returns the strongly connected components (Tarjan, Depth-First Search
// and Linear Graph Algorithms, 1972). The component of a caller has a higher number
// than that of a callee; the component of node 0 has the highest.
func components(g *Graph) (of []int, members [][]int) {
	out := make([][]int, g.N)
	for _, e := range g.Edges {
		if e[1] != 0 { // nobody calls the clients
			out[e[0]] = append(out[e[0]], e[1])
		}
	}
	of = make([]int, g.N)
	number, low := make([]int, g.N), make([]int, g.N)
	for v := range of {
		of[v] = -1
	}
	var stack []int
	count := 0
	var visit func(int)
	visit = func(v int) {
		count++
		number[v], low[v] = count, count
		stack = append(stack, v)
		for _, w := range out[v] {
			if number[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if of[w] < 0 {
				low[v] = min(low[v], number[w])
			}
		}
		if low[v] != number[v] {
			return
		}
		at := len(stack) - 1
		for stack[at] != v {
			at--
		}
		part := slices.Clone(stack[at:])
		stack = stack[:at]
		slices.Sort(part)
		for _, w := range part {
			of[w] = len(members)
		}
		members = append(members, part)
	}
	for v := 1; v < g.N; v++ {
		if number[v] == 0 {
			visit(v)
		}
	}
	visit(0)
	return of, members
}

// item is a component with all that it dominates.
func (b *grouper) item(c int) *item {
	head := b.head(c)
	if len(b.dominated[c]) == 0 {
		return head
	}
	it := &item{id: "through " + head.name, name: head.name, why: "reached only through " + head.name, node: -1}
	it.take(append([]*item{head}, b.parts(c)...))
	return it
}

// head is a component alone: a node, or a cycle of some.
func (b *grouper) head(c int) *item {
	if len(b.members[c]) == 1 {
		v := b.members[c][0]
		return &item{id: "node " + b.tree.names[v], name: b.tree.names[v], node: v, size: 1}
	}
	name := b.tree.names[b.members[c][0]]
	it := &item{id: "cycle " + name, name: "cycle of " + name, why: "they call each other in a circle", node: -1}
	var parts []*item
	for _, v := range b.members[c] {
		parts = append(parts, &item{id: "node " + b.tree.names[v], name: b.tree.names[v], node: v, size: 1})
	}
	it.take(parts)
	return it
}

func (it *item) take(children []*item) {
	it.children = children
	for _, c := range children {
		it.size += c.size
	}
}

// A part is an item among its siblings, with what they are grouped by.
type part struct {
	*item
	callers string
	depth   int
	word    string
}

// parts are what a component dominates at once, grouped if they are many.
func (b *grouper) parts(c int) []*item {
	var parts []part
	for _, d := range b.dominated[c] {
		parts = append(parts, part{b.item(d), fmt.Sprint(b.callers[d]), b.depth[d], word(b.tree.names[b.members[d][0]])})
	}
	slices.SortStableFunc(parts, func(x, y part) int { return cmp.Compare(x.first(), y.first()) })
	path := b.tree.names[b.members[c][0]]
	if path == "" {
		path = "clients"
	}
	parts = b.bundle(parts, path+", by callers", func(p part) string { return p.callers }, b.calledAlike)
	parts = b.bundle(parts, path+", by name", func(p part) string { return p.word }, func(of []part) (string, string) {
		return of[0].word + "*", fmt.Sprintf("their names begin with %q", of[0].word)
	})
	parts = b.bundle(parts, path+", by depth", func(p part) string { return fmt.Sprint(p.depth) }, func(of []part) (string, string) {
		return fmt.Sprintf("depth %d", of[0].depth), fmt.Sprintf("at most %d calls away from the clients", of[0].depth)
	})
	return items(b.chunks(parts, path, fan))
}

func items(parts []part) []*item {
	var out []*item
	for _, p := range parts {
		out = append(out, p.item)
	}
	return out
}

// first is the first node in the order of the graph.
func (it *item) first() int {
	for it.node < 0 {
		it = it.children[0]
	}
	return it.node
}

// word is what a name begins with, up to its first mark or number.
func word(name string) string {
	if at := strings.IndexAny(name, "-_."); at > 0 {
		name = name[:at]
	}
	if short := strings.TrimRight(name, "0123456789"); short != "" {
		return short
	}
	return name
}

// calledAlike names a group of nodes with the same callers.
func (b *grouper) calledAlike(of []part) (name, why string) {
	var who []string
	for _, c := range b.callers[b.component[of[0].first()]] {
		for _, v := range b.members[c] {
			who = append(who, cmp.Or(b.tree.names[v], "the clients"))
		}
	}
	slices.Sort(who)
	why = "called by " + strings.Join(who[:min(len(who), 4)], ", ")
	if more := len(who) - 4; more > 0 {
		why += fmt.Sprintf(" and %d more", more)
	}
	same := of[0].name
	for _, p := range of {
		for !strings.HasPrefix(p.name, same) {
			same = same[:len(same)-1]
		}
	}
	if same = strings.TrimRight(same, "0123456789"); len(same) > 2 {
		return same + "*", why
	}
	return of[0].name + ", …", why
}

// bundle groups parts that have a key in common, if they are many, and the keys
// part them: one group of nearly all would say nothing.
func (b *grouper) bundle(parts []part, path string, key func(part) string, call func([]part) (name, why string)) []part {
	if len(parts) <= fan {
		return parts
	}
	var keys []string
	by := map[string][]part{}
	for _, p := range parts {
		k := key(p)
		if by[k] == nil {
			keys = append(keys, k)
		}
		by[k] = append(by[k], p)
	}
	var out []part
	for _, k := range keys {
		if len(by[k]) < 3 || len(by[k]) > len(parts)*9/10 {
			out = append(out, by[k]...)
			continue
		}
		name, why := call(by[k])
		out = append(out, b.group(by[k], path+" "+k, name, why))
	}
	return out
}

// chunks groups parts that have nothing in common but their order, if there are
// more than most.
func (b *grouper) chunks(parts []part, path string, most int) []part {
	if len(parts) <= most {
		return parts
	}
	size := (len(parts) + fan - 1) / fan
	var out []part
	for some := range slices.Chunk(parts, size) {
		name := some[0].name + " … " + some[len(some)-1].name
		out = append(out, b.group(some, fmt.Sprintf("%s, part %d", path, len(out)+1), name, "neighbours in the file"))
	}
	return out
}

func (b *grouper) group(parts []part, id, name, why string) part {
	it := &item{id: id, name: name, why: why, node: -1, apart: true}
	it.take(items(b.chunks(parts, id, wide)))
	return part{it, parts[0].callers, parts[0].depth, parts[0].word}
}
