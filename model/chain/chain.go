// Package chain has MicroSim's requests that carry their own route and faults:
// what they hold, how they are read and written, how large they may be, and how
// they are answered.
package chain

import (
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A Chain is a request that carries its own route and faults, in the format of
// MicroSim. It is sent as JSON to POST / of the first service, which sends
// each of its routes on in the same way. Chains are read with Parse.
type Chain struct {
	// Designation is the service that the chain is for: a name of the system,
	// or a URL, which is any string that begins with "http".
	Designation string `json:"designation"`
	// Probability in percent, 0 to 100, is how likely this node, with all that
	// is below it, is called at all. Sample evaluates it; services, which
	// receive chains that have been sampled, ignore it.
	Probability float64 `json:"probability"`
	Faults      Faults  `json:"faults"`
	// Routes are called one after another, in order.
	Routes []*Chain `json:"routes"`
}

// Faults are run in order, before the routes are called and after all of
// them have answered.
type Faults struct {
	Before []Fault `json:"before"`
	After  []Fault `json:"after"`
}

// A Fault is one fault of a chain. Its JSON form has "type" and "args":
//
//	latency      delay (ms)
//	memory-leak  size (MB of 1024² bytes), duration (ms); held beside the request
//	cpu          cores (default 1), duration (ms)
//	io           size (MB of 1024² bytes), written and synced
//	error        status (default 500), rate (percent, default 100)
//	abort, hang, corrupt, panic take none
type Fault struct {
	Type fault.Type
	// Delay of a latency.
	Delay time.Duration
	// Duration that memory is held or processors are kept busy.
	Duration time.Duration
	// Size in bytes of a memory-leak or of io.
	Size  int64
	Cores float64
	// Status and Rate, 0 to 1, of an error.
	Status int
	Rate   float64
}

// A Response is the answer to a chain.
type Response struct {
	// Service is the name of the service that answered.
	Service string `json:"service"`
	// Address is the designation that it was called with.
	Address string `json:"address"`
	// Errors are its own: of its faults and of the calls it made. Those of the
	// services it called are in theirs.
	Errors []string `json:"errors"`
	// Response has an entry for each route in order; nil for one that failed.
	Response []*Response `json:"response"`
}

// Sample returns the part of the chain that is called: it keeps each node, the root
// included, with the node's probability. A node that is not kept is removed with
// everything below it. If the root is not called, Sample returns nil. It does not
// change c. The same key always gives the same decisions, and the decision for a
// node does not depend on its siblings.
func Sample(c *Chain, key dist.Key) *Chain {
	if !key.With("probability").Chance(c.Probability / 100) {
		return nil
	}
	sampled := *c
	sampled.Routes = make([]*Chain, 0, len(c.Routes))
	for i, route := range c.Routes {
		if r := Sample(route, key.WithInt(i)); r != nil {
			sampled.Routes = append(sampled.Routes, r)
		}
	}
	return &sampled
}

// IsURL reports whether a designation is a URL rather than a name.
func IsURL(designation string) bool { return strings.HasPrefix(designation, "http") }

// Resolve returns the chain with every name replaced by its URL. URLs are left
// alone. Names that lookup does not know stay as they are and are returned in the
// order of their first mention: the service that is to call one puts null into its
// response and the reason into its errors, and calls nobody. The sender of the
// chain must check whether the root is among them.
//
// MicroSim's names may have underscores where a system's have hyphens; lookup
// is asked for both.
func Resolve(c *Chain, lookup func(name string) (url string, ok bool)) (resolved *Chain, unknown []string) {
	seen := map[string]bool{}
	var walk func(*Chain) *Chain
	walk = func(c *Chain) *Chain {
		r := *c
		if !IsURL(c.Designation) {
			url, ok := lookup(c.Designation)
			if hyphened := ServiceName(c.Designation); !ok && hyphened != c.Designation {
				url, ok = lookup(hyphened)
			}
			if ok {
				r.Designation = url
			} else if !seen[c.Designation] {
				seen[c.Designation] = true
				unknown = append(unknown, c.Designation)
			}
		}
		r.Routes = make([]*Chain, len(c.Routes))
		for i, route := range c.Routes {
			r.Routes[i] = walk(route)
		}
		return &r
	}
	return walk(c), unknown
}

// ServiceName is the name that a designation has in a system: host names know
// no underscore.
func ServiceName(designation string) string {
	return strings.ReplaceAll(designation, "_", "-")
}

// Designations lists the names and URLs of the chain, each once, in the order
// of their first mention.
func (c *Chain) Designations() []string {
	var names []string
	seen := map[string]bool{}
	var walk func(*Chain)
	walk = func(c *Chain) {
		if !seen[c.Designation] {
			seen[c.Designation] = true
			names = append(names, c.Designation)
		}
		for _, route := range c.Routes {
			walk(route)
		}
	}
	walk(c)
	return names
}
