package chain

import (
	"cmp"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Limits bound what one request may ask of a service. They keep a mistake, or
// a stranger, from taking the machine down. A zero field means its default.
type Limits struct {
	// Depth is the number of services on the longest way through a chain.
	Depth int `json:"depth,omitempty"`
	// Nodes is the number of services of a whole chain.
	Nodes int `json:"nodes,omitempty"`
	// FanOut is the number of routes of one service of a chain.
	FanOut int `json:"fanOut,omitempty"`
	// Faults is the number of faults of one service of a chain, before and
	// after taken together.
	Faults int `json:"faults,omitempty"`
	// Body is the size of a chain as JSON.
	Body unit.Size `json:"body,omitzero"`
	// Leak is what leaks and requests may hold in a service at any one time.
	// A single leak over it is refused before anything runs.
	Leak unit.Size `json:"leak,omitzero"`
}

// The limits that a zero field of Limits stands for.
const (
	DefaultDepth  = topology.MaxChainHops
	DefaultNodes  = 10000
	DefaultFanOut = 1000
	DefaultFaults = 100
	DefaultBody   = 1 << 20
	DefaultLeak   = fault.MaxLeak
)

// WithDefaults returns the limits with every zero field filled in.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Depth: cmp.Or(l.Depth, DefaultDepth), Nodes: cmp.Or(l.Nodes, DefaultNodes), FanOut: cmp.Or(l.FanOut, DefaultFanOut),
		Faults: cmp.Or(l.Faults, DefaultFaults), Body: cmp.Or(l.Body, DefaultBody), Leak: cmp.Or(l.Leak, DefaultLeak),
	}
}
