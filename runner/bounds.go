package runner

import "time"

// Bounds of changes of faults. Each is shorter than the one around it, so that the
// innermost, which knows the reason, ends first.
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
	// ClearTimeout bounds the clearing of all faults that still act at the end.
	ClearTimeout = 90 * time.Second
)
