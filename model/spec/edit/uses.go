package edit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// uses finds everything in the file that names a service of a system.
type uses struct {
	*target
	system *topology.System
	name   string
	// removed are the uses that are taken out, kept those that cannot be.
	removed, kept []string
}

func (u *uses) gone(format string, args ...any) {
	u.removed = append(u.removed, fmt.Sprintf(format, args...))
}

func (u *uses) stays(format string, args ...any) {
	u.kept = append(u.kept, fmt.Sprintf(format, args...))
}

// experiments lists the experiments on the system.
func (u *uses) experiments() (list []*experiment.Experiment) {
	own := -1
	for i := range u.docs {
		if u.docs[i].System == u.system {
			own = i
		}
	}
	for i := range u.docs {
		if e := u.docs[i].Experiment; e != nil && (&e.System == u.system || own >= 0 && u.file.systems[i] == own) {
			list = append(list, e)
		}
	}
	return list
}

// remove takes out of the file what names the service.
func (u *uses) remove() {
	for i := range u.system.Services {
		s := &u.system.Services[i]
		for j := range s.Endpoints {
			u.removeCalls(s, &s.Endpoints[j])
		}
	}
	u.system.Entry = u.names(u.system.Entry, "entry of the system")
	if len(u.system.Services) == 0 {
		u.stays("the last service of system %q", u.system.Name)
	}
	for _, e := range u.experiments() {
		u.removeFrom(e)
	}
}

func (u *uses) removeCalls(s *topology.Service, e *topology.Endpoint) {
	count := 0
	var without func(steps []topology.Step) []topology.Step
	without = func(steps []topology.Step) []topology.Step {
		var kept []topology.Step
		for _, step := range steps {
			if step.Call != nil && step.Call.To == u.name {
				count++
				continue
			}
			step.Parallel = without(step.Parallel)
			kept = append(kept, step)
		}
		return kept
	}
	if steps := without(e.Steps); count > 0 {
		e.Steps = withoutEmpty(steps)
		u.gone("call %s%s->%s", s.Name, strings.TrimSuffix(e.Path, "/"), u.name)
		if strings.Contains(e.Response.Body, "{"+u.name+"}") {
			u.stays("the body of %s%s answers with what %s answered", s.Name, e.Path, u.name)
		}
	}
}

// names takes the service out of a list of names.
func (u *uses) names(list []string, what string) []string {
	if !slices.Contains(list, u.name) {
		return list
	}
	u.gone("%s", what)
	list = slices.DeleteFunc(slices.Clone(list), func(name string) bool { return name == u.name })
	if len(list) == 0 {
		u.stays("%s, of which it is the only one", what)
	}
	return list
}

func (u *uses) removeFrom(e *experiment.Experiment) {
	var faults []fault.Fault
	for _, f := range e.Faults {
		if f.Target.Service == u.name || f.Target.From == u.name {
			u.gone("fault %s of experiment %s", f.Label(), e.Name)
			if f.Name != "" {
				renameFault(e, f.Name, "")
			}
			continue
		}
		if f.Rounds != nil {
			f.Rounds.Victims = u.names(f.Rounds.Victims, fmt.Sprintf("victim of fault %s", f.Label()))
		}
		faults = append(faults, f)
	}
	e.Faults = faults
	e.Checks = u.removeChecks(e.Checks, e.Name)
	e.AbortOn = u.removeChecks(e.AbortOn, e.Name)
	u.removeRequests(&e.Load, e.Name)
	if e.Rank.Service == u.name || e.Rank.From == u.name {
		u.stays("the rank of experiment %s", e.Name)
	}
	for i := range e.Variants {
		v := &e.Variants[i]
		at := e.Name + ", variant " + v.Name
		v.Checks = u.removeChecks(v.Checks, at)
		v.Set = slices.DeleteFunc(v.Set, func(p experiment.Patch) bool {
			named := p.Service == u.name || p.Call == u.name
			if named {
				u.gone("what is set in %s", at)
			}
			return named
		})
		if v.Load != nil {
			u.removeRequests(v.Load, at)
		}
	}
}

