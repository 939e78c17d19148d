package control

import "strconv"

// The headers of requests between services, in the canonical form of net/http.
const (
	// RequestIDHeader has the id that a request keeps on all its hops.
	RequestIDHeader = "X-Request-Id"
	// TraceHeader and TraceStateHeader are those of W3C Trace Context.
	TraceHeader      = "Traceparent"
	TraceStateHeader = "Tracestate"
	// HopHeader has the place of a call in the tree of its request: the indexes
	// of calls from the first service on, separated by dots.
	HopHeader = "Microsim-Hop"
	// FromHeader names the service that calls.
	FromHeader = "Microsim-From"
	// DeadlineHeader has the milliseconds that the caller has left.
	DeadlineHeader = "Microsim-Deadline"

	// TimesHeader asks a chain's services how long they took, with any value, and
	// has the answer: the milliseconds of the service, then in parentheses those
	// of its routes in order, each in the same form; a route that gave no answer
	// is left empty. "2400.5(800.2(200.1),1000.3)" are four hops.
	TimesHeader = "Microsim-Times"

	// FallbackHeader says of an answer that a fallback replaced a call's: the
	// callee and the kind of the fallback and, if it is stale, its age in
	// milliseconds: "popular last-good 1532". It occurs once for each fallback.
	FallbackHeader = "Microsim-Fallback"
	// DegradedHeader says of a good answer how many parts of it are not what they
	// should be: answers of calls that a fallback replaced, or that failed and
	// were ignored, at this service and at all below it. It is missing where
	// there are none.
	DegradedHeader = "Microsim-Degraded"
)

// MaxDegraded bounds what DegradedHeader says.
const MaxDegraded = 1_000_000

// ParseDegraded reads the value of DegradedHeader. A value that is no positive
// number tells nothing, and is 0.
func ParseDegraded(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0
	}
	return min(n, MaxDegraded)
}

// The headers that carry a token. TokenHeader counts if both are there: a proxy
// such as the API server of Kubernetes keeps AuthorizationHeader for itself.
const (
	TokenHeader         = "Microsim-Token"
	AuthorizationHeader = "Authorization"
	// Bearer comes before the token in AuthorizationHeader.
	Bearer = "Bearer "
)
