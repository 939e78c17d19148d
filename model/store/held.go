package store

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Ask is what a client asks a real server for, as far as that can be told from its
// messages.
type Ask struct {
	// Operation is empty for what is none, or is not known.
	Operation topology.Operation
	// Item is the key of the item, of a range the first; empty if it is not known.
	Item string
	// Silent says that no answer belongs to it, Told that it was told before as one that is
	// silent, and that its answer comes now.
	Silent, Told bool
}

// Hold is how long slow queries keep an operation from a real server: what they would add to it
// here. Each operation is asked about once, since the decision depends on how many there were
// before.
func (s *Store) Hold(a Ask) time.Duration {
	if a.Operation == "" || a.Told {
		return 0
	}
	r := Running{query: Query{Operation: a.Operation, Item: a.Item}}
	r.key = s.keyOf(&r.query)
	return s.slowness(&r)
}

// Slows reports whether slow queries act.
func (s *Store) Slows() bool { return s.has(slow) }
