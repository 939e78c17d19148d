package edit

// A pair says that an entry of the old list becomes one of the new list; -1 stands
// for none: the entry goes, or is new.
type pair struct{ old, new int }

// align pairs the entries of two lists of a and b entries. Where the lists are as
// long as each other, nothing has come or gone. Otherwise as many as possible stay
// the same, and of the others, those that are alike are paired.
func align(a, b int, same, alike func(i, j int) bool) (pairs []pair) {
	if a == b {
		for i := range a {
			pairs = append(pairs, pair{i, i})
		}
		return pairs
	}
	head := 0
	for head < min(a, b) && same(head, head) {
		pairs = append(pairs, pair{head, head})
		head++
	}
	tail := 0
	for tail < min(a, b)-head && same(a-1-tail, b-1-tail) {
		tail++
	}
	pairs = append(pairs, alignMiddle(head, a-tail, head, b-tail, same, alike)...)
	for i := range tail {
		pairs = append(pairs, pair{a - tail + i, b - tail + i})
	}
	return pairs
}

// Costs of what becomes of an entry.
const (
	alikeCost  = 1
	insertCost = 4
	deleteCost = 4
	never      = 1 << 30
	// maxAligned bounds the pairs that are looked at. Longer lists that differ all
	// over are written anew.
	maxAligned = 1_000_000
)

// alignMiddle is the edit distance of Levenshtein's with the costs above.
func alignMiddle(a0, a1, b0, b1 int, same, alike func(i, j int) bool) (pairs []pair) {
	n, m := a1-a0, b1-b0
	if n*m > maxAligned {
		for i := range n {
			pairs = append(pairs, pair{a0 + i, -1})
		}
		for j := range m {
			pairs = append(pairs, pair{-1, b0 + j})
		}
		return pairs
	}
	cost := make([][]int, n+1)
	for i := range cost {
		cost[i] = make([]int, m+1)
	}
	meet := func(i, j int) int {
		switch {
		case same(a0+i, b0+j):
			return 0
		case alike(a0+i, b0+j):
			return alikeCost
		}
		return never
	}
	for i := n; i >= 0; i-- {
		for j := m; j >= 0; j-- {
			switch {
			case i == n:
				cost[i][j] = (m - j) * insertCost
			case j == m:
				cost[i][j] = (n - i) * deleteCost
			default:
				cost[i][j] = min(meet(i, j)+cost[i+1][j+1], deleteCost+cost[i+1][j], insertCost+cost[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && cost[i][j] == meet(i, j)+cost[i+1][j+1]:
			pairs = append(pairs, pair{a0 + i, b0 + j})
			i, j = i+1, j+1
		case i < n && cost[i][j] == deleteCost+cost[i+1][j]:
			pairs = append(pairs, pair{a0 + i, -1})
			i++
		default:
			pairs = append(pairs, pair{-1, b0 + j})
			j++
		}
	}
	return pairs
}

// alignNames pairs the entries of two lists by their names, which are unique and
// in the same order in both.
func alignNames(a, b []string) (pairs []pair) {
	if len(a) == len(b) {
		return align(len(a), len(b), nil, nil)
	}
	at := make(map[string]int, len(b))
	for j, name := range b {
		at[name] = j
	}
	next := 0
	for i, name := range a {
		j, stays := at[name]
		if !stays || j < next {
			pairs = append(pairs, pair{i, -1})
			continue
		}
		for ; next < j; next++ {
			pairs = append(pairs, pair{-1, next})
		}
		pairs = append(pairs, pair{i, j})
		next = j + 1
	}
	for ; next < len(b); next++ {
		pairs = append(pairs, pair{-1, next})
	}
	return pairs
}
