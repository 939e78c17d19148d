package experiment

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Select returns the variants of the given names, in the order of the names, or all
// variants if no names are given. The beginning of a name stands for it if no other
// name begins with it. An experiment without variants counts as a single variant
// without a name.
func (e *Experiment) Select(names []string) ([]Variant, error) {
	if len(names) == 0 {
		if len(e.Variants) == 0 {
			return []Variant{{}}, nil
		}
		return e.Variants, nil
	}
	var known []string
	for _, v := range e.Variants {
		known = append(known, v.Name)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("experiment %q has no variants", e.Name)
	}
	var selected []Variant
	for i, name := range names {
		v, ok := e.variantLike(name)
		if !ok {
			return nil, fmt.Errorf("experiment %q has no variant %q (%s)", e.Name, name,
				problem.DidYouMean(name, known, "known are "+strings.Join(known, ", ")))
		}
		if slices.ContainsFunc(selected[:i], func(before Variant) bool { return before.Name == v.Name }) {
			return nil, fmt.Errorf("variant %q is named twice: name each once, and take more seeds to repeat it", v.Name)
		}
		selected = append(selected, v)
	}
	return selected, nil
}

// variantLike returns the variant of that name, or the only one whose name
// begins with it.
func (e *Experiment) variantLike(name string) (v Variant, ok bool) {
	if v, ok = e.Variant(name); ok || name == "" {
		return v, ok
	}
	for _, other := range e.Variants {
		if !strings.HasPrefix(other.Name, name) {
			continue
		}
		if ok {
			return Variant{}, false
		}
		v, ok = other, true
	}
	return v, ok
}
