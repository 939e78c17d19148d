// Package fault is the vocabulary of faults: their types, parameters and targets.
// Package timeline plans when faults begin and end.
package fault

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Fault is one way to break one target for some time.
type Fault struct {
	// Name identifies the fault within a run; if a file leaves it out, it is made
	// from type and target.
	Name   string `json:"name,omitempty"`
	Type   Type   `json:"type"`
	Target Target `json:"target"`
	// Start is counted from the beginning of the load.
	Start unit.Duration `json:"start,omitzero"`
	// Duration 0 means until the end, or until it is cleared.
	Duration unit.Duration `json:"duration,omitzero"`
	// Probability is the share of requests hit, above 0 and up to 1.
	Probability unit.Share `json:"probability"`
	Args        Args       `json:"args,omitzero"`
	Rounds      *Rounds    `json:"rounds,omitempty"`
}

// A Target says where a fault acts.
type Target struct {
	// Service is the service that is broken; for a fault on an edge, the one
	// that is called.
	Service string `json:"service,omitempty"`
	// Replica counts from 1; 0 means every replica.
	Replica int `json:"replica,omitempty"`
	// Endpoint limits a fault in a service to one path.
	Endpoint string `json:"endpoint,omitempty"`
	// From limits the fault to the traffic of one caller.
	From string `json:"from,omitempty"`
	// Direction of a network fault: to-target, from-target or both; empty means
	// the type's own default.
	Direction Direction `json:"direction,omitempty"`
}

// Direction says on which packets a network fault acts.
type Direction string

// The directions of network faults.
const (
	ToTarget   Direction = "to"
	FromTarget Direction = "from"
	Both       Direction = "both"
)

// String prints the target as the command line takes it: cart, cart/2,
// cart/items, web->cart.
func (t Target) String() string {
	var b strings.Builder
	if t.From != "" {
		b.WriteString(t.From + "->")
	}
	b.WriteString(t.Service)
	if t.Replica > 0 {
		fmt.Fprintf(&b, "/%d", t.Replica)
	}
	if t.Endpoint != "" {
		b.WriteString(t.Endpoint)
	}
	return b.String()
}

// Args are the parameters of all types; which of them a type takes, and with
// what defaults is in its Entry.
type Args struct {
	// Delay is how long a request waits.
	Delay dist.Delay `json:"delay,omitzero"`
	// Jitter makes a fixed Delay uniform in Delay±Jitter.
	Jitter unit.Duration `json:"jitter,omitzero"`
	// Status is the HTTP status of an error.
	Status int `json:"status,omitempty"`
	// Size is the memory leaked, in bytes, or the bytes written per request.
	Size unit.Size `json:"size,omitzero"`
	// Hold is how long leaked memory is held or the processor kept busy.
	Hold unit.Duration `json:"hold,omitzero"`
	// Cores is how many processors are kept busy.
	Cores unit.Cores `json:"cores,omitzero"`
	// Rate limits a network path, in bytes per second.
	Rate unit.Rate `json:"rate,omitzero"`
	// Percent is the share, in percents, of packets that a network fault hits.
	Percent unit.Percent `json:"percent,omitempty"`
	// Correlation, 0 to 1, ties a network decision to the one before.
	Correlation unit.Share `json:"correlation,omitempty"`
	// Method names the method of a stress.
	Method string `json:"method,omitempty"`
	// Load is the share, 0 to 1, of each processor that a stress takes.
	Load unit.Share `json:"load,omitempty"`
	// Pattern is a regular expression (Go syntax), and With is the text that
	// replaces its matches.
	Pattern string `json:"pattern,omitempty"`
	With    string `json:"with,omitempty"`
	// Operation limits a fault in a data store to one kind of operations: read,
	// write, range or transaction, or of Kafka publish or consume.
	Operation string `json:"operation,omitempty"`
}

// Rounds repeats a fault on the process: every Interval a victim is drawn.
type Rounds struct {
	Count    int           `json:"count"`
	Interval unit.Duration `json:"interval"`
	// Victims are the services from which each round draws; the word nobody stands
	// for a round in which nothing happens.
	Victims []string `json:"victims"`
}

// Nobody is the victim of a round in which nothing happens.
const Nobody = "nobody"

// Label names the fault for people: its name, or type and target.
func (f *Fault) Label() string {
	if f.Name != "" {
		return f.Name
	}
	return string(f.Type) + " " + f.Target.String()
}

// EffectiveDirection returns the direction of the target, or the type's default if
// the target names none. It is empty for faults that have no direction.
func (f *Fault) EffectiveDirection() Direction {
	e, _ := Lookup(f.Type)
	if !e.onNetwork() {
		return ""
	}
	return cmp.Or(f.Target.Direction, e.Direction)
}

// EffectiveDelay returns the delay with its jitter.
func (a Args) EffectiveDelay() dist.Delay {
	if a.Jitter == 0 {
		return a.Delay
	}
	return dist.Jittered(a.Delay.Fixed.Std(), a.Jitter.Std())
}
