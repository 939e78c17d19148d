package apitest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// A Helper answers as the helpers of nodes do: each order acts at once. It stands for
// the helpers of all nodes. Its methods may be called at the same time.
type Helper struct {
	// Refuse says why a fault may not act on a pod; "" takes it, as nil takes all. It is
	// set before the first request.
	Refuse func(owner string, p order.Pod, f order.Fault) string

	mu     sync.Mutex
	orders map[string]order.Order
}

// Answer answers a request that was sent to the pod of a helper.
func (h *Helper) Answer(w http.ResponseWriter, r *http.Request, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.orders == nil {
		h.orders = map[string]order.Order{}
	}
	owner := strings.TrimPrefix(path, control.NodeOrdersPath+"/")
	switch r.Method {
	case http.MethodPut:
		var o order.Order
		_ = json.NewDecoder(r.Body).Decode(&o)
		h.orders[owner] = o
	case http.MethodDelete:
		delete(h.orders, owner)
	}
	statuses := []order.Status{}
	for _, o := range h.orders {
		for _, p := range o.Pods {
			for _, f := range p.Faults {
				s := order.Status{Owner: o.Owner, Version: o.Version, PodUID: p.UID, FaultID: f.ID, Acts: true, By: "tc"}
				if h.Refuse != nil {
					if why := h.Refuse(o.Owner, p, f); why != "" {
						s.Acts, s.By, s.Error = false, "", why
					}
				}
				statuses = append(statuses, s)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(statuses)
}

// Faults lists what acts, each as POD/ID, in order.
func (h *Helper) Faults() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, o := range h.orders {
		for _, p := range o.Pods {
			for _, f := range p.Faults {
				all = append(all, p.Name+"/"+f.ID)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Order is the order of an owner; without one, it wants nothing.
func (h *Helper) Order(owner string) order.Order {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.orders[owner]
}

// Restart forgets all orders, as a new helper has none.
func (h *Helper) Restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.orders)
}
