// Package order describes what the helper of a node must do to pods of its node.
// The planner of faults writes orders, and the helper carries them out; neither
// needs to know how the other works.
package order

import (
	"fmt"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// An Order is all that one owner wants of one node. It replaces what the same
// owner has wanted before; an order with neither pods nor a reservation wants nothing
// any more.
type Order struct {
	// Owner names whose faults these are, such as a system and its namespace.
	Owner string `json:"owner"`
	// Version grows with every change; of two orders the later one counts,
	// whichever comes first.
	Version int64 `json:"version"`
	Pods    []Pod `json:"pods,omitempty"`
	// Reserved is until when the helper stays, though no fault acts, because the owner
	// will need it soon. Zero reserves nothing.
	Reserved time.Time `json:"reserved,omitzero"`
}

// A Pod is one pod of the node with the faults that act on it.
type Pod struct {
	UID       string  `json:"uid"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Faults    []Fault `json:"faults"`
}

// A Fault is one fault on one pod.
type Fault struct {
	// ID is unique among the faults of the owner.
	ID    string      `json:"id"`
	Fault fault.Fault `json:"fault"`
	// Deadline is when the fault is taken back, whatever becomes of its owner.
	// Zero means that it acts until the order changes.
	Deadline time.Time `json:"deadline,omitzero"`
	// Peers limit a fault on the network to packets to and from these addresses
	// or CIDRs. An empty list means all of them, unless Only is set.
	Peers []string `json:"peers,omitempty"`
	// Only is set where the fault concerns the peers alone, of which there may
	// be none at the moment: then it acts on nothing.
	Only bool `json:"only,omitempty"`
	// Exempt are packets that a fault on the network leaves alone, as
	// netfault.ParsePeer reads them: the node's own address, from which probes
	// come, or a port.
	Exempt []string `json:"exempt,omitempty"`
	// MaxPods is how many pods of the node the fault may hit at most. A fault on pods
	// that are of no system has to say it.
	MaxPods int `json:"maxPods,omitempty"`
}

// A Status is what a helper has made of one fault on one pod.
type Status struct {
	Owner   string `json:"owner"`
	Version int64  `json:"version"`
	PodUID  string `json:"podUid"`
	FaultID string `json:"faultId"`
	// Acts is set while the fault acts; where it does not, Error says why, or
	// its deadline is over.
	Acts  bool      `json:"acts"`
	Since time.Time `json:"since,omitzero"`
	// By names what carries the fault out: tc, emulate, processes.
	By string `json:"by,omitempty"`
	// Effective tells the values in force where they differ in form from those
	// asked for, for people.
	Effective string `json:"effective,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Validate says what is wrong with an order.
func (o *Order) Validate() error {
	if o.Owner == "" {
		return fmt.Errorf("the order has no owner")
	}
	seen := map[[2]string]bool{}
	for _, p := range o.Pods {
		if p.UID == "" {
			return fmt.Errorf("order of %q: pod %q has no UID", o.Owner, p.Name)
		}
		for i := range p.Faults {
			f := &p.Faults[i]
			if f.ID == "" || seen[[2]string{p.UID, f.ID}] {
				return fmt.Errorf("order of %q: pod %q: the fault id %q is empty or there twice", o.Owner, p.Name, f.ID)
			}
			seen[[2]string{p.UID, f.ID}] = true
			if err := f.Fault.Validate().Err(); err != nil {
				return fmt.Errorf("order of %q: pod %q: fault %q: %w", o.Owner, p.Name, f.ID, err)
			}
			if !Takes(f.Fault.Type) {
				return fmt.Errorf("order of %q: pod %q: fault %q: a %s is not the business of a node's helper", o.Owner, p.Name, f.ID, f.Fault.Type)
			}
		}
	}
	return nil
}

// Takes reports whether faults of a type are carried out by the helper of a
// node: those on the network and on resources, and the pausing of processes.
func Takes(t fault.Type) bool {
	entry, known := fault.Lookup(t)
	return known && (entry.Layer == fault.OnNetwork || entry.Layer == fault.OnHost || t == fault.Pause)
}

// FileName is the name of the file, or the key of a ConfigMap, that holds an
// owner's order.
func FileName(owner string) string {
	return strings.NewReplacer("/", "_").Replace(owner) + ".json"
}

// End returns the latest deadline of the order's faults and of its reservation; forever
// is set if a fault has none.
func (o *Order) End() (end time.Time, forever bool) {
	end = o.Reserved
	for _, p := range o.Pods {
		for _, f := range p.Faults {
			if f.Deadline.IsZero() {
				forever = true
			}
			if f.Deadline.After(end) {
				end = f.Deadline
			}
		}
	}
	return end, forever
}
