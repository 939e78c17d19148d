package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A checker resolves what documents say of each other, and validates them.
type checker struct {
	files []*reader
	// example returns the system of an embedded example, or nil.
	example func(name string) *topology.System
}

// check finishes the documents of all files and adds what is wrong with them to
// the files' mistakes.
func (c *checker) check() {
	named := map[string]*pending{}
	for _, f := range c.files {
		for _, p := range f.docs {
			if p.System == nil || p.System.Name == "" {
				continue
			}
			if before := named[p.System.Name]; before != nil {
				f.mistake(p.root.at("name"), "name", "give each system its own name",
					"system %q is already described at %s:%d", p.System.Name, before.file.name, before.Origin.Line)
				continue
			}
			named[p.System.Name] = p
		}
	}
	for _, f := range c.files {
		for _, p := range f.docs {
			if p.system != nil {
				c.resolve(p, named)
			}
			validate(p)
		}
	}
}

// resolve finds the system that an experiment names.
func (c *checker) resolve(p *pending, named map[string]*pending) {
	name := p.system.scalar
	if other := named[name]; other != nil {
		p.Experiment.System = *other.System
		return
	}
	if system := c.example(name); system != nil {
		p.Experiment.System = *system
		return
	}
	hint := problem.DidYouMean(name, slices.Sorted(maps.Keys(named)), "describe it in the same files, or name an example")
	p.file.mistake(p.system, "system", hint, "system %q is described nowhere", name)
}

// validate adds the problems that the domain finds, except those that follow
// from mistakes already reported.
func validate(p *pending) {
	known := p.file.mistakes
	var problems problem.List
	switch {
	case p.System != nil:
		problems = p.System.Validate()
	case p.Experiment != nil:
		problems = p.Experiment.Validate()
	case p.Load != nil:
		problems = p.Load.Profile.Validate()
	case p.Faults != nil:
		problems = p.Faults.validate()
	}
	for _, one := range problems {
		if p.system != nil && (one.Path == "system" || strings.HasPrefix(one.Path, "system.")) {
			continue // reported where the system is described
		}
		path := p.written(one.Path)
		place, whole := p.root.follow(path)
		if follows(p.root, path, place, whole, known) {
			continue
		}
		p.file.mistakeAt(place, one)
	}
}
