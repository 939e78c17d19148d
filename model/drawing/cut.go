package drawing

import (
	"cmp"
	"math"
	"slices"
)

// MaxBoxes is how many boxes a reader can overlook; a larger graph is drawn in
// groups.
const MaxBoxes = 60

// Hot is the interest from which on a node stands alone, if there is room.
const Hot = 100

// A View says which parts of a tree are to be seen.
type View struct {
	// Interest is how much each node is worth a look: from Hot on it stands alone if
	// there is room, and math.Inf(1) makes it stand alone in any case. Below that, it
	// decides which groups are opened first; nil is 0 for all.
	Interest []float64
	// Open and Shut name groups that the reader has opened and closed.
	Open, Shut map[string]bool
}

// A Box is a node or a group that is drawn as one.
type Box struct {
	// ID is the same for the same group, whatever is open.
	ID, Name string
	// Why says what the members of a group have in common; it is empty for a node.
	Why string
	// Members are the nodes inside, in their order.
	Members []int
	// Inside are the groups that the box is part of, the outermost first.
	Inside []Group
}

// A Group is one that is open, or that some have been taken out of.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Cut opens the most interesting groups until about MaxBoxes boxes are to be seen,
// and then what the view says. Box 0 is node 0. The same view gives the same boxes.
func (t *Tree) Cut(view View) []Box {
	c := &cutter{interest: view.Interest, most: map[*item]float64{}, open: map[*item]bool{}, alone: map[*item]bool{}}
	if c.interest == nil {
		c.interest = make([]float64, t.graph.N)
	}
	c.weigh(t.root)
	c.open[t.root] = true
	c.choose(t.root)
	for it := range c.groups(t.root) {
		switch {
		case view.Open[it.id]:
			c.open[it] = true
		case view.Shut[it.id]:
			delete(c.open, it)
			c.close(it)
		}
	}
	c.force(t.root, view.Open)
	boxes := []Box{{ID: "clients", Members: []int{0}}}
	return c.boxes(boxes, t.root, nil)
}

// A cutter decides which groups are open.
type cutter struct {
	interest []float64
	// most is the highest interest in each item.
	most map[*item]float64
	open map[*item]bool
	// alone are the parts that stand beside the rest of their closed group.
	alone map[*item]bool
}

func (c *cutter) weigh(it *item) float64 {
	most := 0.0
	if it.node >= 0 {
		most = c.interest[it.node]
	}
	for _, child := range it.children {
		most = max(most, c.weigh(child))
	}
	c.most[it] = most
	return most
}

// choose opens groups by interest: first so that hot nodes stand alone, then the
// largest of what is left.
func (c *cutter) choose(root *item) {
	count := 1 + len(root.children)
	var closed []*item
	seen := func(parts []*item) {
		for _, it := range parts {
			if len(it.children) > 0 {
				closed = append(closed, it)
			}
		}
	}
	seen(root.children)
	for len(closed) > 0 && count < MaxBoxes {
		best := slices.MaxFunc(closed, func(a, b *item) int {
			return cmp.Or(cmp.Compare(max(c.most[a], Hot-1), max(c.most[b], Hot-1)), cmp.Compare(a.size, b.size), -cmp.Compare(a.first(), b.first()))
		})
		closed = slices.DeleteFunc(closed, func(it *item) bool { return it == best })
		hot := c.hot(best)
		if best.apart && len(hot) > 0 && len(hot) < len(best.children)/2 {
			hot = hot[:min(len(hot), MaxBoxes-count)]
			count += len(hot)
			for _, it := range hot {
				c.alone[it] = true
			}
			seen(hot)
			continue
		}
		if more := len(best.children) - 1; count+more <= MaxBoxes {
			count += more
			c.open[best] = true
			seen(best.children)
		}
	}
}

// hot are the parts of a group that have something hot in them, the hottest first.
func (c *cutter) hot(it *item) (hot []*item) {
	for _, child := range it.children {
		if c.most[child] >= Hot {
			hot = append(hot, child)
		}
	}
	slices.SortStableFunc(hot, func(a, b *item) int { return cmp.Compare(c.most[b], c.most[a]) })
	return hot
}

