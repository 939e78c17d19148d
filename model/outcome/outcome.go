// Package outcome names what can become of a request. The classes are kept
// apart everywhere: in policies, metrics, reports and checks.
package outcome

// Class is the kind of an outcome.
type Class string

// The classes of outcomes.
const (
	// OK is an answer with a status below 400.
	OK Class = "ok"
	// HTTPError is an answer with a status of 400 or more.
	HTTPError Class = "http_error"
	// StoreError is an answer of a data store that says, in the words of its
	// protocol, that an operation failed. Only calls end so.
	StoreError Class = "store_error"
	// FailedHop is a chain's answer with a status below 400 that tells of a hop
	// which failed: MicroSim's services answer 200 whatever became of their
	// routes. Only clients of a load count it; the services count each hop by what
	// it answered itself.
	FailedHop Class = "failed_hop"
	// ConnectionError is a connection refused, reset, or not made in time.
	ConnectionError Class = "connection_error"
	// Timeout is an answer that did not come in time over a good connection.
	Timeout Class = "timeout"
	// BreakerOpen is a request that a breaker did not let out, or whose failure
	// opened the breaker.
	BreakerOpen Class = "breaker_open"
	// Rejected is a request that its sender's own bulkhead, rate limit or pool of
	// connections turned away. One that a busy service turns away is an HTTPError, of status 503.
	Rejected Class = "rejected"
	// Cancelled is a request whose caller gave up.
	Cancelled Class = "cancelled"
	// Malformed is an answer that is no HTTP.
	Malformed Class = "malformed"
	// Dropped is a request that was never sent, because too many were under way.
	Dropped Class = "dropped"
)

// Classes lists the classes in the order of reports.
func Classes() []Class {
	return []Class{OK, HTTPError, StoreError, FailedHop, ConnectionError, Timeout, BreakerOpen, Rejected, Cancelled, Malformed, Dropped}
}

// Count is the number of classes.
const Count = 11

// Index is the place of a class in Classes, or -1.
func Index(class Class) int {
	switch class {
	case OK:
		return 0
	case HTTPError:
		return 1
	case StoreError:
		return 2
	case FailedHop:
		return 3
	case ConnectionError:
		return 4
	case Timeout:
		return 5
	case BreakerOpen:
		return 6
	case Rejected:
		return 7
	case Cancelled:
		return 8
	case Malformed:
		return 9
	case Dropped:
		return 10
	default:
		return -1
	}
}

// OfCalls lists the classes that a service's call can end with, in the order of
// reports. A call is never Dropped, and never a FailedHop.
func OfCalls() []Class {
	return []Class{OK, HTTPError, StoreError, ConnectionError, Timeout, BreakerOpen, Rejected, Cancelled, Malformed}
}

// OfAttempts lists the classes that one request sent for a call can end with. Only
// those to data stores are Rejected, by the pool of their driver.
func OfAttempts() []Class {
	return []Class{OK, HTTPError, StoreError, ConnectionError, Timeout, Rejected, Cancelled, Malformed}
}
