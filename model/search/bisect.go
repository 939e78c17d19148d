package search

import (
	"math"
	"slices"
)

// A Bisection searches for the highest value at which a requirement holds, which
// breaks beyond some value. If verdicts are unclear, the bisection approaches both
// ends of the unclear range.
type Bisection struct {
	// Start is the value that is tried first; Least and Most bound all others.
	Start, Least, Most float64
	// Precision ends the search when a gap is at most this share of its upper end.
	Precision float64
	// Whole limits the search to whole numbers.
	Whole bool
	// Tries bounds the number of values that are tried.
	Tries int
}

// A Bracket is the result of a bisection. Holds is the highest value that was shown
// to hold and below which none broke. Breaks is the lowest value that was shown to
// break. Each is nil if there is none.
type Bracket struct {
	Holds, Breaks *float64
	// Again is the highest value above Breaks that was shown to hold nevertheless.
	// It is nil if there is none, which is what a bisection expects.
	Again *float64
}

// Find tries values until the bracket is narrow enough. An error of try ends the
// search; Find then returns the error with the bracket so far.
func (b Bisection) Find(try func(value float64) (Verdict, error)) (Bracket, error) {
	t := tries{b, nil}
	for range b.Tries {
		x, more := t.next()
		if !more {
			break
		}
		verdict, err := try(x)
		if err != nil {
			return t.bracket(), err
		}
		t.list = append(t.list, tried{x, verdict})
		slices.SortFunc(t.list, func(a, b tried) int {
			if a.value < b.value {
				return -1
			}
			return 1
		})
	}
	return t.bracket(), nil
}

type tried struct {
	value   float64
	verdict Verdict
}

// tries are the values tried so far in ascending order.
type tries struct {
	Bisection
	list []tried
}

func (t *tries) bracket() (b Bracket) {
	for i := range t.list {
		v := &t.list[i]
		switch {
		case v.verdict == Breaks && b.Breaks == nil:
			b.Breaks = &v.value
		case v.verdict == Holds && b.Breaks == nil:
			b.Holds = &v.value
		case v.verdict == Holds:
			b.Again = &v.value
		}
	}
	return b
}

// next returns the value to try next. It returns false if the bracket is narrow
// enough or cannot become narrower.
func (t *tries) next() (float64, bool) {
	if len(t.list) == 0 {
		return t.round(min(max(t.Start, t.Least), t.Most)), true
	}
	b := t.bracket()
	lowest, highest := t.list[0].value, t.list[len(t.list)-1].value
	switch {
	case b.Breaks == nil && highest < t.Most:
		return t.fresh(min(2*highest, t.Most))
	case b.Holds == nil && lowest > t.Least:
		return t.fresh(max(lowest/2, t.Least))
	}
	return t.between(b)
}

// between halves the wider of the two gaps around the unclear range.
func (t *tries) between(b Bracket) (float64, bool) {
	low, high := 0.0, 0.0
	if b.Holds != nil {
		low = *b.Holds
	}
	var ends []float64
	for _, v := range t.list {
		if v.value >= low && (b.Breaks == nil || v.value <= *b.Breaks) {
			ends = append(ends, v.value)
		}
	}
	widest := 0.0
	// Only the gap above what holds, and that below what breaks, can narrow the
	// bracket.
	for i := 1; i < len(ends); i++ {
		below, above := b.Holds != nil && i == 1, b.Breaks != nil && i == len(ends)-1
		if gap := ends[i] - ends[i-1]; (below || above) && gap > widest && t.wide(ends[i-1], ends[i]) {
			low, high, widest = ends[i-1], ends[i], gap
		}
	}
	if widest == 0 {
		return 0, false
	}
	return t.fresh((low + high) / 2)
}

func (t *tries) wide(low, high float64) bool {
	if t.Whole {
		return high-low > 1 && high-low > t.Precision*high
	}
	return high-low > t.Precision*high
}

// fresh rounds a value, and returns false if it was tried before.
func (t *tries) fresh(x float64) (float64, bool) {
	x = t.round(x)
	return x, !slices.ContainsFunc(t.list, func(v tried) bool { return v.value == x })
}

// round keeps only the digits that the precision needs, so that values are easy to
// read.
func (t *tries) round(x float64) float64 {
	if t.Whole {
		return math.Round(x)
	}
	digits := math.Ceil(-math.Log10(t.Precision)) + 1
	unit := math.Pow(10, math.Floor(math.Log10(x))-digits+1)
	return min(max(roundTo(x, unit), t.Least), t.Most)
}

// roundTo rounds to a multiple of a power of ten, written as decimals are.
func roundTo(x, unit float64) float64 {
	if unit < 1 {
		per := math.Round(1 / unit)
		return math.Round(x*per) / per
	}
	return math.Round(x/unit) * unit
}
