package topology

import (
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// checkMisses reports mistakes in calls that follow a look-up that missed.
func checkMisses(problems *problem.List, steps []Step, byName map[string]*Service) {
	for i := range steps {
		if c := steps[i].Call; c != nil {
			c.checkMiss(problems, problem.Index("steps", i)+".call", steps[:i], byName)
		}
		for j := range steps[i].Parallel {
			if c := steps[i].Parallel[j].Call; c != nil {
				c.checkMiss(problems, problem.Index("steps", i)+"."+problem.Index("parallel", j)+".call", nil, byName)
			}
		}
	}
}

// checkMiss looks for the look-up among the steps before; nil stands for a call
// inside parallel steps, which has none.
func (c *Call) checkMiss(problems *problem.List, path string, before []Step, byName map[string]*Service) {
	if c.IfMissed == "" {
		if c.Coalesce {
			problems.AddHint(path+".coalesce", "add ifMissed with the store that is looked up before, or leave coalesce out",
				"calls are coalesced by the item that a look-up missed, and this one has no ifMissed")
		}
		return
	}
	path += ".ifMissed"
	store := byName[c.IfMissed]
	at := -1
	for i := range before {
		if l := before[i].Call; l != nil && l.To == c.IfMissed && l.IfMissed == "" {
			at = i
		}
	}
	switch {
	case store == nil:
		problems.AddHint(path, suggest(c.IfMissed, byName), "%q is not a service of the system", c.IfMissed)
	case !store.Kind.IsStore():
		problems.AddHint(path, "name a store, such as one of kind redis", "%q is a service of kind %s, which no item is looked up in", c.IfMissed, store.Kind)
	case before == nil:
		problems.AddHint(path, "put the look-up and the calls that follow it outside of parallel", "calls inside parallel steps cannot depend on a look-up")
	case at < 0:
		problems.AddHint(path, "write {to: "+c.IfMissed+", reads: 1} before this call", "no look-up of %q stands before this call", c.IfMissed)
	default:
		l := before[at].Call.WithOperations(store)
		if ops := l.Operations(); !slices.Equal(ops, []Operation{OpRead}) || l.Count > 1 {
			problems.AddHint(problem.Index("steps", at)+".call", "write reads: 1, and other operations as a call of their own",
				"calls are made if this look-up misses, so it must read one item, and it does %s", DescribeOperations(ops))
		}
	}
}