// groups yields all groups inside of one, the outer ones first.
func (c *cutter) groups(it *item) func(yield func(*item) bool) {
	return func(yield func(*item) bool) {
		var walk func(*item) bool
		walk = func(it *item) bool {
			for _, child := range it.children {
				if len(child.children) > 0 && (!yield(child) || !walk(child)) {
					return false
				}
			}
			return true
		}
		walk(it)
	}
}

// close takes the parts of a group back that stand beside it.
func (c *cutter) close(it *item) {
	for _, child := range it.children {
		delete(c.alone, child)
	}
}

// force shows what must be seen: nodes of infinite interest, and groups that the
// reader has opened inside of others.
func (c *cutter) force(it *item, open map[string]bool) (seen bool) {
	seen = math.IsInf(c.most[it], 1) || open[it.id]
	for _, child := range it.children {
		if !c.force(child, open) {
			continue
		}
		seen = true
		if it.apart && !c.open[it] {
			c.alone[child] = true
		} else {
			c.open[it] = true
		}
	}
	return seen
}

// boxes adds what is to be seen of an open item.
func (c *cutter) boxes(boxes []Box, it *item, inside []Group) []Box {
	for _, child := range it.children {
		switch {
		case child.node >= 0:
			boxes = append(boxes, Box{ID: child.id, Name: child.name, Members: []int{child.node}, Inside: inside})
		case c.open[child]:
			boxes = c.boxes(boxes, child, append(slices.Clip(inside), Group{child.id, child.name}))
		default:
			boxes = c.closed(boxes, child, inside)
		}
	}
	return boxes
}

// closed adds a group as a box, and beside it what stands alone.
func (c *cutter) closed(boxes []Box, it *item, inside []Group) []Box {
	rest := &item{id: it.id, name: it.name, why: it.why, node: -1, apart: true}
	alone := &item{node: -1}
	for _, child := range it.children {
		if c.alone[child] {
			alone.children = append(alone.children, child)
		} else {
			rest.children = append(rest.children, child)
		}
	}
	within := append(slices.Clip(inside), Group{it.id, it.name})
	if len(rest.children) <= 1 {
		return c.boxes(boxes, it, within)
	}
	if len(alone.children) > 0 {
		boxes = c.boxes(boxes, alone, within)
	}
	box := Box{ID: it.id, Name: it.name, Why: it.why, Inside: inside}
	for _, child := range rest.children {
		box.Members = child.nodes(box.Members)
	}
	slices.Sort(box.Members)
	return append(boxes, box)
}

// nodes adds those inside of an item.
func (it *item) nodes(to []int) []int {
	if it.node >= 0 {
		return append(to, it.node)
	}
	for _, child := range it.children {
		to = child.nodes(to)
	}
	return to
}

// Fold is the graph of boxes: one edge for all edges between the same two boxes. Of
// each edge it says which edges of the graph it stands for. Calls inside of a group
// are left out.
func (g *Graph) Fold(boxes []Box) (folded Graph, stands [][]int) {
	of := make([]int, g.N)
	for v := range of {
		of[v] = -1
	}
	for i := range boxes {
		for _, v := range boxes[i].Members {
			of[v] = i
		}
	}
	folded = Graph{N: len(boxes), Roots: []int{0}}
	index := map[[2]int]int{}
	for i, e := range g.Edges {
		between := [2]int{of[e[0]], of[e[1]]}
		if between[0] < 0 || between[1] < 0 || between[0] == between[1] && boxes[between[0]].Why != "" {
			continue
		}
		at, known := index[between]
		if !known {
			at = len(folded.Edges)
			index[between] = at
			folded.Edges = append(folded.Edges, between)
			stands = append(stands, nil)
		}
		stands[at] = append(stands[at], i)
	}
	return folded, stands
}
