package nodehelper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// OrdersIn reads all orders of a ConfigMap, by owner. Those whose deadlines are
// over want nothing, and are left out.
func OrdersIn(config *corev1.ConfigMap, now time.Time) ([]*order.Order, error) {
	var orders []*order.Order
	for _, key := range slices.Sorted(maps.Keys(config.Data)) {
		o := &order.Order{}
		if err := json.Unmarshal([]byte(config.Data[key]), o); err != nil {
			return nil, fmt.Errorf("reading the orders %q in the ConfigMap %s/%s: %w; delete the ConfigMap if nobody needs it", key, config.Namespace, config.Name, err)
		}
		if end, forever := o.End(); forever || now.Before(end) {
			orders = append(orders, o)
		}
	}
	return orders, nil
}

// OrderOf reads an owner's order in a ConfigMap; nil where it wants nothing.
func OrderOf(config *corev1.ConfigMap, owner string, now time.Time) (*order.Order, error) {
	orders, err := OrdersIn(config, now)
	for _, o := range orders {
		if o.Owner == owner {
			return o, err
		}
	}
	return nil, err
}

// maxOrders is what a ConfigMap holds, with room for what is around.
const maxOrders = 1000 << 10

// SetDesired stores what an owner wants of the node of a ConfigMap, and drops orders
// that are over. It returns the owner's order, and whether that is another than
// before; then its version has grown.
func SetDesired(config *corev1.ConfigMap, owner string, want Desired, now time.Time) (mine *order.Order, changed bool, err error) {
	orders, err := OrdersIn(config, now)
	if err != nil {
		return nil, false, err
	}
	mine = &order.Order{Owner: owner}
	data := map[string]string{}
	for _, o := range orders {
		if o.Owner == owner {
			mine = o
			continue
		}
		data[order.FileName(o.Owner)] = config.Data[order.FileName(o.Owner)]
	}
	if want.KeepReserved || !want.Reserved.IsZero() && mine.Reserved.After(want.Reserved) {
		want.Reserved = mine.Reserved
	}
	if samePods(mine.Pods, want.Pods) && mine.Reserved.Equal(want.Reserved) {
		return mine, false, nil
	}
	mine.Pods, mine.Reserved, mine.Version = want.Pods, want.Reserved, max(mine.Version+1, now.UnixNano())
	if len(mine.Pods) > 0 || !mine.Reserved.IsZero() {
		if err := mine.Validate(); err != nil {
			return nil, false, err
		}
		text, err := json.Marshal(mine)
		if err != nil {
			return nil, false, fmt.Errorf("writing the orders of %q: %w", owner, err)
		}
		data[order.FileName(owner)] = string(text)
	}
	size := 0
	for _, text := range data {
		size += len(text)
	}
	if size > maxOrders {
		return nil, false, fmt.Errorf("the orders for node %q have %d bytes, more than the %d that a ConfigMap holds; use fewer faults, pods or peers at a time", Node(config), size, maxOrders)
	}
	config.Data = data
	return mine, true, nil
}

// Desired is what an owner wants of the helper of one node.
type Desired struct {
	Pods []order.Pod
	// Reserved is until when the helper stays without faults; zero ends a reservation. A
	// longer one stays.
	Reserved time.Time
	// KeepReserved leaves a reservation as it is: another program may have made it.
	KeepReserved bool
}

// samePods compares what is written, as times that were read differ in form from
// those that were not.
func samePods(a, b []order.Pod) bool {
	if len(a) != len(b) {
		return false
	}
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}
