package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Only chooses among several experiments, systems and loads by their names. If
// none of a kind is named, all of it stay; but a load that is named brings its
// system, and a system that is named its loads and experiments, in place of the
// others.
func (d Documents) Only(names []string) (Documents, error) {
	if len(names) == 0 {
		return d, nil
	}
	known := d.Names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("choosing --only %q: the files have no experiment, system or load of that name (%s)", name,
				problem.DidYouMean(name, known, "they have "+strings.Join(known, ", ")))
		}
	}
	chosen := chosen{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	chosen.take(d, names)
	return slices.DeleteFunc(slices.Clone(d), func(one Document) bool { return !chosen.has(&one) }), nil
}

// Names are those by which Only can choose, each once.
func (d Documents) Names() (names []string) {
	for i := range d {
		if name := d[i].choosable(); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// choosable is the name by which a document can be chosen; empty if it cannot.
func (d *Document) choosable() string {
	switch {
	case d.Experiment != nil:
		return d.Experiment.Name
	case d.System != nil:
		return d.System.Name
	case d.Load != nil:
		return d.Load.Name
	}
	return ""
}

// chosen are the names of each kind that were chosen; none stands for all.
type chosen struct{ experiments, systems, loads map[string]bool }

func (c *chosen) take(d Documents, names []string) {
	for i := range d {
		one := &d[i]
		if !slices.Contains(names, one.choosable()) {
			continue
		}
		switch {
		case one.Experiment != nil:
			c.experiments[one.Experiment.Name] = true
		case one.System != nil:
			c.systems[one.System.Name] = true
		case one.Load != nil:
			c.loads[one.Load.Name] = true
		}
	}
	for _, l := range d.Loads() {
		if c.loads[l.Name] && l.System != "" {
			c.systems[l.System] = true
		}
	}
}

// has reports whether a document stays.
func (c *chosen) has(one *Document) bool {
	switch {
	case one.Experiment != nil:
		return c.experiments[one.Experiment.Name] || len(c.experiments)+len(c.loads) == 0 && (len(c.systems) == 0 || c.systems[one.Experiment.System.Name])
	case one.System != nil:
		return len(c.systems) == 0 || c.systems[one.System.Name]
	case one.Load != nil:
		if len(c.loads) > 0 {
			return c.loads[one.Load.Name]
		}
		return len(c.experiments) == 0 && (one.Load.System == "" || len(c.systems) == 0 || c.systems[one.Load.System])
	}
	return true
}
