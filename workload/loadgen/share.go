package loadgen

import (
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// A Share is the part of a load that one of several generators sends. Each
// generator makes the same decisions about the whole load, but sends only every
// Of-th arrival of open loops, and has only every Of-th user of closed loops. So
// the whole load does not depend on the number of generators. The zero value is all
// of the load.
type Share struct {
	// Index counts from 0.
	Index int `json:"index"`
	Of    int `json:"of"`
}

// validate returns an error if the profile cannot be shared among so many
// generators.
func (s Share) validate(p *load.Profile) error {
	if s.Of < 0 || s.Index < 0 || s.Index >= max(s.Of, 1) {
		return fmt.Errorf("there is no share %d of %d: count from 0", s.Index, s.Of)
	}
	for i := range p.Phases {
		phase := &p.Phases[i]
		if s.Of > 1 && phase.Count > 0 && !phase.IsOpen() && i < len(p.Phases)-1 {
			return fmt.Errorf("phase %q is a closed loop that ends by a count, which happens to each of several generators at another time, and others follow it: let one generator send all of the load, or give the phase a duration", phase.Name)
		}
	}
	return nil
}

// has reports whether an arrival, or a user, belongs to the share.
func (s Share) has(number int) bool { return s.Of <= 1 || number%s.Of == s.Index }

// number returns the number of the share's i-th user or arrival in the whole load.
func (s Share) number(i int) int { return s.Index + i*max(s.Of, 1) }

// next returns the next arrival of the share. In a phase that ends by a count, it
// also returns the last arrival, so that the phase ends, and the next one begins,
// at the same time in all generators.
func (s Share) next(pacer *load.Pacer, p *load.Phase) (number int, at time.Duration, ok bool) {
	for {
		number = pacer.Index()
		if at, ok = pacer.Next(); !ok || s.has(number) || number == p.Count-1 {
			return number, at, ok
		}
	}
}

// first returns how many of the first n arrivals or users belong to the share.
func (s Share) first(n int) int {
	of := max(s.Of, 1)
	return max(0, n-s.Index+of-1) / of
}

// bound returns the share's part, at least 1, of a bound on all generators
// together.
func (s Share) bound(n int) int { return max(1, s.first(n)) }

// count returns the share's part of the number of requests after which a closed
// loop ends. The shares that have users divide that number.
func (s Share) count(p *load.Phase) int {
	users := p.Users
	if p.UsersTo != nil {
		users = max(users, *p.UsersTo)
	}
	active := Share{s.Index, min(max(s.Of, 1), max(users, 1))}
	if active.Index >= active.Of {
		return 0
	}
	return active.first(p.Count)
}