func (u *uses) removeChecks(checks []experiment.Check, at string) []experiment.Check {
	return slices.DeleteFunc(checks, func(c experiment.Check) bool {
		named := c.Service == u.name || c.From == u.name
		if named {
			u.gone("check %s of %s", c.Expr, at)
		}
		return named
	})
}

func (u *uses) removeRequests(l *load.Profile, at string) {
	count := len(l.Requests)
	l.Requests = slices.DeleteFunc(l.Requests, func(r load.Request) bool {
		if r.Chain != "" && renamedChain(r.Chain, u.name, u.name+"-") != r.Chain {
			u.stays("request %s of %s has a route to it", r.Name, at)
		}
		if r.Service == u.name {
			u.gone("request %s of %s", r.Name, at)
		}
		return r.Service == u.name
	})
	if count > 0 && len(l.Requests) == 0 {
		u.stays("the only request of %s", at)
	}
}

// rename writes another name in place of the service's.
func (u *uses) rename(to string) {
	change := func(names ...*string) {
		for _, name := range names {
			if *name == u.name {
				*name = to
			}
		}
	}
	all := func(list []string) {
		for i := range list {
			change(&list[i])
		}
	}
	for i := range u.system.Services {
		s := &u.system.Services[i]
		s.EachStep(func(step *topology.Step) {
			if step.Call != nil {
				change(&step.Call.To)
			}
		})
		for j := range s.Endpoints {
			u.renameInBody(s, &s.Endpoints[j], to)
		}
	}
	all(u.system.Entry)
	for _, e := range u.experiments() {
		for i := range e.Faults {
			f := &e.Faults[i]
			change(&f.Target.Service, &f.Target.From)
			if f.Rounds != nil {
				all(f.Rounds.Victims)
			}
		}
		checks := func(list []experiment.Check) {
			for i := range list {
				change(&list[i].Service, &list[i].From)
			}
		}
		checks(e.Checks)
		checks(e.AbortOn)
		change(&e.Rank.Service, &e.Rank.From)
		u.renameRequests(&e.Load, to)
		for i := range e.Variants {
			v := &e.Variants[i]
			checks(v.Checks)
			for j := range v.Set {
				change(&v.Set[j].Service, &v.Set[j].Call)
			}
			if v.Load != nil {
				u.renameRequests(v.Load, to)
			}
		}
	}
}

// renameInBody changes the name in an answer that holds what the service answered.
func (u *uses) renameInBody(s *topology.Service, e *topology.Endpoint, to string) {
	before, after := "{"+u.name+"}", "{"+to+"}"
	only := topology.Service{Endpoints: []topology.Endpoint{*e}}
	if !strings.Contains(e.Response.Body, before) || !slices.Contains(only.Calls(), to) {
		return
	}
	if strings.Contains(e.Response.Body, after) {
		u.stays("the body of %s%s has %s already", s.Name, e.Path, after)
	}
	e.Response.Body = strings.ReplaceAll(e.Response.Body, before, after)
}

func (u *uses) renameRequests(l *load.Profile, to string) {
	for i := range l.Requests {
		r := &l.Requests[i]
		if r.Chain != "" {
			r.Chain = renamedChain(r.Chain, u.name, to)
		}
		if r.Service == u.name {
			if r.Name == r.Service+r.Endpoint {
				r.Name = to + r.Endpoint
			}
			r.Service = to
		}
	}
}

// renamedChain changes the designations in the JSON of a chain, and nothing else
// of its text. URLs lead where they lead.
func renamedChain(text, from, to string) string {
	f, err := source.Parse("chain.json", []byte(text))
	if err != nil {
		return text
	}
	draft := f.Draft()
	var walk func(n *source.Node)
	walk = func(n *source.Node) {
		for i := range n.Entries {
			e := &n.Entries[i]
			if e.Key != nil && e.Key.Value == "designation" && e.Value.IsText() {
				if d := e.Value.Value; d == from || !chain.IsURL(d) && chain.ServiceName(d) == from {
					err = errors.Join(err, draft.Replace(e.Value, &decode.Node{Shape: decode.Text, Scalar: to}))
				}
			}
			walk(e.Value)
		}
	}
	for _, doc := range f.Documents {
		walk(doc)
	}
	after, _, failed := draft.Done(nil)
	if err != nil || failed != nil {
		return text
	}
	return string(after.Text)
}
