package nodeagent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// errOutdated is wrapped by the error of an order that comes too late.
var errOutdated = errors.New("a later version is known already")

// fileGrace is how long an order that came by HTTP outlives the file of its
// owner. The kubelet brings a changed ConfigMap to its mount in up to 90 s, so a
// file that is gone may have been taken away before the order was given.
const fileGrace = 2 * time.Minute

// An orderState says what becomes of an owner's order.
type orderState int

const (
	active orderState = iota
	// withdrawn is an order whose file has gone; it counts again when the file,
	// or the same order by HTTP, comes back.
	withdrawn
	// deleted is an order that was taken back by name; only a later version counts.
	deleted
)

// entry is what is known of one owner.
type entry struct {
	order order.Order
	orderState
	// received is when the order came by HTTP; zero once a file has it, too.
	received time.Time
}

// orderStore knows the newest order of each owner, from files and from HTTP. Its
// methods may be called at the same time.
type orderStore struct {
	mu     sync.Mutex
	owners map[string]*entry
	files  map[string]*orderFile
}

func newOrderStore() *orderStore {
	return &orderStore{owners: map[string]*entry{}, files: map[string]*orderFile{}}
}

// put takes an order that came by HTTP and returns the pods that it concerns:
// those of the order before, and its own.
func (b *orderStore) put(o order.Order, now time.Time) (pods []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[o.Owner]
	if e != nil && (o.Version < e.order.Version || o.Version == e.order.Version && e.orderState == deleted) {
		return nil, fmt.Errorf("order of %q, version %d: %w: %d", o.Owner, o.Version, errOutdated, e.order.Version)
	}
	return b.take(o, now), nil
}

// take replaces an owner's order unless it is the same.
func (b *orderStore) take(o order.Order, received time.Time) (pods []string) {
	e := b.owners[o.Owner]
	if e != nil && e.order.Version == o.Version && e.orderState == active {
		return podsOf(e.order)
	}
	if e != nil {
		pods = podsOf(e.order)
	}
	b.owners[o.Owner] = &entry{order: o, received: received}
	return append(pods, podsOf(o)...)
}

// remove takes an owner's order back, and every other one up to that version;
// version 0 stands for the one that is known.
func (b *orderStore) remove(owner string, version int64) (pods []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[owner]
	if e == nil {
		e = &entry{order: order.Order{Owner: owner, Version: version}}
		b.owners[owner] = e
	}
	version = cmp.Or(version, e.order.Version)
	if version < e.order.Version {
		return nil, fmt.Errorf("taking back the order of %q up to version %d: %w: %d", owner, version, errOutdated, e.order.Version)
	}
	pods = podsOf(e.order)
	b.owners[owner] = &entry{order: order.Order{Owner: owner, Version: version}, orderState: deleted}
	return pods, nil
}

// desired returns the faults that shall act now on a pod of a plain UID, ordered by owner, and
// within one as its order has them.
func (b *orderStore) desired(uid string, now time.Time) []desiredFault {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []desiredFault
	for _, owner := range slices.Sorted(maps.Keys(b.owners)) {
		e := b.owners[owner]
		if e.orderState != active {
			continue
		}
		for _, p := range e.order.Pods {
			for _, f := range p.Faults {
				if netns.PlainUID(p.UID) == uid && lasts(f, now) {
					out = append(out, desiredFault{owner: owner, version: e.order.Version, uid: p.UID, pods: podsWith(&e.order, f.ID), fault: f})
				}
			}
		}
	}
	return out
}

// podsWith counts the pods that an order has a fault act on.
func podsWith(o *order.Order, id string) int {
	n := 0
	for _, p := range o.Pods {
		if slices.ContainsFunc(p.Faults, func(f order.Fault) bool { return f.ID == id }) {
			n++
		}
	}
	return n
}

// lasts tells whether a fault's deadline is still to come.
func lasts(f order.Fault, now time.Time) bool { return f.Deadline.IsZero() || now.Before(f.Deadline) }

// orders returns the orders that count, ordered by owner.
func (b *orderStore) orders() []order.Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []order.Order
	for _, owner := range slices.Sorted(maps.Keys(b.owners)) {
		if e := b.owners[owner]; e.orderState == active {
			out = append(out, e.order)
		}
	}
	return out
}

// idle tells whether no order wants anything.
func (b *orderStore) idle(now time.Time) bool {
	for _, o := range b.orders() {
		if now.Before(o.Reserved) {
			return false
		}
		for _, p := range o.Pods {
			if slices.ContainsFunc(p.Faults, func(f order.Fault) bool { return lasts(f, now) }) {
				return false
			}
		}
	}
	return true
}

// podsOf returns the plain UIDs of an order's pods.
func podsOf(o order.Order) []string {
	var out []string
	for _, p := range o.Pods {
		out = append(out, netns.PlainUID(p.UID))
	}
	return out
}
