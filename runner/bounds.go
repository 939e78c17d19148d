package runner

import "time"

// Bounds of what is done to faults. Each is shorter than the one around it, so
// that the one that ends first is the one that knows why.
const (
	// RequestTimeout bounds one request to a pod or to the helper of a node.
	RequestTimeout = 10 * time.Second
	// HelperTimeout bounds the wait until the helper of a node has taken an order,
	// the start of the helper included.
	HelperTimeout = 45 * time.Second
	// ChangeTimeout bounds one change of a fault: to inject it, or to clear it.
	ChangeTimeout = time.Minute
	// PrepareTimeout bounds the preparing of all faults, before the load starts.
	PrepareTimeout = 90 * time.Second
	// ClearTimeout bounds the clearing, at the end, of all faults that still act.
	ClearTimeout = 90 * time.Second
)
