package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
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
	named := map[string]*document.Draft{}
	for _, f := range c.files {
		for _, p := range f.docs {
			p.File.Enter(p.Root)
			if p.System == nil || p.System.Name == "" {
				continue
			}
			if before := named[p.System.Name]; before != nil {
				f.Mistake(p.Root.At("name"), "name", "give each system its own name",
					"system %q is already described at %s:%d", p.System.Name, before.File.Name, before.Origin.Line)
				continue
			}
			named[p.System.Name] = p
		}
	}
	for _, f := range c.files {
		for _, p := range f.docs {
			p.File.Enter(p.Root)
			if p.SystemName != nil {
				c.resolve(p, named)
			}
			validate(p)
			noteNowhere(p, named)
		}
	}
}

// resolve finds the system that an experiment names.
func (c *checker) resolve(p *document.Draft, named map[string]*document.Draft) {
	name := p.SystemName.Scalar
	if other := named[name]; other != nil {
		p.UseSystem(other.System)
		return
	}
	if system := c.example(name); system != nil {
		p.UseSystem(system)
		return
	}
	hint := problem.DidYouMean(name, slices.Sorted(maps.Keys(named)), "describe it in the same files, or name an example")
	p.File.Mistake(p.SystemName, "system", hint, "system %q is described nowhere", name)
}

// validate adds the problems that the domain finds, except those that follow
// from mistakes already reported.
func validate(p *document.Draft) {
	known := p.File.InDocument()
	var problems problem.List
	switch {
	case p.System != nil:
		problems = p.System.Validate()
	case p.Experiment != nil:
		problems = p.Experiment.Validate()
	case p.Dataset != nil:
		problems = p.Dataset.Validate()
	case p.Load != nil:
		problems = p.Load.Profile.Validate()
	case p.Faults != nil:
		problems = p.Faults.Validate()
	}
	for _, one := range problems {
		if p.SystemName != nil && (one.Path == "system" || strings.HasPrefix(one.Path, "system.")) {
			continue // reported where the system is described
		}
		one.Path = p.Written(one.Path)
		place, whole := p.Root.Follow(one.Path)
		if decode.Follows(p.Root, one.Path, place, whole, known) {
			continue
		}
		p.File.MistakeAt(place, one)
	}
}
